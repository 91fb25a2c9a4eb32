"""Logins where Docker and Podman keep them: config.json, auth.json, and credential helpers (docker-login(1),
containers-auth.json(5), and the protocol of docker-credential-helpers). netrc is not read.

What a file or a helper says never appears in an error.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bareboat.image.reference import DOCKER_HUB
from bareboat.registry.auth import Credential
from bareboat.registry.base import RegistryError
from bareboat.registry.hosts import RegistrySettings
from bareboat.registry.secret import Secret

HUB_KEY = "https://index.docker.io/v1/"  # what Docker files Docker Hub under
FILE_MOST = 1 << 20
HELPER_SECONDS = 60.0  # a helper may ask for a passphrase in a window
_HELPER_MOST = 1 << 18
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_TOKEN = re.compile(r"[!-~]{1,65536}")
_TOKEN_USER = "<token>"  # a helper's way to say that its secret is an identity token
_NOT_FOUND = b"credentials not found"


@dataclass(frozen=True)
class Place:
    """A file that keeps logins. said: by an environment variable, so it is used alone; docker: of Docker's making."""

    path: Path
    said: bool = False
    docker: bool = False


def finder(name: str, settings: RegistrySettings) -> Callable[[], Credential | None]:
    """A function that looks up the login of a repository, "host/path"; called once, and only when it is wanted."""
    return lambda: find_credential(name, settings)


def find_credential(name: str, settings: RegistrySettings) -> Credential | None:
    """The login of a repository, "host/path"; None where nobody has logged in.

    Raises RegistryError "registry.login-file" (cannot be understood, or others may read the password in it),
    "registry.helper".
    """
    for place in places(settings):
        document = read_file(place.path)
        if document is None:
            continue
        found = _in_document(document, name, place, settings.env)
        if found is not None:
            return found
    return None


def places(settings: RegistrySettings) -> tuple[Place, ...]:
    """Where to look, in order: what the environment names first, then Podman's files, then Docker's."""
    env = settings.env
    if env.get("REGISTRY_AUTH_FILE"):
        return (Place(Path(env["REGISTRY_AUTH_FILE"]), said=True),)
    docker = env.get("DOCKER_CONFIG", "")
    home = env.get("HOME", "")
    found = [Place(Path(docker) / "config.json", said=True, docker=True)] if docker else []
    if env.get("XDG_RUNTIME_DIR", "").startswith("/"):
        found.append(Place(Path(env["XDG_RUNTIME_DIR"]) / "containers/auth.json"))
    else:
        found.append(Place(settings.run / f"containers/{os.getuid()}/auth.json"))
    config = env.get("XDG_CONFIG_HOME", "")
    if config.startswith("/"):
        found.append(Place(Path(config) / "containers/auth.json"))
    elif home.startswith("/"):
        found.append(Place(Path(home) / ".config/containers/auth.json"))
    if not docker and home.startswith("/"):
        found.append(Place(Path(home) / ".docker/config.json", docker=True))
    return tuple(found)


def read_file(path: Path) -> dict[str, Any] | None:
    """The document of a login file; None where there is none. Raises RegistryError "registry.login-file"."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if isinstance(error, PermissionError):
            return None  # another user's, as under sudo: nothing in it was meant for us
        raise _file_error(path, f"cannot be read: {error.strerror}") from None
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _file_error(path, "is no file")
        data = file.read(FILE_MOST + 1)
    if len(data) > FILE_MOST:
        raise _file_error(path, f"is larger than {FILE_MOST:,} bytes")
    if not data.strip():
        return {}
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise _file_error(path, "is not JSON") from None
    if not isinstance(document, dict):
        raise _file_error(path, "is no JSON object")
    return document


def helper_of(document: Mapping[str, Any], host: str, path: Path) -> str:
    """The credential helper that keeps the login of a host; "" where the file itself does."""
    helpers = document.get("credHelpers")
    if isinstance(helpers, dict):
        for key, helper in helpers.items():
            if canonical_key(str(key)) == host:
                return _helper_name(helper, path)
    store = document.get("credsStore")
    return _helper_name(store, path) if store else ""


def canonical_key(key: str) -> str:
    """A key of "auths" as host and path: without scheme, "/v1/", "/v2/" and the other names of Docker Hub."""
    rest = key.partition("://")[2] or key
    rest = rest.rstrip("/")
    for version in ("/v1", "/v2"):
        rest = rest.removesuffix(version)
    host, slash, path = rest.partition("/")
    host = host.lower()
    return (DOCKER_HUB if host in _HUB_NAMES else host) + slash + path


def server_key(host: str) -> str:
    """What Docker files a host under, and asks helpers for."""
    return HUB_KEY if host == DOCKER_HUB else host


def ask_helper(helper: str, action: str, given: bytes, env: Mapping[str, str]) -> bytes | None:
    """What a helper prints; None where it has no such login. Raises RegistryError "registry.helper".

    Started by its absolute path, found on PATH where PATH's parts are absolute; no shell, 60 s, 256 KiB.
    """
    from bareboat.host.process import Command, ProcessError, run

    program = f"docker-credential-{helper}"
    path = next((p for p in (Path(part) / program for part in env.get("PATH", "").split(":") if part.startswith("/"))
                 if p.is_file() and os.access(p, os.X_OK)), None)
    if path is None:
        raise RegistryError("registry.helper", f"the credential helper {program} is not on PATH",
                            hint="install it, or take credsStore and credHelpers out of the file that names it")
    try:
        done = run(Command((str(path), action), env=env, stdin=given, timeout=HELPER_SECONDS, most=_HELPER_MOST))
    except ProcessError as error:
        raise RegistryError("registry.helper", f"the credential helper {error.what}", where=str(path)) from None
    if done.code == 0:
        return done.stdout
    if _NOT_FOUND in done.stdout.lower() or _NOT_FOUND in done.stderr.lower():
        return None
    # its words may hold what it was given
    raise RegistryError("registry.helper", f"the credential helper failed with exit code {done.code}", where=str(path),
                        hint=f"see what it says: {program} {action}")


def _in_document(document: dict[str, Any], name: str, place: Place, env: Mapping[str, str]) -> Credential | None:
    host = name.partition("/")[0]
    helper = helper_of(document, host, place.path)
    if helper:
        found = _from_helper(helper, host, env)
        if found is not None:
            return found
    auths = document.get("auths")
    if not isinstance(auths, dict):
        return None
    keys = {canonical_key(str(key)): value for key, value in auths.items()}
    wanted = name
    while wanted:
        row = keys.get(wanted)
        if isinstance(row, dict) and (found := _from_row(row, place.path)) is not None:
            return found
        wanted = wanted.rpartition("/")[0]
    return None


def _from_helper(helper: str, host: str, env: Mapping[str, str]) -> Credential | None:
    answer = ask_helper(helper, "get", server_key(host).encode(), env)
    if answer is None:
        return None
    try:
        doc = json.loads(answer)
        user, secret = doc["Username"], doc["Secret"]
        if not isinstance(user, str) or not isinstance(secret, str):
            raise ValueError
    except (ValueError, LookupError, TypeError, RecursionError):
        raise RegistryError("registry.helper", "the credential helper does not answer as helpers do",
                            where=f"docker-credential-{helper}") from None
    if not secret:
        return None
    return Credential(identity=Secret(secret)) if user == _TOKEN_USER else Credential(user, Secret(secret))


def _from_row(row: dict[str, Any], path: Path) -> Credential | None:
    texts = {k: v for k, v in row.items() if isinstance(v, str) and v}
    if not texts.keys() & {"auth", "password", "identitytoken", "registrytoken"}:
        return None
    _private(path)
    user, password = texts.get("username", ""), texts.get("password", "")
    if texts.get("auth"):
        try:
            pair = base64.b64decode(texts["auth"], validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise _file_error(path, "holds a login that is not base64") from None
        user, colon, password = pair.partition(":")
        if not colon:
            raise _file_error(path, "holds a login without a colon")
        password = password.rstrip("\0")
    # a password may have line breaks (Google's _json_key): it is never sent but in base64
    if any(c in user for c in "\r\n\0") or not _TOKEN.fullmatch(texts.get("registrytoken", "x")):
        raise _file_error(path, "holds a user or a token with a line break or blank")
    return Credential(user, Secret(password), Secret(texts.get("identitytoken", "")),
                      Secret(texts.get("registrytoken", "")))


def _private(path: Path) -> None:
    """Refuse a file of ours whose passwords others may read."""
    status = os.stat(path)
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o044:
        raise _file_error(path, "holds a login that other users may read", f"chmod 600 {path}")


def _helper_name(name: object, path: Path) -> str:
    if not isinstance(name, str) or not _HELPER.fullmatch(name):
        raise _file_error(path, "names a credential helper that is none")
    return name


def _file_error(path: Path, what: str, hint: str = "") -> RegistryError:
    return RegistryError("registry.login-file", what, where=str(path), hint=hint or "repair it, or log in again")

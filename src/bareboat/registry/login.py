"""Logging in and out: checked with the registry first, then kept where Docker and Podman look as well."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bareboat.errors import UsageError
from bareboat.registry.ask import Ask
from bareboat.registry.auth import Credential
from bareboat.registry.base import RegistryError
from bareboat.registry.credentials import (
    Place,
    ask_helper,
    canonical_key,
    helper_of,
    places,
    read_file,
    server_key,
)
from bareboat.registry.hosts import RegistrySettings, login_endpoint
from bareboat.registry.secret import Secret
from bareboat.registry.wire import Wire

_MODE = 0o600


@dataclass(frozen=True)
class Kept:
    """Where a login lies: a file, and the helper that keeps it instead ("" for the file itself)."""

    file: Path
    helper: str = ""

    def __str__(self) -> str:
        return f"the credential helper {self.helper}" if self.helper else str(self.file)


def registry_name(text: str) -> str:
    """A registry as people write it ("nvcr.io", "https://index.docker.io/v1/") as host and port.

    Raises UsageError "login.registry".
    """
    from bareboat.image.reference import parse_reference

    host = canonical_key(text)
    try:
        # "x/y" is of no host unless host says it is one: then this is no registry
        if "/" in host or parse_reference(f"{host}/y/z").registry != host:
            raise UsageError("", "")
    except UsageError:
        raise UsageError("login.registry", f"{text[:200]!r} is no registry", hint="name its host, as in: ghcr.io") \
            from None
    return host


def login(registry: str, user: str, password: Secret, settings: RegistrySettings) -> Kept:
    """Log in for good. The registry is asked first; nothing is kept of what it refuses.

    Kept in the file that has a login of this registry, else in the one that Docker and Podman both read, by the
    helper that file names. Raises RegistryError "registry.denied", "registry.login-file", "registry.helper" and what
    requests raise.
    """
    if not user or not password or any(c in user for c in ":\r\n\0") or "\0" in password.reveal():
        raise UsageError("login.malformed", "user and password are needed; the user without colon and line break")
    check(registry, Credential(user, password), settings)
    place = _place(registry, settings)
    document = read_file(place.path)
    if document is None:
        if place.path.exists():
            raise RegistryError("registry.login-file", "cannot be read", where=str(place.path))
        document = {}
    helper = helper_of(document, registry, place.path)
    key = server_key(registry) if place.docker else registry
    auths = _without(document, registry)
    if helper:
        given = json.dumps({"ServerURL": server_key(registry), "Username": user, "Secret": password.reveal()})
        ask_helper(helper, "store", given.encode(), settings.env)
        auths[key] = {}  # so that programs list it
    else:
        pair = f"{user}:{password.reveal()}".encode()
        auths[key] = {"auth": base64.b64encode(pair).decode()}
    _write(place.path, {**document, "auths": auths})
    return Kept(place.path, helper)


def logout(registry: str, settings: RegistrySettings) -> tuple[Kept, ...]:
    """Forget a registry's login everywhere it lies; what is returned is where it lay. Raises as login."""
    found = []
    for place in places(settings):
        document = read_file(place.path)
        if document is None:
            continue
        helper = helper_of(document, registry, place.path)
        if helper and ask_helper(helper, "get", server_key(registry).encode(), settings.env) is not None:
            ask_helper(helper, "erase", server_key(registry).encode(), settings.env)
            found.append(Kept(place.path, helper))
        auths = _without(document, registry)
        before = document.get("auths")
        if isinstance(before, dict) and len(auths) < len(before):
            _write(place.path, {**document, "auths": auths})
            if not helper:
                found.append(Kept(place.path))
    return tuple(found)


def check(registry: str, credential: Credential, settings: RegistrySettings) -> None:
    """Ask the registry whether it knows this login (distribution-spec, "Determining Support": GET /v2/)."""
    endpoint = login_endpoint(registry, settings)
    wire = Wire(replace(endpoint, repository=""), settings, lambda: credential, registry)
    try:
        wire.open(Ask("GET", "")).drain()
    except RegistryError as error:
        if error.code == "registry.not-found":
            raise RegistryError("registry.answer", "this is no registry: it has no /v2/", where=registry,
                                hint="name the registry's host alone, as in: ghcr.io") from None
        if error.code == "registry.denied":
            raise RegistryError("registry.denied", "the registry does not accept this user and password",
                                where=registry, hint="many registries want a token in the password's place") from None
        raise
    finally:
        wire.close()


def _place(registry: str, settings: RegistrySettings) -> Place:
    there = places(settings)
    for place in there:
        document = read_file(place.path)
        if document is not None and (place.said or registry in map(canonical_key, document.get("auths") or {})):
            return place
    said = [place for place in there if place.said]
    docker = [place for place in there if place.docker]
    if not said and not docker:
        raise RegistryError("registry.login-file", "there is no home directory to keep the login in",
                            hint="set HOME, DOCKER_CONFIG or REGISTRY_AUTH_FILE")
    return (said or docker)[0]


def _without(document: dict[str, Any], registry: str) -> dict[str, Any]:
    auths = document.get("auths")
    return {k: v for k, v in auths.items() if canonical_key(k) != registry} if isinstance(auths, dict) else {}


def _write(path: Path, document: dict[str, Any]) -> None:
    from bareboat.host.files import replace_file

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, json.dumps(document, indent="\t", ensure_ascii=False).encode() + b"\n", _MODE)
    except OSError as error:
        raise RegistryError("registry.login-file", f"cannot be written: {error.strerror}", where=str(path),
                            hint="set DOCKER_CONFIG or REGISTRY_AUTH_FILE to a place that may be written to") from None

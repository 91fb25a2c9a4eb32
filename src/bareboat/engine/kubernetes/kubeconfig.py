"""How a cluster is reached, and as whom: kubeconfig as kubectl reads it, or the account of the pod that this runs in.

Follows kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig (merging: what comes first counts)
and client-authentication.k8s.io/v1 (programs that give logins). Held against the official client in the tests.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bareboat.errors import BareboatError, EngineError
from bareboat.host.process import Command, run
from bareboat.values import Any, dataclass

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PLUGIN_SECONDS, PLUGIN_MOST = 60.0, 1 << 20


@dataclass(frozen=True)
class Plugin:
    """A program that gives a login. folder: where the kubeconfig lies that names it; cluster: what it is told."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    version: str = "client.authentication.k8s.io/v1"
    hint: str = ""
    cluster: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Access:
    """A cluster and a user of it. ca, certificate, key: PEM; ca "" for the machine's own CAs. token_file: read anew for
    each use, since it is renewed in place. server_name: which name its certificate must have, "" for the server's.
    """

    server: str
    namespace: str = "default"
    ca: bytes = b""
    verify: bool = True
    server_name: str = ""
    proxy: str = ""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: str = ""
    basic: tuple[str, str] = ("", "")
    impersonate: str = ""
    plugin: Plugin | None = None


@dataclass(frozen=True)
class Login:
    """What a request is sent with. until: ISO time at which it is over, "" where that is not known."""

    token: str = ""
    certificate: bytes = b""
    key: bytes = b""
    until: str = ""


def access(context: str, env: Mapping[str, str]) -> Access:
    """The access of a context, "" for the current one, else for the pod's own account. Raises EngineError
    "kubernetes.config" with what to do.
    """
    files = paths(env)
    found = [(path, _read(path)) for path in files if path.is_file()]
    current = context or next((str(d["current-context"]) for _, d in found if d.get("current-context")), "")
    if not current:
        inside = _in_cluster(env)
        if inside is not None:
            return inside
        raise _wrong("there is no context for a cluster", ", ".join(map(str, files)) or "KUBECONFIG",
                     "name one: --context NAME; a kubeconfig comes from whoever has the cluster")
    context_of, _ = _named(found, "contexts", "context", current)
    cluster, at = _named(found, "clusters", "cluster", _text(context_of, "cluster"))
    user: dict[str, Any] = {}
    user_at = at
    if context_of.get("user"):
        user, user_at = _named(found, "users", "user", _text(context_of, "user"))
    server = _text(cluster, "server").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise _wrong(f"the cluster's server is {server[:80]!r}, which is no URL", str(at))
    if server.startswith("http://") and (urlsplit(server).hostname or "") not in LOOPBACK:
        raise _wrong("the cluster is spoken to without TLS, and a login would go there in the clear", server[:200])
    if user.get("auth-provider"):
        raise _wrong("its user logs in by an auth-provider, which Kubernetes dropped in 1.26", str(user_at),
                     "let the provider's tool write an exec entry instead, as kubectl needs it too")
    return Access(
        server, _text(context_of, "namespace") or "default",
        ca=_data(cluster, "certificate-authority", at), verify=cluster.get("insecure-skip-tls-verify") is not True,
        server_name=_text(cluster, "tls-server-name"), proxy=_text(cluster, "proxy-url"),
        certificate=_data(user, "client-certificate", user_at), key=_data(user, "client-key", user_at),
        token=_text(user, "token"), token_file=os.fspath(user_at.parent / user["tokenFile"])
        if _text(user, "tokenFile") else "",
        basic=(_text(user, "username"), _text(user, "password")), impersonate=_text(user, "as"),
        plugin=_plugin(user.get("exec"), cluster, user_at))


def paths(env: Mapping[str, str]) -> list[Path]:
    """The kubeconfig files, in their order."""
    said = [Path(part).expanduser() for part in env.get("KUBECONFIG", "").split(os.pathsep) if part]
    return said or [Path(env.get("HOME") or Path.home()) / ".kube" / "config"]


def login(of: Access) -> Login:
    """The login of an access now; asks its program where it has one. Raises EngineError "kubernetes.login"."""
    if of.plugin is not None:
        return _asked(of.plugin)
    token = of.token
    if of.token_file:
        try:
            token = Path(of.token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError("kubernetes.login", f"the token cannot be read: {getattr(error, 'strerror', error)}",
                              where=of.token_file) from None
    return Login(token, of.certificate, of.key)


def _asked(plugin: Plugin) -> Login:
    spec: dict[str, object] = {"interactive": False, **({"cluster": dict(plugin.cluster)} if plugin.cluster else {})}
    info = json.dumps({"apiVersion": plugin.version, "kind": "ExecCredential", "spec": spec})
    name = plugin.argv[0]
    try:
        done = run(Command(plugin.argv, {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": info},
                           timeout=PLUGIN_SECONDS, most=PLUGIN_MOST))
    except BareboatError as error:
        raise EngineError("kubernetes.login", f"the program that gives the login {error.what}", where=name,
                          hint=plugin.hint) from None
    if done.code:
        last = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineError("kubernetes.login", f"the program that gives the login failed with exit {done.code}"
                          + (f": {last[-1][:200]}" if last else ""), where=name,
                          hint="log in anew with the cluster's tool")
    try:
        status = json.loads(done.stdout)["status"]
        text = {key: str(status.get(key) or "") for key in
                ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EngineError("kubernetes.login", "the program that gives the login does not answer as it should",
                          where=name, hint=plugin.hint) from None
    return Login(text["token"], text["clientCertificateData"].encode(), text["clientKeyData"].encode(),
                 text["expirationTimestamp"])


def _plugin(document: object, cluster: dict[str, Any], at: Path) -> Plugin | None:
    if not isinstance(document, dict):
        return None
    command = _text(document, "command")
    if "/" in command:
        command = os.path.normpath(at.parent / command)
    version = _text(document, "apiVersion") or "client.authentication.k8s.io/v1"
    pairs = tuple((str(e.get("name")), str(e.get("value"))) for e in _list(document, "env") if isinstance(e, dict))
    told: dict[str, object] = {}
    if document.get("provideClusterInfo") is True:
        told = {key: cluster[key] for key in ("server", "tls-server-name", "certificate-authority-data", "proxy-url",
                                              "insecure-skip-tls-verify") if key in cluster}
    return Plugin((command, *(str(word) for word in _list(document, "args"))), pairs, version,
                  _text(document, "installHint"), tuple(told.items()))


def _in_cluster(env: Mapping[str, str]) -> Access | None:
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT")
    folder = Path(env.get("BAREBOAT_SERVICE_ACCOUNT") or ACCOUNT)
    if not host or not port or not (folder / "token").is_file():
        return None
    shown = f"[{host}]" if ":" in host else host
    try:
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        namespace = "default"
    return Access(f"https://{shown}:{port}", namespace, ca=(folder / "ca.crt").read_bytes(),
                  token_file=os.fspath(folder / "token"))


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "problem", None) or "it is no YAML"
        raise _wrong(f"the kubeconfig cannot be read: {why}", str(path)) from None
    if found is not None and not isinstance(found, dict):
        raise _wrong("the kubeconfig is no table", str(path))
    return found or {}


def _named(found: list[tuple[Path, dict[str, Any]]], group: str, kind: str, name: str) -> tuple[dict[str, Any], Path]:
    for path, document in found:
        for entry in _list(document, group):
            if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
                return entry[kind], path
    known = [str(e.get("name")) for _, d in found for e in _list(d, group) if isinstance(e, dict)]
    raise _wrong(f"there is no {kind} {name[:80]!r}", ", ".join(str(path) for path, _ in found) or "KUBECONFIG",
                 f"there are: {', '.join(known[:8])}" if known else "")


def _list(document: dict[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    return value if isinstance(value, list) else []


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _data(document: dict[str, Any], key: str, at: Path) -> bytes:
    """A PEM that is in the document in base64, or a file beside it."""
    inline = _text(document, f"{key}-data")
    if inline:
        try:
            return base64.b64decode("".join(inline.split()), validate=True)
        except (binascii.Error, ValueError):
            raise _wrong(f"{key}-data is no base64", str(at)) from None
    name = _text(document, key)
    if not name:
        return b""
    try:
        return (at.parent / name).read_bytes()
    except OSError as error:
        raise _wrong(f"{key} cannot be read: {error.strerror}", os.fspath(at.parent / name)) from None


def _wrong(what: str, where: str, hint: str = "") -> EngineError:
    return EngineError("kubernetes.config", what, where=where, hint=hint)

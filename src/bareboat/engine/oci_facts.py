"""What stands behind docker's and podman's command lines: where the daemon is, how old, whose, and what it can limit.

Where it is told wrong, a run would be wrong: paths of mounts are the daemon's machine's, so a daemon elsewhere is
refused. Files and sockets are looked at here; what the engine itself says is parsed by a pure function.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bareboat.engine.base import Capabilities
from bareboat.engine.oci_command import Client
from bareboat.errors import EngineError
from bareboat.values import Any, dataclass

OLDEST = {"docker": (20, 10), "podman": (4, 3)}
DEFAULT_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Facts:
    """An engine that can be used. client: how its command line is; version as it says it; snapshots: Docker keeps its
    images in containerd, by the manifest's digest. memory, cpus, pids: which limits it can keep.
    """

    client: Client
    version: str
    snapshots: bool = False
    memory: bool = True
    cpus: bool = True
    pids: bool = True
    platform: str = ""  # "linux/amd64"


def capabilities(found: Facts) -> Capabilities:
    """What an engine of these facts can do. Pure."""
    client = found.client
    able = found.memory and found.pids  # the freezer is a controller like these
    return Capabilities(
        pause=able, exec=True, copy=True, ports=True, tmpfs=True, devices=True, memory="kernel" if found.memory else "",
        cpus=found.cpus, pids=found.pids, lost_files=True, any_user=client.podman and client.rootless,
        image_writable=False, exact_environment=not client.podman)


@dataclass(frozen=True)
class Endpoint:
    """Where a docker client would go, and what says so."""

    host: str
    said_by: str


def endpoint(environ: Mapping[str, str]) -> Endpoint:
    """The daemon that a docker client of this environment speaks to: DOCKER_HOST, else the context in force.

    Raises EngineError "docker.context".
    """
    if environ.get("DOCKER_HOST"):
        return Endpoint(environ["DOCKER_HOST"], "DOCKER_HOST")
    folder = Path(environ.get("DOCKER_CONFIG") or f"{environ.get('HOME') or '/'}/.docker")
    said_by, name = "DOCKER_CONTEXT", environ.get("DOCKER_CONTEXT", "")
    if not name:
        document = _json(folder / "config.json")
        said_by, name = str(folder / "config.json"), str(document.get("currentContext") or "")
    if name in ("", "default"):
        return Endpoint(f"unix://{DEFAULT_SOCKET}", "the default")
    from bareboat.digests import sha256

    document = _json(folder / "contexts/meta" / sha256(name.encode()).hexdigest() / "meta.json")
    try:
        return Endpoint(str(document["Endpoints"]["docker"]["Host"]), f"context {name!r}")
    except (KeyError, TypeError):
        raise EngineError("docker.context", f"there is no context {name!r}", where=said_by,
                          hint="docker context ls shows those that are; docker context use default") from None


def _json(file: Path) -> dict[str, Any]:
    import json

    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def local(found: Endpoint) -> str:
    """The path of the daemon's socket. Raises EngineError "docker.remote" for one that is on another machine."""
    scheme, _, rest = found.host.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return rest
    raise EngineError("docker.remote", f"the daemon is at {found.host}, and folders of this machine cannot be mounted "
                      "there", where=found.said_by,
                      hint="unset DOCKER_HOST, or docker context use default, for the daemon of this machine; "
                           "bareboat push docker-daemon:NAME brings an image to one elsewhere")


def reach(path: str) -> None:
    """Connect to a daemon's socket once. Raises EngineError "docker.down", "docker.permission"."""
    import socket

    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        try:
            link.connect(path)
        except PermissionError:
            raise EngineError("docker.permission", "this user may not speak to Docker's daemon", where=path,
                              hint="sudo usermod -aG docker $USER and log in again (who is in that group is as good as "
                                   "root), or use rootless Docker, podman, or bareboat's own engine") from None
        except OSError as error:
            raise EngineError("docker.down", f"Docker's daemon does not answer: {error.strerror or error}", where=path,
                              hint="start it (sudo systemctl start docker), or correct DOCKER_HOST; or use "
                                   "--engine bubblewrap") from None


def remote_podman(environ: Mapping[str, str]) -> None:
    """Raises EngineError "podman.remote" where podman is told to work on another machine."""
    for name in ("CONTAINER_HOST", "CONTAINER_CONNECTION"):
        value = environ.get(name, "")
        if value and not value.startswith("unix:"):
            raise EngineError("podman.remote", f"podman works at {value}, and folders of this machine cannot be "
                              "mounted there", where=name, hint=f"unset {name}")


def facts(client: Client, document: Mapping[str, Any]) -> Facts:
    """What `docker info` or `podman info` says, as JSON. Raises EngineError "NAME.version", "NAME.remote", "NAME.info".
    """
    found = _podman(client, document) if client.podman else _docker(client, document)
    numbers = tuple(int(part) for part in found.version.split("+")[0].split("-")[0].split(".")[:2] if part.isdigit())
    oldest = OLDEST[client.name]
    if numbers < oldest:
        raise EngineError(f"{client.name}.version", f"{client.name} {found.version} is too old",
                          hint=f"install {client.name} {'.'.join(map(str, oldest))} or newer, or use another engine")
    return found


def _docker(client: Client, document: Mapping[str, Any]) -> Facts:
    version = str(document.get("ServerVersion") or "")
    if not version:
        errors = document.get("ServerErrors") or ["it says nothing of itself"]
        raise EngineError("docker.info", f"Docker's daemon cannot be used: {errors[0]}", hint="see docker info")
    options = [str(option).split(",")[0].removeprefix("name=") for option in document.get("SecurityOptions") or ()]
    status = [row for row in document.get("DriverStatus") or () if isinstance(row, list) and len(row) == 2]
    from bareboat.values import replace

    client = replace(client, rootless="rootless" in options, remapped="userns" in options,
                     labelled="selinux" in options,
                     cdi="nvidia" not in (document.get("Runtimes") or {}) and _specifications(document))
    return Facts(client, version, any(row[0] == "driver-type" and "snapshotter" in str(row[1]) for row in status),
                 bool(document.get("MemoryLimit", True)), bool(document.get("CpuCfsQuota", True)),
                 bool(document.get("PidsLimit", True)),
                 _platform(document.get("OSType"), document.get("Architecture")))


def _specifications(document: Mapping[str, Any]) -> bool:
    """Whether there are files where the daemon looks for CDI specifications."""
    folders = document.get("CDISpecDirs") or ()
    return any(True for folder in folders if isinstance(folder, str) for _ in Path(folder).glob("*.*"))


def _podman(client: Client, document: Mapping[str, Any]) -> Facts:
    host, version = document.get("host") or {}, document.get("version") or {}
    if host.get("serviceIsRemote"):
        raise EngineError("podman.remote", "podman works on another machine, whose folders are not this one's",
                          hint="unset CONTAINER_HOST; podman system connection list shows who says so")
    security = host.get("security") or {}
    from bareboat.values import replace

    client = replace(client, rootless=bool(security.get("rootless")), labelled=bool(security.get("selinuxEnabled")))
    controllers = host.get("cgroupControllers") or ()
    # Without delegation, and on cgroup v1 always, a rootless podman can limit nothing.
    able = not client.rootless or str(host.get("cgroupVersion")) == "v2"
    memory, cpus, pids = (able and c in controllers for c in ("memory", "cpu", "pids"))
    return Facts(client, str(version.get("Version") or ""), False, memory, cpus, pids,
                 _platform(host.get("os"), host.get("arch")))


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def _platform(system: object, architecture: object) -> str:
    name = str(architecture or "")
    return f"{system or 'linux'}/{_ARCHITECTURES.get(name, name)}"

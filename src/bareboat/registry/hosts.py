"""Where a registry's requests go: mirrors, plain HTTP, CAs; from bareboat's settings and what the host has already.

registries.conf (containers-registries.conf(5), version 2) and certs.d (containers-certs.d(5), Docker's as well) are
honoured where they are present; bareboat's own settings come first.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bareboat.image.reference import DOCKER_HUB, Reference
from bareboat.registry.base import RegistryError
from bareboat.registry.policy import Policy
from bareboat.settings import Settings
from bareboat.transport import Tls

_HUB_SERVER = "registry-1.docker.io"


@dataclass(frozen=True)
class RegistrySettings:
    """What registries are spoken to with. env: HOME, PATH, proxies and the rest; etc, run: the host's own.

    insecure: hosts that may be spoken to without TLS, or with anybody's certificate. mirrors: host → URL, tried in
    order before the host itself. ca: host → file. observe(sent, received): told of the bytes of every body. offline:
    only this machine is spoken to.
    """

    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    insecure: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, str], ...] = ()
    ca: tuple[tuple[str, str], ...] = ()
    policy: Policy = field(default_factory=Policy)
    observe: Callable[[int, int], None] | None = None
    etc: Path = Path("/etc")
    run: Path = Path("/run")
    offline: bool = False

    @classmethod
    def of(cls, settings: Settings, env: Mapping[str, str]) -> RegistrySettings:
        """As the settings table has it."""
        return cls(env=dict(env), insecure=settings.registry_insecure, mirrors=settings.registry_mirrors,
                   ca=settings.registry_ca, offline=settings.offline)


@dataclass(frozen=True)
class Endpoint:
    """A server and the repository's name there. registry: whose credentials; bases: URLs of which the first that
    speaks is used ("https://host", "http://host"); pulls: "all", "tag" or "digest", what may be asked of it.
    """

    registry: str
    repository: str
    bases: tuple[str, ...]
    tls: Tls = field(default_factory=Tls)
    pulls: str = "all"


def endpoints(reference: Reference, settings: RegistrySettings) -> tuple[Endpoint, ...]:
    """Mirrors in order, then the registry itself, which alone is written to.

    Raises RegistryError "registry.blocked", "registry.config".
    """
    from bareboat.registry.registries_conf import rule_for

    found = []
    for host, url in settings.mirrors:
        if host.lower() == reference.registry:
            scheme, _, rest = url.partition("://")
            place, _, path = rest.partition("/")
            name = f"{path}/{reference.repository}" if path else reference.repository
            found.append(Endpoint(place, name, (f"{scheme}://{place}",), _tls(place, settings, insecure=False)))
    rule = rule_for(reference.name, settings)
    if rule is not None and rule.blocked:
        raise RegistryError("registry.blocked", "registries.conf of this machine blocks it", where=reference.name,
                            hint=f"see {rule.file}, or ask the administrator")
    for mirror in rule.mirrors if rule else ():
        found.append(_endpoint(mirror.place(reference.name), settings, mirror.insecure, mirror.pulls))
    place = rule.place(reference.name) if rule else reference.name
    return (*found, _endpoint(place, settings, rule is not None and rule.insecure, "all"))


def login_endpoint(registry: str, settings: RegistrySettings) -> Endpoint:
    """The server of a registry itself, for what is of no repository."""
    from bareboat.registry.registries_conf import rule_for

    rule = rule_for(registry, settings)
    return _endpoint(registry, settings, rule is not None and rule.insecure, "all")


def _endpoint(name: str, settings: RegistrySettings, insecure: bool, pulls: str) -> Endpoint:
    host, _, repository = name.partition("/")
    server = _HUB_SERVER if host == DOCKER_HUB else host
    insecure = insecure or host in settings.insecure
    bases = (f"https://{server}", f"http://{server}") if insecure or is_loopback(host) else (f"https://{server}",)
    return Endpoint(host, repository, bases, _tls(host, settings, insecure=insecure), pulls)


def is_loopback(host: str) -> bool:
    """Whether this host, with or without a port, is this machine and nothing else."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _tls(host: str, settings: RegistrySettings, *, insecure: bool) -> Tls:
    ca = [path for name, path in settings.ca if name.lower() == host]
    certificate = key = ""
    for folder in _certs_d(host, settings):
        try:
            names = sorted(p.name for p in folder.iterdir())
        except OSError:
            continue
        ca += [str(folder / n) for n in names if n.endswith(".crt")]
        for name in names:
            if name.endswith(".cert") and f"{name[:-5]}.key" in names and not certificate:
                certificate, key = str(folder / name), str(folder / f"{name[:-5]}.key")
    return Tls(tuple(ca), certificate, key, verify=not insecure or bool(ca))


def _certs_d(host: str, settings: RegistrySettings) -> Iterator[Path]:
    if "/" in host or host in ("", ".", ".."):
        return
    names = (host, _HUB_SERVER) if host == DOCKER_HUB else (host,)
    home = settings.env.get("HOME", "")
    roots = [settings.etc / "containers/certs.d", settings.etc / "docker/certs.d"]
    if home.startswith("/"):
        roots = [Path(home) / ".config/containers/certs.d", Path(home) / ".config/docker/certs.d", *roots]
    yield from (root / name for root in roots for name in names)

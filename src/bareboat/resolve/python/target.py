"""What Python packages are resolved for: the image's interpreter, libc and architecture; never the
host's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from bareboat.errors import ResolveError

if TYPE_CHECKING:
    from packaging.tags import Tag

_MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
_UV_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)  # the minor versions uv has a platform name for


@dataclass(frozen=True)
class Target:
    """python: "3.13.5" in full; libc: "glibc 2.41" or "musl 1.2"; platform: "linux/amd64"."""

    python: str
    libc: str
    platform: str

    @property
    def machine(self) -> str:
        """The kernel's name of the architecture. Raises ResolveError "python.platform"."""
        machine = _MACHINES.get(self.platform)
        if machine is None:
            known = ", ".join(sorted(_MACHINES))
            raise ResolveError(
                "python.platform",
                f"no wheels are selected for platform {self.platform!r}",
                hint=f"Known platforms: {known}.",
            )
        return machine

    @property
    def glibc(self) -> tuple[int, int]:
        """The version of the image's C library. Raises ResolveError "python.platform" for another library."""
        name, _, version = self.libc.partition(" ")
        major, _, minor = version.partition(".")
        if name != "glibc" or not (major.isdigit() and minor.isdigit()):
            raise ResolveError("python.platform", f"no wheels are selected for C library {self.libc!r}")
        return int(major), int(minor)

    @property
    def musl(self) -> tuple[int, int] | None:
        """The version of musl, where that is the image's C library."""
        name, _, version = self.libc.partition(" ")
        major, _, minor = version.partition(".")
        return (int(major), int(minor)) if name == "musl" and major.isdigit() and minor.isdigit() else None

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the image's Python."""
        major, minor = self.python.split(".")[:2]
        return int(major), int(minor)


def uv_platform(target: Target) -> str:
    """uv's name for the target: the newest manylinux it knows that is not above the image's glibc, or musl."""
    if target.musl is not None:
        return f"{target.machine}-unknown-linux-musl"
    known = [minor for minor in _UV_GLIBC if (2, minor) <= target.glibc]
    if not known:
        raise ResolveError("python.platform", f"{target.libc} is older than any manylinux standard in use")
    return f"{target.machine}-manylinux_2_{known[-1]}"


def marker_environment(target: Target) -> dict[str, str]:
    """Every PEP 508 marker key: a missing one would be filled in from the host's Python by packaging."""
    major, minor = target.version
    return {
        "implementation_name": "cpython",
        "implementation_version": target.python,
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": target.python,
        "python_version": f"{major}.{minor}",
        "sys_platform": "linux",
        "extra": "",
    }


@lru_cache(maxsize=8)
def tags(target: Target) -> tuple[Tag, ...]:
    """Compatible wheel tags, best first: CPython, then generic; manylinux from the image's glibc
    downwards, or musllinux from its musl (PEP 600, PEP 656)."""
    from packaging.tags import compatible_tags, cpython_tags

    platforms = _platforms(target)
    version = target.version
    interpreter = f"cp{version[0]}{version[1]}"
    abis = [f"cp{version[0]}{version[1]}mu"] if version[0] == 2 else [interpreter]
    return (
        *cpython_tags(version, abis=abis, platforms=platforms),
        *compatible_tags(version, interpreter=interpreter, platforms=platforms),
    )


def _platforms(target: Target) -> list[str]:
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    if target.musl is not None:
        major, minor = target.musl
        return [f"musllinux_{major}_{n}_{target.machine}" for n in range(minor, -1, -1)] + [f"linux_{target.machine}"]
    lowest = 5 if target.machine == "x86_64" else 17
    out = []
    for minor in range(target.glibc[1], lowest - 1, -1):
        out.append(f"manylinux_2_{minor}_{target.machine}")
        if minor in legacy:
            out.append(f"{legacy[minor]}_{target.machine}")
    return [*out, f"linux_{target.machine}"]

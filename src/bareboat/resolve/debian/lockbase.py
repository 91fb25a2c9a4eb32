"""From a request to a locked base: which suite has the Python, which packages, by pool path and sha256."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bareboat.errors import ResolveError
from bareboat.image.debversion import upstream
from bareboat.lock import Base, Deb
from bareboat.resolve.debian.archive import Archive
from bareboat.resolve.debian.closure import Request, closure
from bareboat.resolve.debian.index import Index, Package, Union
from bareboat.resolve.debian.release import Release
from bareboat.resolve.debian.sources import COMPONENTS

# What a script expects of a Debian system, and what most compiled wheels link against; see
# docs/decisions/0041.
SEEDS = (
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "libc6",
    "libgcc-s1",
    "libgomp1",
    "libstdc++6",
    "mawk",
    "ncurses-base",
    "ncurses-bin",
    "netbase",
    "sed",
    "tar",
    "tzdata",
)
# Tried in this order; the Pythons only say where to look first, the archive's own index decides.
SUITES: dict[str, dict[str, tuple[str, ...]]] = {
    "debian": {
        "trixie": ("3.13",),
        "bookworm": ("3.11",),
        "bullseye": ("3.9", "2.7"),
        "forky": ("3.14", "3.15", "3.13"),
        "sid": ("3.14", "3.15", "3.13"),
    },
    "ubuntu": {
        "noble": ("3.12",),
        "jammy": ("3.10",),
        "questing": ("3.13",),
        "plucky": ("3.13",),
        "focal": ("3.8", "2.7"),
    },
}
MINORS = ("2.7", *(f"3.{n}" for n in range(6, 20)))
ARCHITECTURES = {
    "linux/amd64": "amd64",
    "linux/arm64": "arm64",
    "linux/arm64/v8": "arm64",
    "linux/arm/v7": "armhf",
    "linux/386": "i386",
    "linux/ppc64le": "ppc64el",
    "linux/s390x": "s390x",
    "linux/riscv64": "riscv64",
}


@dataclass(frozen=True)
class BaseRequest:
    """What is asked of the base. suite: "" for the one that has the Python; python: PEP 440 specifier,
    bare X.Y or "".

    python_source, apt_source: file and key that say so, for errors. apt: names, or name=version. bare: without a
    Python, which comes from elsewhere.
    """

    suite: str = ""
    python: str = ""
    python_source: str = ""
    apt: tuple[str, ...] = ()
    apt_source: str = "apt"
    platform: str = "linux/amd64"
    bare: bool = False


@dataclass(frozen=True)
class _Suite:
    codename: str
    date: str
    packages: Union
    pythons: tuple[tuple[str, str], ...]  # ("3.13", "3.13.5"), the suite's default first, then newest first


def architecture(platform: str) -> str:
    """Debian's name of a platform's architecture. ResolveError "debian.platform"."""
    known = ARCHITECTURES.get(platform)
    if known is None:
        raise ResolveError(
            "debian.platform",
            f"no Debian architecture for the platform {platform!r}",
            hint=f"one of {', '.join(sorted(ARCHITECTURES))}",
        )
    return known


def full_version(version: str) -> str:
    """A Python package's version as PEP 440 spells it: "3.13.5" of "3.13.5-2+deb13u1", "3.15.0a1" of
    "3.15.0~a1-1"."""
    return upstream(version).replace("~", "").partition("+")[0]


def accepts(specifier: str, full: str) -> bool:
    """Whether a Python version meets a request. A bare X.Y or X.Y.Z means the series X.Y, as archives have
    one each.

    ResolveError "debian.python-specifier".
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    text = specifier.strip()
    if text and text[0].isdigit():
        text = "==" + ".".join(text.split(".")[:2]).removesuffix(".*") + ".*"
    try:
        return SpecifierSet(text).contains(full, prereleases=True)
    except InvalidSpecifier as error:
        raise ResolveError(
            "debian.python-specifier",
            f"not a Python version or specifier: {specifier!r}",
            hint='for example "3.13" or ">=3.11,<3.14"',
        ) from error


def _load(archive: Archive, suite: str, arch: str, fresh: bool) -> _Suite:
    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(archive.release, "main", suite, fresh=fresh),
            pool.submit(archive.release, "main", f"{suite}-updates", optional=True, fresh=fresh),
            pool.submit(archive.release, "security", f"{suite}-security", optional=True, fresh=fresh),
        ]
        releases: list[tuple[str, str, Release | None]] = [
            (which, name, job.result())
            for (which, name), job in zip(
                (("main", suite), ("main", f"{suite}-updates"), ("security", f"{suite}-security")),
                jobs,
                strict=True,
            )
        ]
        wanted = [
            (which, name, release, component)
            for which, name, release in releases
            if release is not None
            for component in archive.settings.components or COMPONENTS[archive.family]
        ]
        found = [
            pool.submit(archive.index, which, name, release, component, arch)
            for which, name, release, component in wanted
        ]
        indexes: list[Index] = [i for i in (job.result() for job in found) if i is not None]
    main = releases[0][2]
    assert main is not None
    union = Union(indexes)
    dates = max(r.iso_date for _, _, r in releases if r is not None)
    return _Suite(main.codename or suite, dates, union, _pythons(union))


def _pythons(packages: Union) -> tuple[tuple[str, str], ...]:
    found = [
        (m, full_version(p[0].version))
        for m in MINORS
        if (p := packages.packages(f"python{m}")) and packages.packages(f"libpython{m}-stdlib")
    ]
    default = next((p.depends for p in packages.packages("python3")[:1]), "")
    found.sort(key=lambda item: (f"python{item[0]} " in default, [int(x) for x in item[0].split(".")]), reverse=True)
    return tuple(found)


def find_suite(archive: Archive, request: BaseRequest) -> tuple[_Suite, tuple[str, str]]:
    """The suite and the Python in it that meet a request. ResolveError "debian.no-python",
    "debian.expired"."""
    arch = architecture(request.platform)
    table = SUITES[archive.family]
    if request.suite:
        order = [request.suite]
    else:
        order = sorted(table, key=lambda s: not any(accepts(request.python, f"{m}.99") for m in table[s]))
    seen: list[str] = []
    for suite in order:
        try:
            loaded, expired = _load(archive, suite, arch, fresh=True), None
        except ResolveError as error:
            if error.code == "debian.expired":  # does it matter? only if this one would be the answer
                loaded, expired = _load(archive, suite, arch, fresh=False), error
            elif error.code in ("debian.no-suite", "debian.no-architecture") and not request.suite:
                continue
            else:
                raise
        for python in loaded.pythons:
            if accepts(request.python, python[1]):
                if expired is not None:
                    raise expired
                return loaded, python
        seen += [f"{full} ({archive.family}:{loaded.codename})" for _, full in loaded.pythons]
    what = f"no Python {request.python}" if request.python else "no Python"
    where = f"{archive.family}:{request.suite}" if request.suite else f"any {archive.family} suite"
    raise ResolveError(
        "debian.no-python",
        f"{what} in {where}",
        where=request.python_source,
        hint=f"there is: {', '.join(seen) or 'none'}",
    )


def _seeds(loaded: _Suite, python: str) -> list[Request]:
    names = [*SEEDS, f"python{python}"]
    # Debian splits distutils off up to 3.11; it belongs to the Python people expect.
    distutils = loaded.packages.packages("python3-distutils")
    if distutils and full_version(distutils[0].version).startswith(python + "."):
        names.append("python3-distutils")
    return [Request(n) for n in names if loaded.packages.packages(n)]


def _requests(request: BaseRequest) -> list[Request]:
    found = []
    for item in request.apt:
        name, _, version = item.partition("=")
        found.append(Request(name.strip(), request.apt_source, version.strip()))
    return found


def _deb(package: Package, extra: bool) -> Deb:
    path = package.filename.removeprefix("./")
    if path.startswith("/") or ".." in path.split("/") or any(c in path for c in "\\\0?#"):
        raise ResolveError("debian.index", f"the index names an impossible pool path: {path!r}", where=package.name)
    return Deb(
        package.name,
        package.version,
        package.architecture,
        path,
        package.sha256,
        package.size,
        package.archive,
        extra,
    )


def lock_base(request: BaseRequest, archive: Archive) -> Base:
    """The base that meets a request: Python's own packages first, then (Deb.extra) what apt packages add,
    by name.

    A function of the archive's state alone. Network: InRelease is asked for again each time, indexes only
    when new. ResolveError: "debian.*".
    """
    loaded, (minor, full) = find_suite(archive, request)
    arch = architecture(request.platform)
    seeds = [s for s in _seeds(loaded, minor) if not (request.bare and s.name.startswith("python"))]
    core = closure(loaded.packages, arch, seeds)
    extra: Sequence[Package] = closure(loaded.packages, arch, _requests(request), core) if request.apt else ()
    libc = next((p.version for p in core if p.name == "libc6"), "")
    return Base(
        archive.family,
        loaded.codename,
        loaded.date,
        tuple(_deb(p, False) for p in core) + tuple(_deb(p, True) for p in extra),
        minor,
        full,
        f"glibc {full_version(libc).partition('-')[0]}",
    )

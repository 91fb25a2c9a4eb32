"""Locking on an image that others made: its digest, what is inside, and what of it the lock replaces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from bareboat.builder.bases.pythons import Wanted
from bareboat.builder.bases.scan import Scan, base_on, broken_by, replaced, scan
from bareboat.errors import LockError, UsageError
from bareboat.image.reference import is_digest
from bareboat.lock import Base, BaseImage, PlatformLock
from bareboat.project.values import Project
from bareboat.registry.base import RegistryError
from bareboat.registry.places import Place, parse_place
from bareboat.resolve.python.installed import OnBase
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.registries import home_of, repository

ASSEMBLED = ("debian:", "ubuntu:")
_AWAY = ("registry.unreachable", "registry.offline", "registry.server", "registry.limited", "registry.cut",
         "registry.tls")
SHOWN = 5  # names in a line


def is_image(base: str | None) -> bool:
    """Whether a project's base is an image; debian:SUITE and ubuntu:SUITE are assembled (decision 0109)."""
    return base is not None and not base.startswith(ASSEMBLED)


DEFAULTS = ("3.13", "3.12", "3.11", "3.10", "3.9", "3.14", "3.8")  # of docker.io's python:X-slim, the first that fits


def default_image(specifier: str) -> str:
    """The base where no archive can be had: docker.io's slim Python, the first series that a specifier takes."""
    from bareboat.resolve.debian.lockbase import accepts

    fitting = [x for x in DEFAULTS if accepts(specifier, f"{x}.99") or accepts(specifier, f"{x}.0")]
    return f"python:{(fitting or DEFAULTS)[0]}-slim"


def lock_image(project: Project, platform: str, work: Work, *, default: bool = False, fresh: bool = False) -> Base:
    """The base that the project names, by digest, with what is inside. Nothing of it is run. default: it names none,
    and nothing can be assembled here. fresh: what a tag named last time is not enough.

    Raises LockError "base.*", RegistryError, ResolveError "image.platform", ArchiveError.
    """
    if project.apt:
        raise LockError("base.apt", "system packages are added to an assembled base only, and this one is an image",
                        where=project.apt_source or "apt",
                        hint="take a base that has them, or base = \"debian:SUITE\"")
    if default:
        project = replace(project, base=default_image(project.python.specifier))
        work.tell.say(f"no Debian archive is known here: the base is docker.io's {project.base}")
    image = _pulled(_place(project), platform, work, fresh)
    scanned = scan_of(image, project, platform, work)
    for note in scanned.notes[:SHOWN]:
        work.tell.say(note)
    if project.base and project.base.startswith("oci:"):
        image = replace(image, reference=project.base)  # from the project's folder, as it is on other machines too
    return base_on(image, scanned, _created(image, work))


def scan_of(image: BaseImage, project: Project, platform: str, work: Work) -> Scan:
    """What is in an image; its tree is made when that is not known yet."""
    whole = replace(image, removed=())
    wanted = Wanted(platform, project.python.specifier, project.python.source, image.reference, image.env,
                    lambda argv: _ask(work, _tree(whole, work)(), argv))
    return scan(work.store, whole, _tree(whole, work), wanted)


def on_base(standing: PlatformLock, project: Project, names: tuple[str, ...], work: Work) -> OnBase | None:
    """What a resolution stands on. standing: the base, and the wheels of the lock until now: what they replaced may
    be. names: what may be, besides.

    Raises LockError "lock.unknown-package" for names that no base of the lock has.
    """
    image = standing.base.image
    if image is None:
        return None
    scanned = scan_of(image, project, standing.platform, work)
    known = {p.name for p in scanned.packages}
    unknown = [n for n in names if n not in known]
    if unknown:
        from bareboat.project.kinds import nearest

        near = nearest(unknown[0], known)
        raise LockError("lock.unknown-package", f"{unknown[0]} is not among the packages of the base",
                        where=image.reference, hint=f"did you mean {near!r}?" if near else "leave it out")
    allowed = frozenset(names) | {w.name for w in standing.wheels if w.name in known}
    return OnBase(scanned.packages, allowed, image.reference)


def settled(locked: PlatformLock, on: OnBase, work: Work) -> Base:
    """The base as the lock leaves it, and a line or two about what is kept and what is not."""
    packages, wheels = on.packages, locked.wheels
    base = replaced(locked.base, packages, wheels)
    new = {w.name: w.version for w in wheels}
    by_weight = sorted(packages, key=lambda p: not p.compiled)  # what people look for first
    kept = [f"{p.name} {p.version}" for p in by_weight if p.name not in new]
    gone = [f"{p.name} {p.version} by {new[p.name]}" for p in packages if p.name in new]
    said = f"keeps {len(kept)} of its {len(packages)} Python packages ({_some(kept)})" if kept else "keeps no packages"
    if packages:
        work.tell.say(f"{on.where} {said}" + (f"; replaced: {_some(gone)}" if gone else ""))
    for line in broken_by(packages, wheels, base.python):
        work.tell.say(line)
    for p in packages:
        if p.name in new and not p.recorded:
            work.tell.say(f"{p.name} {p.version} does not say which files are its own; they stay, behind the new ones")
    return base


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _place(project: Project) -> Place:
    text = project.base or ""
    if text.startswith("oci:") and not text.startswith("oci:/"):
        text = f"oci:{project.root}/{text[4:]}"
    return parse_place(text)


def _pulled(place: Place, platform: str, work: Work, fresh: bool) -> BaseImage:
    """The image, here with its tree. A registry that is away is not missed when the tag was resolved before."""
    from bareboat.builder.pulling import pull
    from bareboat.record.codec import decode, encode

    key = "reference-" + hashlib.sha256(f"{place}\0{platform}".encode()).hexdigest()
    try:
        found = repository(place, work)
        image = pull(work.store, found, place, platform, work.tell.progress).image
    except (RegistryError, UsageError) as error:
        known = work.store.get_json("cache", key) if error.code in _AWAY and not fresh else None
        if known is None:
            raise
        image = decode(BaseImage, known, key)
        if not is_digest(place.wanted):
            work.tell.say(f"{place}: the registry is not asked, what it named last time is taken")
        return image
    work.store.put_json("cache", key, encode(image))
    return image


def _tree(image: BaseImage, work: Work) -> Callable[[], Path]:
    def made() -> Path:
        from bareboat.builder.layers import image_tree_key
        from bareboat.builder.pulling import ensure

        ensure(work.store, image, lambda i: home_of(i, work), work.tell.progress)
        tree = work.store.tree(image_tree_key(image))
        if tree is None:
            raise LockError("base.tree", "its tree went while it was looked at", where=image.reference,
                            hint="run the command again")
        return tree

    return made


def _ask(work: Work, tree: Path, argv: tuple[str, ...]) -> str:
    """What a program of the base prints, in the sandbox without network: the last resort; "" when it cannot be run."""
    from bareboat.builder.stacking import roots
    from bareboat.engine.base import Streams
    from bareboat.errors import BareboatError
    from bareboat.workload import Rootfs, Workload

    said = bytearray()
    stacked = roots(work.store, [tree.parent.name])
    load = Workload(root=Rootfs(stacked), argv=argv, env=(("PATH", "/usr/bin:/bin"),), cwd="/tmp", network="none")
    try:
        outcome = work.engine.run(load, Streams(lambda chunk: said.extend(chunk[:4096]), lambda _: None))
    except BareboatError:
        return ""
    return "" if outcome.code else bytes(said[:4096]).decode("utf-8", "replace")


def _created(image: BaseImage, work: Work) -> str:
    from bareboat.image.manifest import read_config

    blob = work.store.blob(image.config.removeprefix("sha256:"))
    return "" if blob is None else read_config(blob.read_bytes(), image.reference).created

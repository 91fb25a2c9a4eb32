"""archive: everything that environments are made of, in one OCI layout that builds and runs without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.builder.outgoing import RottenError
from bareboat.errors import ArchiveError, UsageError
from bareboat.image.archive import (
    CODE,
    CPYTHON,
    DEB,
    LOCK,
    PLAN,
    WHEEL,
    Attached,
    Bundle,
    File,
    Shipped,
    archive_members,
)
from bareboat.image.spec import Image
from bareboat.verbs.collaborators import Work
from bareboat.verbs.lock_mode import LockMode

if TYPE_CHECKING:
    from bareboat.image.plan import Plan
    from bareboat.lock import BaseImage, PlatformLock, Wheel
    from bareboat.project.values import Project
    from bareboat.verbs.save import Target
    from bareboat.verbs.travel import Packed


@dataclass(frozen=True)
class Archived:
    """What was written. plans: their digests; files: packages and other sources; size: bytes in all; runs: ids."""

    plans: tuple[str, ...]
    images: int
    files: int
    size: int
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Subject:
    """A plan to be archived and what it is of. names: what it is to be called where it is restored; shipped: the plan
    of the image that others run, which has a project's code; texts: lock files by name."""

    name: str
    names: tuple[str, ...]
    plan: Plan
    shipped: Plan
    texts: tuple[tuple[str, bytes], ...]
    project: Project | None = None
    locked: PlatformLock | None = None


@dataclass(frozen=True)
class Along:
    """What goes along. images: the shipped form too, so that any OCI tool runs them; code: with the project's code in
    them, as build puts it there; runs: ids, names or "last"; large: also such results as were too large to be kept."""

    images: bool = True
    code: bool = True
    runs: tuple[str, ...] = ()
    large: bool = False


def archive(what: Sequence[str], target: Target, work: Work, along: Along | None = None) -> Archived:
    """Write the archive of these images and project folders; without any, of this folder's, unless runs are named.

    What a store has dropped since is fetched again. A run brings the image it ran in. Atomic: what is at the target is
    nothing or the whole, and every blob was compared with its digest on the way. Raises UsageError "archive.exists",
    "image.unknown", RecordError, and what locking, fetching and assembling raise.
    """
    along = along or Along()
    check_target(target)
    words = list(what) or ([] if along.runs else [""])
    subjects = [one for word in words for one in _subjects(word, work, along)]
    try:
        return _archive(subjects, target, work, along)
    except RottenError:
        if target.path is None:
            raise
        return _archive(subjects, target, work, along)  # what had rotted was removed, so that it is fetched again


def check_target(target: Target) -> None:
    """Refuse what could not be written in the end, before anything is fetched: an archive replaces nothing."""
    from bareboat.verbs.save import check, is_special

    path = target.path
    if path is not None and path.exists() and not target.directory and not is_special(path):
        raise UsageError("archive.exists", "is there already, and an archive replaces nothing", where=str(path),
                         hint="name a new file, or move that one away")
    check(target)


def _archive(subjects: Sequence[_Subject], target: Target, work: Work, along: Along) -> Archived:
    from bareboat.builder.blobs import make_blobs
    from bareboat.verbs.lock import sources
    from bareboat.verbs.save import write
    from bareboat.verbs.travel import Luggage, pack

    made: dict[str, Image] = {}
    bundles = []
    keys = {sha256 for s in subjects for sha256 in _digests(s.plan)}
    with work.store.lease(keys):
        for s in subjects:
            files = _files(s, work)
            if along.images:
                made[s.shipped.digest] = make_blobs(work.store, s.shipped, sources(work), work.tell.progress)
            bundles.append(_bundle(s, files, made.get(s.shipped.digest), work))
        packed = [pack(run, Luggage(large=along.large), work) for run in along.runs]
        shipped = _shipped(subjects, made, work)
        shipped += [Shipped((p.image,)) for p in packed if p.image not in made.values()]
        runs = tuple(dict.fromkeys(_attached(p) for p in packed))
        members = archive_members(bundles, list(dict.fromkeys(shipped)), runs, tar=not target.directory)
        size = write(target, members, work)
    count = len({f.sha256 for b in bundles for f in b.files})
    return Archived(tuple(b.plan for b in bundles), sum(len(s.images) for s in dict.fromkeys(shipped)), count, size,
                    tuple(dict.fromkeys(p.record.id for p in packed)))


def _attached(packed: Packed) -> Attached:
    from bareboat.record.artifact import RUN

    return Attached(packed.artifact, RUN, tuple(part.descriptor for part in packed.parts))


def _subjects(word: str, work: Work, along: Along) -> list[_Subject]:
    """What a word means: a project's folder ("" the one of this folder), on each of its platforms, or an image."""
    from bareboat.verbs.images import digest_of

    folder = Path(word) if word else None
    if (folder is not None and not folder.is_dir()) or (folder is not None and word in work.store.tags()):
        digest = digest_of(word, work)
        if digest is None:
            raise UsageError("image.unknown", f"there is neither an image nor a folder {word!r}",
                             hint="see `bareboat images`; without a name it is the project of this folder")
        return [_of_image(word, digest, work)]
    return _of_project(folder, work, along)


def _of_image(word: str, digest: str, work: Work) -> _Subject:
    from bareboat.verbs.images import find, plan_of

    made = find(digest, work)
    assert made is not None
    texts = []
    for name, sha256 in made.locks:
        path = work.store.verified_blob(sha256)
        if path is None:
            raise ArchiveError("archive.no-lock", f"the text of {name} is not in the store any more", where=word,
                               hint="archive it from its project's folder")
        texts.append((name, path.read_bytes()))
    names = tuple(sorted(n for n, plan in work.store.tags().items() if plan == digest))
    plan = plan_of(made.plan_blob, work)
    if plan.code is not None and plan.code.overlays:
        raise ArchiveError("archive.extensions", "holds compiled extensions of its project, which cannot be made again "
                           "from an archive", where=word, hint="archive the project's folder, or use bareboat save")
    return _Subject(word if word in names else digest[7:19], names, plan, plan, tuple(texts))


def _of_project(folder: Path | None, work: Work, along: Along) -> list[_Subject]:
    """A project on each of its platforms: the plan that its runs stand on, and the image with its code."""
    from bareboat.image.planning import plan_for
    from bareboat.project import find_root, load, lock_inputs
    from bareboat.verbs.environment import environment
    from bareboat.verbs.images import plan_of
    from bareboat.verbs.lock import lock
    from bareboat.verbs.shipping import travelling

    project = load(folder.absolute() if folder is not None else find_root(Path.cwd()))
    made = environment(project, LockMode(), work)
    locked = lock(project, lock_inputs(project), LockMode(), work)
    texts = tuple((name, text.encode()) for name, text in locked.texts if text)
    here = plan_of(made.plan_blob, work)
    with_code = travelling(project, made, work) if along.images and along.code else here
    found, tags = [], work.store.tags()
    for p in locked.lock.platforms:
        plan = plan_for(project, p)
        names = tuple(sorted(n for n, digest in tags.items() if digest == plan.digest))
        found.append(_Subject(project.name, names, plan, _as_shipped(plan, here, with_code), texts, project, p))
    return found


def _as_shipped(plan: Plan, here: Plan, with_code: Plan) -> Plan:
    """The plan of another platform with what was put on this one's; compiled extensions are of this one alone."""
    if plan.digest == here.digest:
        return with_code
    more = {n: v for n, v in with_code.env if dict(here.env).get(n) != v}
    code = with_code.code
    return replace(plan, code=replace(code, overlays=()) if code is not None else None, cmd=with_code.cmd,
                   env=tuple(sorted({**dict(plan.env), **more}.items())), entrypoint=with_code.entrypoint,
                   labels=with_code.labels)


def _digests(plan: Plan) -> Iterable[str]:
    yield from (d.sha256 for d in plan.debs)
    yield from (w.sha256 for w in plan.wheels)
    if plan.cpython is not None:
        yield plan.cpython.sha256
    if plan.code is not None:
        yield from (plan.code.index, *plan.code.packs)
    if plan.image is not None:
        yield from (x.removeprefix("sha256:") for x in (plan.image.manifest, plan.image.config))
        yield from (layer.digest.removeprefix("sha256:") for layer in plan.image.layers)


def _files(s: _Subject, work: Work) -> list[File]:
    """Every source of a plan as a file of the archive, in the store; fetched where it is not."""
    from bareboat.builder.blobs import fetch_wheels
    from bareboat.builder.image import base_of
    from bareboat.resolve.debian.fetch import fetch_debs, missing_debs
    from bareboat.resolve.download import DEFAULT, Download, fetch
    from bareboat.verbs.lock import restore, sources

    plan, at = s.plan, sources(work)
    if plan.image is not None:
        from bareboat.builder.foreign import fetch_base

        fetch_base(work.store, plan.image, at)
    parts = _parts_of_base(plan.image, work) if plan.image is not None else []
    if s.project is not None and s.locked is not None:
        restore(s.project, s.locked, work)
    fetch_wheels(work.store, _reachable([w for w in plan.wheels if work.store.blob(w.sha256) is None], s, work), at,
                 work.tell.progress)
    base = base_of(plan)
    if plan.image is None and missing_debs(work.store, base):
        fetch_debs(work.store, base, at.archive(plan.family), work.tell.progress)
    cpython = plan.cpython
    if cpython is not None:
        fetch(work.store, [Download(cpython.url, cpython.sha256, cpython.size, f"CPython {cpython.version}")],
              lambda p: work.tell.progress("fetch", p.done, p.total), replace(DEFAULT, offline=at.offline))
        parts.append(File(CPYTHON, cpython.sha256, cpython.size, _file_name(cpython.url)))
    if plan.code is not None:
        parts += [File(CODE, sha256, _size(sha256, "code", work), title) for sha256, title in
                  ((plan.code.index, "code index"), *((pack, "code") for pack in plan.code.packs))]
    found = [*parts, *(File(DEB, d.sha256, d.size, d.path.rpartition("/")[2]) for d in plan.debs)]
    found += [File(WHEEL, w.sha256, _size(w.sha256, w.filename, work), w.filename) for w in plan.wheels]
    return found


def _reachable(wheels: list[Wheel], s: _Subject, work: Work) -> list[Wheel]:
    """The wheels, those of a private index with the user and password that the project has for it and no lock knows."""
    if not wheels or s.project is None or s.locked is None:
        return wheels
    from bareboat.resolve.python.credentials import credentials, with_credentials
    from bareboat.verbs.lock import python_request

    known = credentials(python_request(s.project, s.locked, work.store.home, work))
    return [replace(w, url=with_credentials(w.url, known)) for w in wheels]


def _file_name(url: str) -> str:
    """The last part of an address, without what follows a ? or #."""
    return url.partition("#")[0].partition("?")[0].rpartition("/")[2]


def _parts_of_base(image: BaseImage, work: Work) -> list[File]:
    """Manifest, config and layers of an image of others, under their own media types."""
    from bareboat.image.manifest import Manifest, read_manifest

    name = image.reference
    manifest = image.manifest.removeprefix("sha256:")
    path = work.store.verified_blob(manifest)
    if path is None:
        raise ArchiveError("archive.missing", "the manifest is not in the store", where=name,
                           hint=f"bareboat pull {name}")
    document = read_manifest(path.read_bytes(), image.media_type, name)
    if not isinstance(document, Manifest):
        raise ArchiveError("archive.missing", "is an index, and an image of one platform is meant", where=name)
    found = [File(image.media_type, manifest, path.stat().st_size, f"manifest of {name}")]
    for what, entry in (("config", document.config), *(("layer", layer) for layer in document.layers)):
        d = entry.descriptor
        sha256 = d.digest.removeprefix("sha256:")
        size = _size(sha256, f"{what} {d.digest} of {name}", work)
        found.append(File(d.media_type, sha256, size, f"{what} of {name}"))
    return found


def _size(sha256: str, title: str, work: Work) -> int:
    """A stored blob's bytes: an index need not say how many they are."""
    path = work.store.blob(sha256)
    if path is None:
        raise ArchiveError("archive.missing", "is not in the store and cannot be had", where=title,
                           hint="archive it where it was made, or lock again")
    return path.stat().st_size


def _bundle(s: _Subject, files: list[File], image: Image | None, work: Work) -> Bundle:
    from bareboat.record.codec import encode_bytes

    data = encode_bytes(s.plan)
    plan_blob = work.store.put_blob([data])
    rows = [File(PLAN, plan_blob, len(data), "plan.json")]
    locks = []
    for name, text in s.texts:
        sha256 = work.store.put_blob([text])
        locks.append((name, sha256))
        rows.append(File(LOCK, sha256, len(text), name))
    return Bundle(s.name, s.names, s.plan.digest, plan_blob, s.plan.platform, tuple(sorted(locks)), (*rows, *files),
                  image.descriptor.digest if image is not None else "")


def _shipped(subjects: Sequence[_Subject], made: dict[str, Image], work: Work) -> list[Shipped]:
    """The images by what they are named, this machine's platform first in each group."""
    from bareboat.verbs.lock import host_platform

    groups: dict[object, list[_Subject]] = {}
    for s in subjects:
        groups.setdefault(s.project.root if s.project is not None else s.plan.digest, []).append(s)
    found, tags = [], work.store.tags()
    for group in groups.values():
        group.sort(key=lambda s: s.plan.platform != host_platform())
        images = tuple(dict.fromkeys(made[s.shipped.digest] for s in group if s.shipped.digest in made))
        digests = {s.shipped.digest for s in group}
        names = tuple(sorted(n for n, digest in tags.items() if digest in digests))
        names = names or tuple(dict.fromkeys(n for s in group for n in s.names)) or _usual(group[0].name)
        if images:
            found.append(Shipped(images, names))
    return found


def _usual(name: str) -> tuple[str, ...]:
    """A project's own name where it can name an image."""
    from bareboat.verbs.build import check_name

    try:
        check_name(name)
    except UsageError:
        return ()
    return (f"{name}:latest",)



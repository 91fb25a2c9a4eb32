"""archive --restore: an archive's sources into the store, and the images made of them, without a network.

The archive may have lain for years or come from a stranger: indexes are read strictly, every blob is compared with its
digest as it is stored, and names and images appear only after all of it was right. No name in it becomes a path.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from bareboat.errors import ArchiveError
from bareboat.image.archive import Bundle, bundle_config, check_complete, read_bundles, read_index
from bareboat.image.manifest import MANIFEST_MOST
from bareboat.image.spec import Descriptor
from bareboat.image.tarstream import BLOCK, FILE, TarStream
from bareboat.record.artifact import RUN, read_artifact
from bareboat.verbs.collaborators import Work

if TYPE_CHECKING:
    from bareboat.image.plan import Plan

_CHUNK = 1 << 20
_BLOBS = "blobs/sha256/"


@dataclass(frozen=True)
class Restored:
    """What was brought in. images: (name, plan digest, image names) of each; files, bytes: what was not here before;
    runs: ids."""

    images: tuple[tuple[str, str, tuple[str, ...]], ...]
    files: int
    bytes: int
    runs: tuple[str, ...] = ()


class Source(Protocol):
    """An archive to be read: a directory, or a tar that is read from front to back."""

    def small(self, path: str, most: int) -> bytes | None:
        """A file of at most `most` bytes; None when there is none. ArchiveError "archive.malformed", "tar.*"."""

    def blobs(self, wanted: dict[str, Descriptor]) -> Iterator[tuple[Descriptor, Iterator[bytes]]]:
        """Those of these blobs (by sha256) that are there, each with its bytes, which are read before the next."""


def restore_archive(path: Path, work: Work) -> Restored:
    """Bring an archive's sources into the store, make its images' trees, and give them their names. Idempotent.

    What was stored before a failure stays, is right, and is not read again. Raises ArchiveError "archive.*", "blob.*",
    "manifest.*", "tar.*", StoreError.
    """
    where = os.fspath(path)
    try:
        if path.is_dir():
            return _restore(_Directory(path), where, work)
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ArchiveError("archive.unknown", "is neither a file nor a directory", where=where)
            return _restore(_Tar(file, where), where, work)
    except FileNotFoundError:
        raise ArchiveError("archive.unknown", "does not exist", where=where,
                           hint="name the file or directory that `bareboat archive -o` wrote") from None


@dataclass(frozen=True)
class _Holding:
    """What an archive says it holds. files: every blob that is wanted, by sha256, with a name for people; documents:
    manifests that were read already, by digest; runs: digests of runs' manifests."""

    bundles: tuple[Bundle, ...]
    runs: tuple[str, ...]
    files: dict[str, tuple[Descriptor, str]]
    documents: dict[str, bytes]


def _restore(source: Source, where: str, work: Work) -> Restored:
    holding = _holding(source, where)
    store = work.store
    with store.lease(holding.files):
        missing = {sha256: d for sha256, (d, _) in holding.files.items() if store.verified_blob(sha256) is None}
        total, done = sum(d.size for d in missing.values()), 0
        lacking = dict(missing)
        for descriptor, chunks in source.blobs(missing):
            sha256 = descriptor.digest.removeprefix("sha256:")
            store.put_blob(chunks, sha256=sha256, size=descriptor.size, where=f"{where}: {descriptor.digest}")
            lacking.pop(sha256, None)
            done += descriptor.size
            work.tell.progress("restore", done, total)
        if lacking:
            raise ArchiveError("archive.incomplete", f"{holding.files[next(iter(lacking))][1]} is not in it"
                               + (f", nor are {len(lacking) - 1} other files" if len(lacking) > 1 else ""), where=where,
                               hint="copy the archive again: this copy is not whole")
        for bundle in holding.bundles:
            _check_names(bundle, where)
        plans = [_plan(bundle, where, work) for bundle in holding.bundles]
        for bundle, plan in zip(holding.bundles, plans, strict=True):
            _make(bundle, plan, work)
        runs = tuple(_run(digest, holding, where, work) for digest in holding.runs)
    return Restored(tuple((b.name, b.plan, b.names) for b in holding.bundles), len(missing), total, runs)


def _holding(source: Source, where: str) -> _Holding:
    """What the archive holds, from its index downwards, every document compared with its digest."""
    data = source.small("index.json", MANIFEST_MOST)
    if data is None or source.small("oci-layout", MANIFEST_MOST) is None:
        raise ArchiveError("archive.unknown", "is no archive: it has no index.json and oci-layout", where=where,
                           hint="name what `bareboat archive -o` wrote; `bareboat load` takes images")
    index = read_index(data, where)
    manifests, configs = [], {}
    for descriptor in index.bundles:
        manifest = _document(source, descriptor, where)
        manifests.append((descriptor, manifest))
        config = bundle_config(manifest, where)
        if config.digest not in configs:
            configs[config.digest] = _document(source, config, where)
    bundles = read_bundles(manifests, configs, where)
    files = {file.sha256: (file.descriptor, file.title) for bundle in bundles for file in bundle.files}
    runs: list[str] = []
    documents: dict[str, bytes] = {}
    for entry in index.others:
        if entry.artifact_type == RUN:
            runs.append(entry.descriptor.digest)
            documents |= _of_run(source, entry.descriptor, files, where)
    return _Holding(bundles, tuple(runs), files, documents)


def _of_run(source: Source, run: Descriptor, files: dict[str, tuple[Descriptor, str]], where: str) -> dict[str, bytes]:
    """The documents of a run and its image; their blobs are added to what is wanted."""
    from bareboat.image.manifest import Manifest, read_manifest

    data = _document(source, run, where)
    artifact = read_artifact(data, f"{where}@{run.digest}")
    image = _document(source, artifact.subject, where)
    document = read_manifest(image, artifact.subject.media_type, where)
    if not isinstance(document, Manifest):
        raise _malformed(f"the image of run {artifact.run} is an index", where)
    wanted = [part.descriptor for part in (artifact.record, *artifact.parts)]
    wanted += [e.descriptor for e in (document.config, *document.layers)]
    for d in wanted:
        if not d.digest.startswith("sha256:"):
            raise _malformed(f"{d.digest[:80]} is no sha256", where)
        files.setdefault(d.digest.removeprefix("sha256:"), (d, f"a part of run {artifact.run}"))
    return {run.digest: data, artifact.subject.digest: image}


def _run(digest: str, holding: _Holding, where: str, work: Work) -> str:
    """Take a run in as one that came from elsewhere, its image from the blobs that are in the store now."""
    from bareboat.registry.archive import StoredRepository
    from bareboat.registry.places import ARCHIVE, Place
    from bareboat.verbs.arrivals import take
    from bareboat.verbs.lock import host_platform
    from bareboat.verbs.run_places import find_run

    for of, data in holding.documents.items():
        work.store.put_blob([data], sha256=of.removeprefix("sha256:"), where=where)
    stored = StoredRepository(work.store, os.path.abspath(where))
    found = find_run(stored, Place(ARCHIVE, wanted=digest), os.path.abspath(where))
    return take(found, host_platform(), work, large=True).id


def _document(source: Source, descriptor: Descriptor, where: str) -> bytes:
    import hashlib

    algorithm, _, hexed = descriptor.digest.partition(":")
    data = source.small(f"blobs/{algorithm}/{hexed}", MANIFEST_MOST)
    if data is None:
        raise ArchiveError("archive.incomplete", f"{descriptor.digest}, which its index names, is not in it",
                           where=where, hint="copy the archive again: this copy is not whole")
    if len(data) != descriptor.size or hashlib.new(algorithm, data).hexdigest() != hexed:
        raise ArchiveError("blob.digest", "a document of the archive is not what its digest says",
                           where=f"{where}: {descriptor.digest}", hint="copy the archive again; nothing was named")
    return data


def _plan(bundle: Bundle, where: str, work: Work) -> Plan:
    from bareboat.image.plan import Plan
    from bareboat.record.codec import decode_bytes

    path = work.store.blob(bundle.plan_blob)
    assert path is not None  # put or verified just now, and leased
    plan = decode_bytes(Plan, path.read_bytes(), f"{where}: plan of {bundle.name}")
    check_complete(bundle, plan, where)
    return plan


def _make(bundle: Bundle, plan: Plan, work: Work) -> None:
    """The trees of a bundle's plan, made without asking anybody, and its names."""
    from bareboat.verbs.environment import ASSEMBLY, assemble

    offline = replace(work, settings=replace(work.settings, offline=True))
    made = assemble(plan, offline)
    document = work.store.get_json("plans", made.plan)
    assert isinstance(document, dict)
    work.store.put_json("plans", made.plan, {**document, "locks": list(bundle.locks), "assembly": ASSEMBLY})
    tags = work.store.tags()
    for name in bundle.names:
        if tags.get(name, made.plan) != made.plan:
            work.tell.say(f"{name} was {tags[name][:19]} until now")
        work.store.tag(name, made.plan)


def _check_names(bundle: Bundle, where: str) -> None:
    from bareboat.errors import UsageError
    from bareboat.image.reference import parse_reference

    for name in bundle.names:
        try:
            parse_reference(name)
        except UsageError as error:
            raise _malformed(f"{bundle.name}: {error.what}", where) from None


class _Directory:
    """A layout on disk. Nothing but regular files is opened, and no link at the end of a path is followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def small(self, path: str, most: int) -> bytes | None:
        file = self._open(path)
        if file is None:
            return None
        with file:
            data = file.read(most + 1)
        if len(data) > most:
            raise _malformed(f"{path} has more than {most:,} bytes", os.fspath(self._root))
        return data

    def blobs(self, wanted: dict[str, Descriptor]) -> Iterator[tuple[Descriptor, Iterator[bytes]]]:
        for sha256, descriptor in wanted.items():
            file = self._open(_BLOBS + sha256)
            if file is not None:
                with file:
                    yield descriptor, iter(lambda: file.read(_CHUNK), b"")  # noqa: B023 - read before the next

    def _open(self, path: str) -> BinaryIO | None:
        try:
            fd = os.open(self._root / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _malformed(f"{path} cannot be read: {error.strerror}", os.fspath(self._root)) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _malformed(f"{path} is no regular file", os.fspath(self._root))
        return open(fd, "rb")


class _Tar:
    """A layout in a tar. Small files are kept as they are met; an archive of ours has them before everything else, so
    that the whole is read once."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file, self._where = file, where
        self._most = os.fstat(file.fileno()).st_size + 2 * BLOCK  # so that one cut short is said to be that
        self._stream = TarStream(file, where, self._most)
        self._members = iter(self._stream)
        self._small: dict[str, bytes] = {}

    def small(self, path: str, most: int) -> bytes | None:
        while path not in self._small:
            try:
                member = next(self._members, None)
            except ArchiveError as error:
                raise self._explained(error) from None
            if member is None:
                return None
            if member.kind == FILE and member.size <= MANIFEST_MOST and member.path not in self._small:
                self._small[member.path] = b"".join(self._stream.chunks())
        data = self._small[path]
        if len(data) > most:
            raise _malformed(f"{path} has {len(data):,} bytes", self._where)
        return data

    def blobs(self, wanted: dict[str, Descriptor]) -> Iterator[tuple[Descriptor, Iterator[bytes]]]:
        self._file.seek(0)
        stream, left = TarStream(self._file, self._where, self._most), dict(wanted)
        for member in stream:
            name = member.path.removeprefix(_BLOBS)
            if member.kind == FILE and member.path.startswith(_BLOBS) and name in left:
                yield left.pop(name), stream.chunks()
            if not left:
                return

    def _explained(self, error: ArchiveError) -> ArchiveError:
        if not self._small and error.code in ("tar.header", "tar.truncated"):
            return ArchiveError("archive.unknown", "is no archive: it is no tar", where=self._where,
                                hint="name what `bareboat archive -o` wrote")
        return error


def _malformed(what: str, where: str) -> ArchiveError:
    return ArchiveError("archive.malformed", what, where=where, hint="copy the archive again, or archive again")

"""save: an image as an OCI image layout, a directory or one tar that `docker load` takes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bareboat.builder.blobs import make_blobs
from bareboat.builder.outgoing import RottenError, blob_chunks
from bareboat.errors import UsageError
from bareboat.host.files import fsync
from bareboat.image.layout import Member, members, platform_members, tar_of
from bareboat.image.plan import Plan
from bareboat.image.spec import INDEX, Image, describe, platform_index
from bareboat.verbs.collaborators import Work
from bareboat.verbs.images import plans_of, stored_plan


@dataclass(frozen=True)
class Target:
    """Where an image goes: a file, a directory, or a stream of bytes where there is no path."""

    path: Path | None = None
    directory: bool = False
    out: Callable[[bytes], object] | None = None

    @classmethod
    def of(cls, text: str) -> Target:
        """What a user's words mean: a directory where they end in "/" or name one, else a tar. A link stays one."""
        path = Path(text)
        if path.is_symlink() and not is_special(path):
            path = Path(os.path.realpath(path))
        return cls(path.absolute(), text.endswith("/") or path.is_dir())


def is_special(path: Path) -> bool:
    """Whether a device or a pipe is there, which is written to and never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@dataclass(frozen=True)
class Saved:
    """What was written: the digest of the manifest (of several platforms: of the index), the plan's, the number of
    layers, and bytes in all.
    """

    manifest: str
    plan: str
    layers: int
    size: int


def save(name: str, target: Target, work: Work, *, one: bool = False, label: str = "") -> Saved:
    """Write an image. Its layers are made where they are missing, and stay in the store. A name that stands for several
    platforms is written with all of them and an index; one: this machine's alone. label: its name in the
    archive, else the one it has here.

    Atomic but for a stream: what is at the path is the old or the whole new. A directory must be empty or missing.
    Raises UsageError "image.unknown", "save.exists", "save.folder", and what assembling raises.
    """
    digests = plans_of(name, work)[: 1 if one else None]
    check(target)
    plans = [stored_plan(digest, work) for digest in digests]
    label = label or (_tagged(name) if name in work.store.tags() else "")
    try:
        images, size = _save(plans, label, target, work)
    except RottenError:
        if target.path is None:  # what went to a pipe cannot be taken back
            raise
        images, size = _save(plans, label, target, work)  # the layer was removed, so it is made again
    for digest, image in zip(digests, images, strict=True):
        document = work.store.get_json("plans", digest)
        if isinstance(document, dict) and document.get("manifest") != image.descriptor.digest:
            work.store.put_json("plans", digest, {**document, "manifest": image.descriptor.digest})
    top = images[0].descriptor if len(images) == 1 else describe(INDEX, platform_index(images))
    return Saved(top.digest, digests[0], len({layer for image in images for layer in image.layers}), size)


def _tagged(name: str) -> str:
    """A name without its digest, which no archive can carry; "" where there is no tag then."""
    before, at, _ = name.partition("@")
    return before if not at or ":" in before.rpartition("/")[2] else ""


def check(target: Target) -> None:
    """Refuse what could not be written in the end, before anything is made."""
    path = target.path
    if path is None:
        return
    if target.directory and os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
        raise UsageError("save.exists", "is not an empty directory", where=str(path),
                         hint="name a new directory, or a file: -o image.tar")
    if not path.parent.is_dir():
        raise UsageError("save.folder", "there is no such directory", where=str(path.parent),
                         hint="make it first, or write elsewhere")


def _save(plans: list[Plan], label: str, target: Target, work: Work) -> tuple[list[Image], int]:
    from bareboat.verbs.lock import sources

    images = [make_blobs(work.store, plan, sources(work), work.tell.progress) for plan in plans]
    archive = not target.directory
    files = members(images[0], label, archive=archive) if len(images) == 1 else \
        platform_members(images, label, archive=archive)
    return images, write(target, files, work)


def write(target: Target, files: tuple[Member, ...], work: Work) -> int:
    """Write the files of a layout, those without content from the store, and return their bytes. Atomic as save."""
    total = sum(m.size for m in files)
    done = [0]

    def read(member: Member) -> Iterator[bytes]:
        for chunk in _blob(member, work):
            yield chunk
            done[0] += len(chunk)
            work.tell.progress("save", done[0], total)

    if target.path is None:
        assert target.out is not None
        for chunk in tar_of(files, read):
            target.out(chunk)
    else:
        _replace(target, files, read)
    return total


def _blob(member: Member, work: Work) -> Iterator[bytes]:
    """A member's bytes; those of a blob are compared with its digest on the way."""
    if member.content is not None:
        yield member.content
        return
    yield from blob_chunks(work.store, member.blob)


def _replace(target: Target, files: tuple[Member, ...], read: Callable[[Member], Iterable[bytes]]) -> None:
    """Write beside the target under a name of its own, then rename. Raises OSError; nothing is left then."""
    from bareboat.host.files import fsync_directory, remove_tree

    assert target.path is not None
    path = target.path
    if is_special(path):
        with open(path, "wb") as file:
            for chunk in tar_of(files, read):
                file.write(chunk)
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        if target.directory:
            for member in files:
                place = draft / member.path
                place.parent.mkdir(parents=True, exist_ok=True)
                _write(place, read(member))
        else:
            _write(draft, tar_of(files, read))
        os.replace(draft, path)
        fsync_directory(path.parent)
    finally:
        if draft.is_dir():
            remove_tree(draft)
        else:
            draft.unlink(missing_ok=True)


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with open(path, "xb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        fsync(file.fileno())

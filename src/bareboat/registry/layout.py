"""A repository in a directory: an OCI image layout (image-spec 1.1, image-layout.md).

index.json is the table of tags, replaced as a whole under a lock (flock of the directory), so two writers never lose
each other's rows. Files are reached by descriptors from the directory down without following links: nothing outside is
read or written. Who finds a layout by tag finds it by its annotation org.opencontainers.image.ref.name.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bareboat.errors import ArchiveError
from bareboat.host.files import fsync
from bareboat.image.layout import CONTAINERD_NAME, REF_NAME
from bareboat.image.manifest import MANIFEST_MOST, Entry, Index, read_manifest
from bareboat.image.reference import is_digest
from bareboat.image.spec import INDEX, Descriptor, canonical
from bareboat.registry import answers, referrers
from bareboat.registry.base import Blob, Content, RegistryError, Sent

PATIENCE = 60.0  # seconds for another writer
_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DRAFT = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_VERSION = canonical({"imageLayoutVersion": "1.0.0"})


def open_layout(path: Path, *, create: bool = False) -> LayoutRepository:
    """The layout in a directory; create: make an empty one where there is nothing yet.

    Raises RegistryError "layout.missing", "layout.version".
    """
    found = LayoutRepository(path)
    if create and not (path / "oci-layout").exists():
        found.make()
    found.check()
    return found


class LayoutRepository:
    """As base.Repository has it; a tag is "" for the only image of a layout."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """ "oci:/images/seg"."""
        return f"oci:{self._path}"

    def make(self) -> None:
        """An empty layout. Raises RegistryError "layout.not-empty", "layout.io"."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            if any(self._path.iterdir()):
                raise RegistryError("layout.not-empty", "the directory holds other things", where=self.name,
                                    hint="name a new directory, or an OCI layout")
        except OSError as error:
            raise self._io(error) from None
        with self._root() as root:
            self._replace(root, "index.json", canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}))
            self._replace(root, "oci-layout", _VERSION)

    def check(self) -> None:
        """Whether it is a layout of a version that is known."""
        with self._root() as root:
            data = self._small(root, "oci-layout", 4096)
        try:
            version = answers.unique_json(data or b"")["imageLayoutVersion"]
        except (ValueError, LookupError, TypeError):
            raise RegistryError("layout.missing", "is no OCI image layout", where=self.name,
                                hint="a layout is a directory with oci-layout, index.json and blobs/") from None
        if not isinstance(version, str) or not version.startswith("1."):
            raise RegistryError("layout.version", f"is a layout of version {str(version)[:40]!r}", where=self.name,
                                hint="version 1.0.0 is known")

    def manifest(self, reference: str) -> Content:
        """By tag or digest, verified; "" for the only one."""
        with self._root() as root:
            rows = self._rows(root)
            if is_digest(reference):
                row = next((r for r in rows if r.descriptor.digest == reference), None)
                return self._content(root, reference, row.descriptor.media_type if row else "")
            descriptor = self._named(root, rows, reference)
            return self._content(root, descriptor.digest, descriptor.media_type)

    def head(self, reference: str) -> Descriptor | None:
        """As manifest, which is at hand."""
        try:
            return self.manifest(reference).descriptor
        except RegistryError as error:
            if error.code == "registry.not-found":
                return None
            raise

    def blob(self, descriptor: Descriptor, at: int = 0) -> Iterator[bytes]:
        """The bytes of the file, from an offset on."""
        algorithm, hexed = self._split(descriptor.digest)
        with self._root() as root:
            fd = self._open_blob(root, algorithm, hexed)
        if os.fstat(fd).st_size != descriptor.size:
            os.close(fd)
            raise RegistryError("registry.size", f"the file has not the {descriptor.size:,} bytes it should",
                                where=self._where(descriptor.digest), hint="the layout is damaged: copy it again")
        return self._bytes(fd, at)

    def put_blob(self, blob: Blob, mount: str = "") -> Sent:
        """Into blobs/, when its bytes are what its descriptor says. mount means nothing here."""
        algorithm, hexed = self._split(blob.descriptor.digest)
        with self._root() as root:
            try:
                fd = self._open_blob(root, algorithm, hexed)
                size = os.fstat(fd).st_size
                os.close(fd)
                if size == blob.descriptor.size:
                    return Sent("there")  # a file that was cut short by others is written anew
            except RegistryError as error:
                if error.code != "registry.not-found":
                    raise
            return Sent("sent", self._write(root, algorithm, hexed, blob))

    def put_manifest(self, content: Content, tag: str = "") -> None:
        """Its bytes, then its row: by tag, or without one where it speaks of another manifest."""
        if answers.digest_of(content.data, content.digest) != content.digest:
            raise RegistryError("registry.digest", "these bytes are not what their digest says", where=self.name)
        subject = referrers.subject_of(content, self._where(content.digest))
        self.put_blob(Blob(content.descriptor, lambda at: iter((content.data[at:],))))
        if not tag and subject is None:
            return
        with self._root() as root, self._locked(root):
            rows = [row for row in self._documents(root) if not _is_row(row, content.digest, tag)]
            new = referrers.row(content, self.name) if subject is not None else content.descriptor.document()
            if tag:
                new["annotations"] = {**dict(new.get("annotations") or {}), REF_NAME: tag}  # type: ignore[call-overload]
            document = {**self._document(root), "manifests": [*rows, new]}
            self._replace(root, "index.json", canonical(document))

    def tags(self) -> list[str]:
        """Every name, sorted."""
        with self._root() as root:
            return sorted({name for row in self._rows(root) if (name := dict(row.annotations).get(REF_NAME))})

    def referrers(self, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """Of the manifests that index.json names, those whose subject it is."""
        found: dict[str, Descriptor] = {}
        with self._root() as root:
            for row in self._rows(root)[:referrers.MOST]:
                try:
                    content = self._content(root, row.descriptor.digest, row.descriptor.media_type)
                    subject = referrers.subject_of(content, self.name)
                    kind = referrers.row(content, self.name).get("artifactType")
                except (RegistryError, ArchiveError):
                    continue  # a sparse layout, or one of another's making
                if subject is not None and subject.digest == digest and artifact_type in ("", kind):
                    found[content.digest] = content.descriptor
        return tuple(found.values())

    def close(self) -> None:
        """Nothing is held."""

    def _named(self, root: int, rows: tuple[Entry, ...], tag: str) -> Descriptor:
        found = {row.descriptor.digest: row.descriptor for row in rows if dict(row.annotations).get(REF_NAME) == tag}
        if not tag:
            found = {row.descriptor.digest: row.descriptor for row in rows if not self._speaks(root, row)}
        elif not found:  # Docker and containerd write the whole name there or beside it
            found = {row.descriptor.digest: row.descriptor for row in rows for key in (REF_NAME, CONTAINERD_NAME)
                     if dict(row.annotations).get(key, "").rpartition(":")[2] == tag}
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            raise RegistryError("registry.ambiguous", f"{len(found)} images could be meant", where=self._where(tag),
                                hint="name one by its tag or digest")
        raise RegistryError("registry.not-found", "the layout does not have it", where=self._where(tag),
                            hint="its names are the ref.name annotations of index.json")

    def _speaks(self, root: int, row: Entry) -> bool:
        try:
            content = self._content(root, row.descriptor.digest, row.descriptor.media_type)
            return referrers.subject_of(content, self.name) is not None
        except (RegistryError, ArchiveError):
            return False

    def _rows(self, root: int) -> tuple[Entry, ...]:
        index = read_manifest(canonical(self._document(root)), INDEX, f"{self.name}/index.json")
        assert isinstance(index, Index)
        return index.manifests

    def _documents(self, root: int) -> list[dict[str, Any]]:
        self._rows(root)  # strictly, before anything of it is written again
        rows: list[dict[str, Any]] = self._document(root)["manifests"]
        return rows

    def _document(self, root: int) -> dict[str, Any]:
        data = self._small(root, "index.json", MANIFEST_MOST)
        where = f"{self.name}/index.json"
        if data is None:
            raise RegistryError("layout.missing", "the layout has no index.json", where=self.name)
        if not isinstance(read_manifest(data, INDEX, where), Index):
            raise RegistryError("layout.missing", "is no image index", where=where)
        document: dict[str, Any] = json.loads(data)
        document.setdefault("manifests", [])
        return document

    def _content(self, root: int, digest: str, media_type: str) -> Content:
        algorithm, hexed = self._split(digest)
        fd = self._open_blob(root, algorithm, hexed)
        with open(fd, "rb") as file:
            data = file.read(MANIFEST_MOST + 1)
        if len(data) > MANIFEST_MOST:
            raise RegistryError("registry.too-large", f"is larger than {MANIFEST_MOST:,} bytes",
                                where=self._where(digest), hint="this is no manifest")
        if answers.digest_of(data, digest) != digest:
            raise RegistryError("registry.digest", "the file is not what its name says", where=self._where(digest),
                                hint="the layout is damaged: copy it again")
        return Content(answers.media_type_of(data, media_type), digest, data)

    def _open_blob(self, root: int, algorithm: str, hexed: str) -> int:
        try:
            blobs = os.open("blobs", _FOLDER, dir_fd=root)
            try:
                folder = os.open(algorithm, _FOLDER, dir_fd=blobs)
            finally:
                os.close(blobs)
            try:
                fd = os.open(hexed, _READ, dir_fd=folder)
            finally:
                os.close(folder)
        except FileNotFoundError:
            raise RegistryError("registry.not-found", "the layout does not have it",
                                where=self._where(f"{algorithm}:{hexed}"),
                                hint="the layout is not complete: copy it again") from None
        except OSError as error:
            raise self._io(error) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise RegistryError("layout.io", "is no file", where=self._where(f"{algorithm}:{hexed}"))
        return fd

    def _bytes(self, fd: int, at: int) -> Iterator[bytes]:
        with open(fd, "rb", buffering=0) as file:
            file.seek(at)
            while chunk := file.read(_CHUNK):
                yield chunk

    def _write(self, root: int, algorithm: str, hexed: str, blob: Blob) -> int:
        draft = f".draft-{os.getpid()}-{os.urandom(6).hex()}"
        whole, size = hashlib.new(algorithm), 0
        try:
            folder = self._folder(root, algorithm)
            try:
                fd = os.open(draft, _DRAFT, 0o644, dir_fd=root)
                with open(fd, "wb", buffering=0) as file:
                    for chunk in blob.open(0):
                        whole.update(chunk)
                        size += len(chunk)
                        _write_all(file.fileno(), chunk)
                    fsync(file.fileno())
                if whole.hexdigest() != hexed or size != blob.descriptor.size:
                    raise RegistryError("registry.digest", "these bytes are not what their descriptor says",
                                        where=self._where(blob.descriptor.digest))
                os.rename(draft, hexed, src_dir_fd=root, dst_dir_fd=folder)
                fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._io(error) from None
        finally:
            _gone(root, draft)
        return size

    def _folder(self, root: int, algorithm: str) -> int:
        at = os.dup(root)
        for part in ("blobs", algorithm):
            try:
                try:
                    os.mkdir(part, 0o755, dir_fd=at)
                except FileExistsError:
                    pass
                inner = os.open(part, _FOLDER, dir_fd=at)
            finally:
                os.close(at)
            at = inner
        return at

    def _replace(self, root: int, name: str, data: bytes) -> None:
        draft = f".draft-{os.getpid()}-{os.urandom(6).hex()}"
        try:
            with open(os.open(draft, _DRAFT, 0o644, dir_fd=root), "wb", buffering=0) as file:
                _write_all(file.fileno(), data)
                fsync(file.fileno())
            os.rename(draft, name, src_dir_fd=root, dst_dir_fd=root)
            fsync(root)
        except OSError as error:
            raise self._io(error) from None
        finally:
            _gone(root, draft)

    def _small(self, root: int, name: str, most: int) -> bytes | None:
        try:
            fd = os.open(name, _READ, dir_fd=root)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._io(error) from None
        with open(fd, "rb") as file:
            data = file.read(most + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        if len(data) > most:
            raise RegistryError("registry.too-large", f"is larger than {most:,} bytes", where=f"{self.name}/{name}")
        return data

    @contextmanager
    def _root(self) -> Iterator[int]:
        try:
            root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise RegistryError("layout.missing", "is no directory", where=self.name,
                                hint="a layout is a directory with oci-layout, index.json and blobs/") from None
        except OSError as error:
            raise self._io(error) from None
        try:
            yield root
        finally:
            os.close(root)

    @contextmanager
    def _locked(self, root: int) -> Iterator[None]:
        """Held by this open descriptor, and let go with it, also by kill -9."""
        end, pause = time.monotonic() + PATIENCE, 0.001
        while True:
            try:
                fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise RegistryError("layout.busy", f"another program holds it for over {PATIENCE:.0f} s",
                                        where=self.name, hint="see who: fuser -v on this directory") from None
                time.sleep(pause)
                pause = min(pause * 2, 0.05)
            except OSError as error:
                raise self._io(error) from None
        try:
            yield
        finally:
            fcntl.flock(root, fcntl.LOCK_UN)

    def _split(self, digest: str) -> tuple[str, str]:
        if not is_digest(digest):
            raise RegistryError("registry.digest", f"{digest[:80]!r} is no digest", where=self.name)
        algorithm, _, hexed = digest.partition(":")
        return algorithm, hexed

    def _where(self, reference: str) -> str:
        sign = "@" if is_digest(reference) else ":" if reference else ""
        return f"{self.name}{sign}{reference}"

    def _io(self, error: OSError) -> RegistryError:
        return RegistryError("layout.io", error.strerror or str(error), where=self.name,
                             hint="look at owner, mode and free space; links inside a layout are not followed")


def _is_row(row: dict[str, Any], digest: str, tag: str) -> bool:
    """Whether a new row takes this one's place: of the same tag, or of the same manifest without a tag."""
    name = (row.get("annotations") or {}).get(REF_NAME)
    return name == tag if tag else row.get("digest") == digest and not name


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def _gone(root: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=root)
    except FileNotFoundError:
        pass

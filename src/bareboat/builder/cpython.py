"""A relocatable CPython → a tree of its own, at /opt/python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError
from bareboat.lock import CPython

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

FORMAT = "1"  # part of the key: raised when the same archive would give another tree
HOME = "opt/python"
_TOP = "python/"  # of every install_only archive


def cpython_key(cpython: CPython) -> str:
    """The store's key of its tree. Pure."""
    return f"cpython-{FORMAT}-{cpython.sha256}"


def executable_of(version: str) -> str:
    """The interpreter of that tree: "/opt/python/bin/python3.12" of "3.12"."""
    return f"/{HOME}/bin/python{version}"


def make_cpython_tree(store: Store, cpython: CPython) -> Path:
    """Unpack the archive, which must be in the store. Idempotent, atomic. Raises ArchiveError "cpython.*", "tar.*"."""
    return store.make_tree(cpython_key(cpython), lambda tree: _fill(store, cpython, tree))


def _fill(store: Store, cpython: CPython, tree: TreeWriter) -> None:
    import gzip
    import zlib

    from bareboat.image.tarstream import LAYER, TarStream

    blob = store.blob(cpython.sha256)
    if blob is None:
        raise ArchiveError("cpython.missing", "the archive is not in the store", where=cpython.url,
                           hint="run again while it can be fetched")
    try:
        with gzip.open(blob, "rb") as source:
            stream = TarStream(source, cpython.url, 8 << 30, LAYER)
            for member in stream:
                path = f"{member.path}/"
                if not path.startswith(_TOP):
                    raise ArchiveError("cpython.layout", f"{member.path!r} is not below python/", where=cpython.url,
                                       hint="an install_only archive of python-build-standalone is meant")
                to = f"{HOME}/{member.path[len(_TOP):]}".rstrip("/")
                if member.kind == "directory":
                    tree.directory(to, 0o755)
                elif member.kind == "file":
                    tree.file(to, 0o755 if member.mode & 0o111 else 0o644, stream.chunks())
                elif member.kind == "symlink":
                    tree.symlink(to, member.link)
                elif member.kind == "hardlink":
                    tree.hardlink(to, f"{HOME}/{member.link.removeprefix(_TOP)}")
    except (OSError, EOFError, zlib.error) as e:
        if isinstance(e, gzip.BadGzipFile) or not isinstance(e, OSError):
            raise ArchiveError("cpython.corrupt", f"is no whole gzip file: {e}", where=cpython.url) from None
        raise
    if f"{HOME}/bin/python{cpython.version.rpartition('.')[0]}" not in tree:
        raise ArchiveError("cpython.layout", "there is no interpreter in it", where=cpython.url)

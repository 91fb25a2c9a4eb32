"""Blobs of the store on their way out: read once, and compared with their digest before the last byte leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError

if TYPE_CHECKING:
    from bareboat.store import Store

_CHUNK = 1 << 20


class RottenError(ArchiveError):
    """A blob is gone or not what its digest says, and is not in the store any more: it can be made anew."""


def blob_chunks(store: Store, sha256: str, at: int = 0) -> Iterator[bytes]:
    """A blob's bytes from an offset on; those of a whole one are verified. Raises RottenError "blob.missing",
    "blob.digest".
    """
    path = store.blob(sha256)
    if path is None:
        raise RottenError("blob.missing", "a layer went while it was read", where=sha256,
                          hint="run the command again: it is made anew")
    whole = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(at)
        chunk = file.read(_CHUNK)
        while True:
            following = file.read(_CHUNK)
            whole.update(chunk)
            if not following and not at and whole.hexdigest() != sha256:
                store.remove_blob(sha256)
                raise RottenError("blob.digest", "a layer in the store was not what its digest says; it is removed",
                                  where=sha256, hint="run the command again: it is made anew")
            if chunk:
                yield chunk
            if not following:
                return
            chunk = following

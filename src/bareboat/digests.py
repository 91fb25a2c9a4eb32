"""sha256 of what is small, from the interpreter itself: OpenSSL need not be loaded for a few kilobytes.

What hashes files of any size takes hashlib's, which is several times faster there. Measured:
docs/decisions/0001-values-without-dataclasses.md.
"""

from __future__ import annotations

from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256 as sha256
    from typing import Protocol

    class Hash(Protocol):
        """What both modules' objects can do."""

        def update(self, data: bytes, /) -> None: ...
        def digest(self) -> bytes: ...
        def hexdigest(self) -> str: ...
else:
    try:
        from _sha2 import sha256  # Python 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # an interpreter built without its own
            from hashlib import sha256

LARGE = 1 << 18  # bytes from where on hashing takes longer than loading OpenSSL


def hasher(size: int) -> Hash:
    """A new sha256 for about so many bytes."""
    if size < LARGE:
        return sha256()
    import hashlib

    return hashlib.sha256()

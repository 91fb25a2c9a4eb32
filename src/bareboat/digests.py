"""sha256 of what is small, from the interpreter itself: OpenSSL need not be loaded for a few kilobytes.

What hashes files of any size takes hashlib's, which is several times faster there. Measured:
docs/decisions/0001-values-without-dataclasses.md.
"""

from __future__ import annotations

from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256 as sha256
else:
    try:
        from _sha2 import sha256  # Python 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # an interpreter built without its own
            from hashlib import sha256  # noqa: F401 - for those who import it from here

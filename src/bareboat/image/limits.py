"""Where other people's layers stop, as settings say. Pure."""

from __future__ import annotations

from bareboat.errors import ArchiveError
from bareboat.values import dataclass

_SETTINGS = {"too-large": "layer-size", "entries": "layer-entries", "ratio": "layer-ratio"}


@dataclass(frozen=True)
class Limits:
    """bytes: unpacked, holes included; entries: members; ratio: bytes of the tar for one of the blob, looked at from
    ratio_after bytes on: images hold honest zeros.
    """

    bytes: int = 64 << 30
    entries: int = 2_000_000
    ratio: int = 200
    ratio_after: int = 1 << 30


def beyond(limit: str, what: str, where: str) -> ArchiveError:
    """The error "layer.LIMIT", with the setting that moves it."""
    return ArchiveError(f"layer.{limit}", what, where=where, hint=(
        f"nothing of it is kept; if you trust who made the image, raise the setting {_SETTINGS[limit]}"))

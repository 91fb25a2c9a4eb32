"""Holdings and pages as the bytes of their files, and what of a stranger's bytes is believed. Pure."""

from __future__ import annotations

import json
import math

from bareboat.errors import RecordError
from bareboat.lease.values import SLOTS, WISHES_MOST, Ask, Holding, Page, Wish
from bareboat.record.codec import decode, encode
from bareboat.training.values import Need
from bareboat.values import TYPE_CHECKING, Any, replace

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T", Holding, Page)

HOLDING_MOST, PAGE_MOST = 1 << 14, 1 << 17  # bytes of a file
NAME_MOST = 128  # characters of a run's name
UNITS_MOST, ASKS_MOST, COUNT_MOST = 256, 256, 1e6
KINDS = ("training", "session", "serving")
ID_MOST, UNIT_MOST = 64, 128
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_OF_UNITS = _LETTERS | {":"}


def write_holding(holding: Holding) -> bytes:
    """The file of a holding. Raises ValueError for one that no reader would believe."""
    return _bytes(_holding(replace(holding, name=_clipped(holding.name))), HOLDING_MOST)


def read_holding(data: bytes, uid: int) -> Holding:
    """The holding that a user of this uid tells of. Raises ValueError with what is wrong, in words."""
    return _holding(replace(_read(Holding, data, HOLDING_MOST), uid=uid))


def write_page(page: Page) -> bytes:
    """The file of a page, with no more wishes and asks than its readers take. Raises ValueError."""
    wishes = tuple(replace(wish, name=_clipped(wish.name)) for wish in page.wishes[:WISHES_MOST])
    more = page.more + len(page.wishes) - len(wishes)
    return _bytes(_page(replace(page, wishes=wishes, more=more, asks=page.asks[:ASKS_MOST])), PAGE_MOST)


def read_page(data: bytes, uid: int) -> Page:
    """The page of a user of this uid. Raises ValueError with what is wrong, in words."""
    return _page(replace(_read(Page, data, PAGE_MOST), uid=uid))


def _bytes(value: Holding | Page, most: int) -> bytes:
    data = json.dumps(encode(value), separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(data) > most:
        raise ValueError(f"it would have {len(data)} bytes, and {most} are the most")
    return data


def _read(kind: type[T], data: bytes, most: int) -> T:
    if len(data) > most:
        raise ValueError(f"it has more than {most} bytes")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_never, parse_int=_int)
        return decode(kind, document, "")
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except RecordError as error:
        raise ValueError(f"{error.where}: {error.what}".removeprefix(": ")) from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _never(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _int(text: str) -> int:
    if len(text) > 18:
        raise ValueError("a number is too long")
    return int(text)


def _holding(held: Holding) -> Holding:
    _id(held.run, "run")
    _name(held.name)
    if held.kind not in KINDS:
        raise ValueError("kind is none that there is")
    if len(held.units) > UNITS_MOST or len({name for name, _ in held.units}) != len(held.units):
        raise ValueError("units are too many, or one is there twice")
    for name, slots in held.units:
        if not 0 < len(name) <= UNIT_MOST or not _OF_UNITS.issuperset(name) or not 1 <= slots <= SLOTS:
            raise ValueError("a unit is none")
    _amounts(cpus=held.cpus, started=held.started, ends=held.ends)
    _whole(held.memory, held.priority)
    return held


def _page(page: Page) -> Page:
    if len(page.wishes) > WISHES_MOST or len(page.asks) > ASKS_MOST or not 0 <= page.more <= COUNT_MOST:
        raise ValueError("it has too many wishes or asks")
    _amounts(written=page.written, use=page.use)
    for wish in page.wishes:
        _wish(wish)
    for ask in page.asks:
        _ask(ask)
    return page


def _wish(wish: Wish) -> None:
    _id(wish.run, "run")
    _name(wish.name)
    need: Need = wish.need
    _amounts(submitted=wish.submitted, gpus=need.gpus, cpus=need.cpus, seconds=need.seconds)
    _whole(need.memory, wish.priority)
    if need.gpus > UNITS_MOST or not 1 <= need.nodes <= COUNT_MOST:
        raise ValueError("it wishes for more than there can be")


def _ask(ask: Ask) -> None:
    _id(ask.run, "run")
    _id(ask.wish, "wish")
    if not 0 <= ask.uid < 1 << 32:
        raise ValueError("uid is none")


def _id(text: str, what: str) -> None:
    if not 0 < len(text) <= ID_MOST or not _LETTERS.issuperset(text) or not text[0].isalnum():
        raise ValueError(f"{what} is no id")


def _name(text: str) -> None:
    if len(text) > NAME_MOST or not (text.isprintable() or not text):
        raise ValueError("name is too long, or would not print")


def _clipped(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:NAME_MOST])


def _amounts(**of: float) -> None:
    """Seconds since the epoch and counts alike: finite and not below 0."""
    for what, value in of.items():
        if not math.isfinite(value) or not 0 <= value < 1e13:
            raise ValueError(f"{what} is out of bounds")


def _whole(memory: int, priority: int) -> None:
    if not 0 <= memory < 1 << 60:
        raise ValueError("memory is out of bounds")
    if abs(priority) > COUNT_MOST:
        raise ValueError("priority is out of bounds")

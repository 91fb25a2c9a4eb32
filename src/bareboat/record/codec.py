"""Frozen values as JSON and back, by their declared types: run records, and plans with their sources.

A field with a default may be missing (an older bareboat's document) and unknown keys are ignored (a newer
one's); everything else that does not fit is RecordError record.malformed with the key's path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePath

from bareboat.errors import RecordError
from bareboat.values import MISSING, TYPE_CHECKING, Any, cast, fields, is_dataclass

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain JSON of a value made of dataclasses, tuples, strings, paths, numbers, booleans and None."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if is_dataclass(value):
        return {name: encode(getattr(value, name)) for name in value.__dataclass_fields__}
    raise TypeError(f"no JSON for {type(value).__name__}")


def encode_bytes(value: Any) -> bytes:
    """The canonical JSON text of a value: the same bytes on every machine; ASCII, so that odd names survive.
    """
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":")).encode("ascii")


def decode_bytes(kind: type[T], data: bytes, where: str) -> T:
    """The value of encode_bytes' bytes. Raises RecordError record.malformed."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RecordError("record.malformed", f"not JSON ({error})", where=where) from None
    return decode(kind, document, where)


def decode(kind: type[T], document: object, where: str) -> T:
    """The value of a document of encode. where: what the document is, for the error."""
    try:
        return cast("T", _decoder(cast("Any", kind))(document))
    except _Misfit as misfit:
        keys = "".join(reversed(misfit.path)).removeprefix(".")
        raise RecordError(
            "record.malformed", misfit.what, where=f"{where}: {keys}" if keys else where
        ) from None


class _Misfit(Exception):
    """What does not fit; the place is put together on the way out, so that documents that fit pay nothing."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []


def _expected(what: str, document: object) -> _Misfit:
    return _Misfit(f"expected {what}, found {type(document).__name__}")


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> Callable[[Any], Any]:
    """How a value of a declared type is read; made once for each type."""
    from typing import get_args, get_origin  # decoding alone needs them, and a run only encodes

    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _many(args[0]) if args[-1] is Ellipsis else _fixed(args)
    if origin is not None:  # X | None
        inner = _decoder(next(arg for arg in args if arg is not type(None)))
        return lambda document: None if document is None else inner(document)
    if is_dataclass(kind):
        return _dataclass(cast(type, kind))

    def plain(document: Any) -> Any:
        if type(document) is kind:
            return document
        if kind is Path and type(document) is str:
            return Path(document)
        if kind is float and type(document) is int:
            return float(document)
        raise _expected(kind.__name__, document)

    return plain


def _many(kind: Any) -> Callable[[Any], Any]:
    item = _decoder(kind)

    def read(document: Any) -> Any:
        if type(document) is not list:
            raise _expected("a list", document)
        if kind is str and all(type(text) is str for text in document):
            return tuple(document)
        values = []
        try:
            for value in document:
                values.append(item(value))  # the count says where it stopped
        except _Misfit as misfit:
            misfit.path.append(f"[{len(values)}]")
            raise
        return tuple(values)

    return read


def _fixed(kinds: tuple[Any, ...]) -> Callable[[Any], Any]:
    items = tuple(map(_decoder, kinds))

    def read(document: Any) -> Any:
        if type(document) is not list:
            raise _expected("a list", document)
        if len(document) != len(items):
            raise _Misfit(f"expected {len(items)} items, found {len(document)}")
        return tuple(item(value) for item, value in zip(items, document, strict=True))

    return read


def _types(kind: type) -> dict[str, Any]:
    from typing import get_type_hints

    from bareboat.record import gathered  # values.py names these for type checkers alone

    return get_type_hints(kind, localns=vars(gathered))


def _dataclass(kind: type) -> Callable[[Any], Any]:
    types = _types(kind)
    readers = [
        (f.name, _decoder(types[f.name]), f.default is MISSING and f.default_factory is MISSING)
        for f in fields(kind)
    ]

    def read(document: Any) -> Any:
        if type(document) is not dict:
            raise _expected("an object", document)
        values = {}
        for name, reader, needed in readers:
            if name in document:
                try:
                    values[name] = reader(document[name])
                except _Misfit as misfit:
                    misfit.path.append(f".{name}")
                    raise
            elif needed:
                raise _Misfit(f"the key {name!r} is missing")
        return kind(**values)

    return read

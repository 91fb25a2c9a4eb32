"""Frozen values as JSON and back, by their declared types: run records, and plans with their sources.

A field with a default may be missing (an older bareboat's document) and unknown keys are ignored (a newer
one's); everything else that does not fit is RecordError record.malformed with the key's path.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast, get_args, get_origin

from bareboat.errors import RecordError

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Plain JSON of a value made of dataclasses, tuples, strings, numbers, booleans and None."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
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
    return cast(T, _value(kind, document, where))


@lru_cache(maxsize=64)
def _types(kind: type) -> dict[str, Any]:
    from typing import get_type_hints

    from bareboat.record import gathered  # values.py names these for type checkers alone

    return get_type_hints(kind, localns=vars(gathered))


def _value(kind: Any, document: object, where: str) -> Any:
    origin = get_origin(kind)
    if origin is tuple:
        return _tuple(get_args(kind), document, where)
    if origin is not None:  # X | None
        if document is None:
            return None
        return _value(next(arg for arg in get_args(kind) if arg is not type(None)), document, where)
    if is_dataclass(kind):
        return _dataclass(cast(type, kind), document, where)
    if kind is float and type(document) is int:
        return float(document)
    if type(document) is not kind:
        raise RecordError(
            "record.malformed", f"expected {kind.__name__}, found {type(document).__name__}", where=where
        )
    return document


def _tuple(args: tuple[Any, ...], document: object, where: str) -> tuple[Any, ...]:
    if not isinstance(document, list):
        raise RecordError(
            "record.malformed", f"expected a list, found {type(document).__name__}", where=where
        )
    if args[-1] is Ellipsis:
        return tuple(_value(args[0], item, f"{where}[{i}]") for i, item in enumerate(document))
    if len(args) != len(document):
        raise RecordError(
            "record.malformed", f"expected {len(args)} items, found {len(document)}", where=where
        )
    return tuple(_value(arg, item, where) for arg, item in zip(args, document, strict=True))


def _dataclass(kind: type, document: object, where: str) -> Any:
    if not isinstance(document, dict):
        raise RecordError(
            "record.malformed", f"expected an object, found {type(document).__name__}", where=where
        )
    types = _types(kind)
    values = {}
    for field in fields(kind):
        if field.name in document:
            values[field.name] = _value(types[field.name], document[field.name], f"{where}: {field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise RecordError("record.malformed", f"the key {field.name!r} is missing", where=where)
    return kind(**values)

"""bareboat.lock as other hands may have left it: any TOML of the same shape, checked key by key. Pure."""

from __future__ import annotations

import sys
from typing import Any

from bareboat.errors import LockError
from bareboat.lock import (
    IMAGE_WORDS,
    LOCK_FORMAT,
    Base,
    BaseImage,
    Brought,
    CPython,
    Deb,
    ImageLayer,
    Lock,
    Wheel,
    is_digest,
    lock_of,
)
from bareboat.values import MISSING, fields

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

_REMAKE = "Take it from version control again, or delete it and run `bareboat lock`."
_KINDS: dict[str, type] = {"str": str, "int": int, "bool": bool}


def read_any(text: str, where: str) -> Lock:
    """The lock of any valid TOML of this shape. Raises LockError with the key's path."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        hint = _REMAKE
        if "<<<<<<<" in text:
            hint = "Both sides of a merge are in it: keep either, then run `bareboat lock`."
        raise LockError("lock.malformed", f"not TOML: {e}", where=where, hint=hint) from None
    made_as = document.get("format")
    if isinstance(made_as, int) and made_as > LOCK_FORMAT:
        what = f"made by a newer bareboat (format {made_as}, this one reads {LOCK_FORMAT})"
        raise LockError("lock.format", what, where=where, hint="Upgrade bareboat.")
    _check(document, where)
    return lock_of(document)


def _check(document: dict[str, Any], where: str) -> None:
    _table(document, {"format": int, "request": str, "inputs": dict, "platforms": list}, where, "")
    for name, digest in document["inputs"].items():
        _digest(digest, where, f"inputs.{name}")
    for n, p in enumerate(document["platforms"]):
        at = f"platforms[{n}]"
        _table(p, {"platform": str, "base": dict, "wheels": list}, where, at)
        _record(p["base"], Base, where, f"{at}.base", {"packages": list, "brought": list, "image": dict,
                                                       "cpython": dict})
        for m, row in enumerate(p["base"].get("brought", ())):
            _record(row, Brought, where, f"{at}.base.brought[{m}]", {})
        if "image" in p["base"]:
            _image(p["base"]["image"], where, f"{at}.base.image")
        if "cpython" in p["base"]:
            _record(p["base"]["cpython"], CPython, where, f"{at}.base.cpython", {})
            _digest(p["base"]["cpython"]["sha256"], where, f"{at}.base.cpython.sha256")
        for m, row in enumerate(p["base"]["packages"]):
            _record(row, Deb, where, f"{at}.base.packages[{m}]", {})
            _digest(row["sha256"], where, f"{at}.base.packages[{m}].sha256")
        for m, row in enumerate(p["wheels"]):
            _record(row, Wheel, where, f"{at}.wheels[{m}]", {})
            _digest(row["sha256"], where, f"{at}.wheels[{m}].sha256")


def _image(image: object, where: str, at: str) -> None:
    """A base image: its digests carry their algorithm's name."""
    lists: dict[str, type] = {"layers": list, "env": list, **dict.fromkeys(IMAGE_WORDS, list)}
    _record(image, BaseImage, where, at, lists)
    assert isinstance(image, dict)
    digests = [(f"{at}.{key}", image[key]) for key in ("manifest", "config")]
    for m, row in enumerate(image["layers"]):
        _record(row, ImageLayer, where, f"{at}.layers[{m}]", {})
        digests += [(f"{at}.layers[{m}].{key}", row[key]) for key in ("digest", "diff_id")]
    for place, digest in digests:
        _digest(digest[7:] if digest.startswith("sha256:") else None, where, place)
    for m, row in enumerate(image.get("env", ())):
        _table(row, {"name": str, "value": str}, where, f"{at}.env[{m}]")
    for key in IMAGE_WORDS:
        for m, row in enumerate(image.get(key, ())):
            _table(row, {"word": str}, where, f"{at}.{key}[{m}]")


def _record(row: object, kind: type, where: str, at: str, special: dict[str, type]) -> None:
    known = {f.name: special.get(f.name) or _KINDS[str(f.type)] for f in fields(kind)}
    needed = {f.name: known[f.name] for f in fields(kind) if f.default is MISSING}
    _table(row, needed, where, at, {n: t for n, t in known.items() if n not in needed})


def _table(
    value: object, needed: dict[str, type], where: str, at: str, optional: dict[str, type] | None = None
) -> None:
    if not isinstance(value, dict):
        raise _malformed("a table is expected", where, at)
    allowed = {**needed, **(optional or {})}
    for key, item in value.items():
        kind = allowed.get(key)
        if kind is None:
            known = ", ".join(sorted(allowed))
            raise _malformed(f"unknown key (known: {known})", where, f"{at}.{key}".lstrip("."))
        if not isinstance(item, kind) or (isinstance(item, bool) and kind is not bool):
            raise _malformed(f"must be of type {kind.__name__}", where, f"{at}.{key}".lstrip("."))
    for key in needed:
        if key not in value:
            raise _malformed("is missing", where, f"{at}.{key}".lstrip("."))


def _digest(value: object, where: str, at: str) -> None:
    if not is_digest(value):
        raise _malformed("must be a sha256 as 64 lower-case hex digits", where, at)


def _malformed(what: str, where: str, at: str) -> LockError:
    return LockError("lock.malformed", f"{at}: {what}", where=where, hint=_REMAKE)

"""Sizes and times as people write them: "8g", "512m", "1.5GiB" (powers of 1024, as Docker reads them); "90s", "24h"."""

from __future__ import annotations

from bareboat.errors import UsageError

SIZE_PATTERN = r"[0-9]{1,18}(\.[0-9]{1,9})? ?([kKmMgGtT]([iI]?[bB])?|[bB])?"
SIZE_ALLOWED = "a size like 8g, 512m, 1.5GiB or a number of bytes"
LARGEST = 2**63 - 1
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str | int, *, where: str = "") -> int:
    """Bytes from a size. Units are powers of 1024 whether written g, gb or gib, as Docker's --memory.

    Raises UsageError "size.syntax" or "size.too-large".
    """
    if isinstance(text, int):
        number, power = str(text), 0
    else:
        number = text.strip().lower()
        for ending in ("ib", "b"):
            if number.endswith(ending) and number[: -len(ending)].rstrip()[-1:] in tuple("kmgt"):
                number = number[: -len(ending)]
                break
        unit = number[-1:] if number[-1:] in _POWERS else ""
        power = _POWERS[unit]
        number = number[: len(number) - len(unit)].rstrip(" ")
    whole, dot, part = number.partition(".")
    if not _digits(whole) or (dot and not _digits(part)) or len(number) > 40:
        raise UsageError("size.syntax", f"{text!r} is not a size", where=where, hint=f"Write {SIZE_ALLOWED}.")
    scale = 1 << (10 * power)
    size = int(whole) * scale + (int(part) * scale // 10 ** len(part) if part else 0)
    if size > LARGEST:
        raise UsageError(
            "size.too-large",
            f"{text!r} is larger than any memory",
            where=where,
            hint=f"Write {SIZE_ALLOWED}.",
        )
    return size


DURATION_ALLOWED = "a time like 90s, 30m, 24h, 7d, 1h30m or a number of seconds"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 10.0 * 366 * 86400


def parse_duration(text: str | float, *, where: str = "") -> float:
    """Seconds, above 0 and at most ten years. Raises UsageError "duration.syntax"."""
    wrong = UsageError("duration.syntax", f"{text!r} is not a time", where=where, hint=f"Write {DURATION_ALLOWED}.")
    if isinstance(text, str):
        total, number, last = 0.0, "", 10.0**9
        for character in text.strip().lower():
            if character in _SECONDS and number and _SECONDS[character] < last:
                last = _SECONDS[character]
                total, number = total + _decimal(number, wrong) * last, ""
            elif character in "0123456789." and len(number) < 20:
                number += character
            else:
                raise wrong
        if number:
            if last < 10.0**9:
                raise wrong  # "1h30": of what?
            total = _decimal(number, wrong)
    else:
        total = float(text)
    if not 0 < total <= _LONGEST:
        raise wrong
    return total


def _decimal(number: str, wrong: UsageError) -> float:
    try:
        return float(number)
    except ValueError:
        raise wrong from None


def format_duration(seconds: float) -> str:
    """A time for people, as parse_duration reads it: "45s", "1h30m", "7d"."""
    left, shown = round(seconds), ""
    for unit, size in reversed(_SECONDS.items()):
        count, left = divmod(left, size)
        shown += f"{count}{unit}" if count else ""
    return shown or "0s"


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def format_size(size: int) -> str:
    """A size for people: "512 B", "1.5 MiB", "8 GiB"; at most three digits and one decimal."""
    value, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1023.95 or unit == "TiB":
            break
        value /= 1024
    if unit == "B" or value >= 99.95 or value == int(value):
        return f"{value:.0f} {unit}"
    return f"{value:.1f} {unit}"

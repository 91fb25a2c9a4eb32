"""Sweeps: what --sweep says, and the points that come of it. Pure.

    lr=0.1,0.01            a list; blanks around a value do not count
    seed=1..5              every whole number from the first to the last, both included; 01..10 keeps the noughts
    drop=0..0.5..0.1       with a step: decimal, so that these are 0, 0.1, 0.2 … exactly; never beyond the last
    lr=1e-4..1e-1..x10     with a factor
    name="a, b",'c d'      quoted: in "" as in JSON (\\n, \\", \\u00e9), in '' literally; "" is the empty value

Several are a grid: the last one changes fastest, as in nested loops, and the rows of a file (training/sweep_file.py)
are the outermost loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal
from itertools import product
from json import JSONDecoder
from math import prod

from bareboat.errors import UsageError
from bareboat.values import dataclass

POINTS_MOST = 100_000
VARIABLE = "BAREBOAT_PARAM_"
NAME = r"[A-Za-z_][A-Za-z0-9_.-]{0,99}"
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.(x?)({_NUMBER}))?")
_MEANT_AS_RANGE = re.compile(rf"{_NUMBER}\.\.(?![/\\])")
_EXACT = Context(prec=60)  # their own: the caller's rounding must not change a sweep
_SHOWN = Context(prec=15)  # digits of what a factor gives; a float has no more


@dataclass(frozen=True)
class Sweep:
    """names: of the parameters, in the order in which they were said; rows: the values of each point, in that order."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def doubles(self) -> int:
        """How many points are the same as one before them. They are points all the same."""
        return len(self.rows) - len(set(self.rows))


def grid(words: Sequence[str], file: Sweep | None = None) -> Sweep:
    """The points of --sweep WORD …, for each row of the file. Raises UsageError "sweep.parameter", "sweep.values",
    "sweep.range", "sweep.twice", "sweep.too-many".
    """
    parsed = [_word(word) for word in words]
    names = (*(file.names if file else ()), *(name for name, _ in parsed))
    check_names(names, "--sweep")
    count = prod(len(values) for _, values in parsed) * (len(file.rows) if file else 1)
    if count > POINTS_MOST:
        raise too_many(f"{count:,} points" if count < 10**18 else "points without number", ", ".join(names))
    points = tuple(product(*(values for _, values in parsed)))
    return Sweep(names, tuple((*row, *point) for row in file.rows for point in points) if file else points)


def _word(word: str) -> tuple[str, tuple[str, ...]]:
    name, equals, text = word.partition("=")
    if not equals:
        raise UsageError("sweep.parameter", "a sweep is a parameter and its values", where=f"--sweep {word}",
                         hint="--sweep lr=0.1,0.01   or   --sweep seed=1..5")
    return name.strip(), values_of(text, f"--sweep {name.strip()}")


def check_names(names: Sequence[str], where: str) -> None:
    """Raises UsageError "sweep.parameter" for what is no name, "sweep.twice" for two that are one variable."""
    seen: dict[str, str] = {}
    for name in names:
        if not re.fullmatch(NAME, name):
            raise UsageError("sweep.parameter", "a parameter's name is a letter, then letters, digits and _ . -",
                             where=f"{where}: {name!r}")
        other = seen.setdefault(variable(name), "")
        if other:
            what = f"the parameter {name} is said twice" if other == name else (
                f"{other} and {name} would be the same variable, {variable(name)}")
            raise UsageError("sweep.twice", what, where=where, hint="give each parameter a name of its own")
        seen[variable(name)] = name


def variable(name: str) -> str:
    """The variable in which a program finds a parameter: BAREBOAT_PARAM_ and the name in capitals, with _ for . and -.
    """
    return VARIABLE + name.upper().replace(".", "_").replace("-", "_")


def values_of(text: str, where: str) -> tuple[str, ...]:
    """The values that a list with ranges and quotes stands for. Raises UsageError "sweep.values", "sweep.range",
    "sweep.too-many".
    """
    found: list[str] = []
    for item, quoted in _items(text, where):
        found.extend((item,) if quoted else _spread(item, where))
        if len(found) > POINTS_MOST:
            raise too_many("values", where)
    return tuple(found)


def whole(value: str, where: str) -> str:
    """The value, if a program can get it as a word. Raises UsageError "sweep.values"."""
    if "\0" in value:
        raise UsageError("sweep.values", "arguments and variables cannot contain a NUL", where=where)
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise UsageError("sweep.values", f"half a character: {value!r}", where=where) from None
    return value


def too_many(what: str, where: str) -> UsageError:
    """That a sweep is beyond the bound."""
    return UsageError("sweep.too-many", f"{what}: a sweep has at most {POINTS_MOST:,}", where=where,
                      hint="make several sweeps of it, or choose points: --sweep-file takes one a row")


def _items(text: str, where: str) -> Iterator[tuple[str, bool]]:
    """The items between the commas, and whether each was quoted."""
    at, end = 0, len(text)
    while True:
        at = _blanks(text, at)
        if at < end and text[at] in "\"'":
            item, at = _quoted(text, at, where)
            at = _blanks(text, at)
            if at < end and text[at] != ",":
                raise UsageError("sweep.values", f"after a quoted value comes a comma, not {text[at:at + 20]!r}",
                                 where=where, hint="quote the whole value; a quote in it is \\\" inside \"\"")
            yield whole(item, where), True
        else:
            stop = text.find(",", at)
            stop = end if stop < 0 else stop
            item = text[at:stop].rstrip()
            if not item:
                raise UsageError("sweep.values", "a value is missing beside a comma" if end else "there is no value",
                                 where=where, hint='the empty value is written ""')
            yield whole(item, where), False
            at = stop
        if at >= end:
            return
        at += 1  # the comma: after it another value must come


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _quoted(text: str, at: int, where: str) -> tuple[str, int]:
    """A quoted value that begins at a place, and the place behind it."""
    shown = text[at:at + 40]
    if text[at] == "'":
        stop = text.find("'", at + 1)
        if stop >= 0:
            return text[at + 1:stop], stop + 1
    else:
        try:
            item, stop = JSONDecoder(strict=False).raw_decode(text, at)
            return str(item), stop
        except ValueError as wrong:
            if "Unterminated" not in str(wrong):
                raise UsageError("sweep.values", f"not a string as JSON has them: {shown}", where=where,
                                 hint="in '' everything stands for itself") from None
    raise UsageError("sweep.values", f"the quote is not closed: {shown}", where=where)


def _spread(item: str, where: str) -> Sequence[str]:
    """The values of one unquoted item: a range's, or itself."""
    match = _RANGE.fullmatch(item)
    if match:
        return _range(match, f"{where}={item}")
    if _MEANT_AS_RANGE.match(item):
        raise UsageError("sweep.range", "not a range", where=f"{where}={item}",
                         hint="ranges: 1..5, 0..1..0.25 with a step, 1e-4..1..x10 with a factor; quote what is none")
    return (item,)


def _range(match: re.Match[str], where: str) -> list[str]:
    first_text, last_text, times, step_text = match.groups()
    ends = (first_text.lstrip("+-"), last_text.lstrip("+-"))
    if step_text is None and not all(end.isdigit() for end in ends):
        raise UsageError("sweep.range", "a range of fractions needs a step", where=where,
                         hint=f"{first_text}..{last_text}..0.1, or ..x10 for a factor")
    first, last, step = Decimal(first_text), Decimal(last_text), Decimal(step_text or "1")
    advance = _by_factor(first, last, step, where) if times else _by_step(first, last, step, where)
    found: list[Decimal] = []
    value = first
    while value >= last if last < first else value <= last:
        found.append(value)
        if len(found) > POINTS_MOST:
            raise too_many("values", where)
        value = advance(value)
    count = all(end.isdigit() for end in (*ends, (step_text or "1").lstrip("+-"))) and not times
    noughts = count and any(len(end) > 1 and end[0] == "0" for end in ends)
    return [_number(value, max(map(len, ends)) if noughts else 0, plain=count) for value in found]


def _by_step(first: Decimal, last: Decimal, step: Decimal, where: str) -> Callable[[Decimal], Decimal]:
    if step == 0 or (step < 0 and last > first):
        raise UsageError("sweep.range", "the step never leads from the first to the last", where=where)
    by = -abs(step) if last < first else abs(step)
    return lambda value: _EXACT.add(value, by)


def _by_factor(first: Decimal, last: Decimal, factor: Decimal, where: str) -> Callable[[Decimal], Decimal]:
    if factor <= 1 or (first < 0) != (last < 0) or 0 in (first, last):
        raise UsageError("sweep.range", "a factor is above 1, and leads from a number to one of the same sign",
                         where=where, hint="1e-4..1..x10")
    if abs(first) <= abs(last):
        return lambda value: _SHOWN.multiply(value, factor)
    return lambda value: _SHOWN.divide(value, factor)


def _number(value: Decimal, width: int, *, plain: bool) -> str:
    """As a person would write it: no exponent between a millionth and a million million, and none of a count."""
    short = _EXACT.normalize(value) if value else Decimal(0)
    if plain:
        return f"{'-' if short < 0 else ''}{abs(int(short)):0{width or 1}d}"
    return format(short, "f") if -7 < short.adjusted() < 13 else str(short).replace("E", "e")

"""Points of a sweep from a file, one a row: CSV with a header, JSON lines, TOML. Pure."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from io import StringIO

from bareboat import toml
from bareboat.errors import UsageError
from bareboat.training.sweep import POINTS_MOST, Sweep, check_names, too_many, whole

LARGEST = 64 * 1024 * 1024  # bytes; TOML has a bound of its own
_Row = tuple[str, dict[str, str]]  # where it is, and the values by name


def from_file(content: bytes, file: str) -> Sweep:
    """The points of a file, by the end of its name: .csv, .tsv, .jsonl (or .ndjson), .toml. Numbers of CSV and JSON
    are text as it is written there; true and false stand for themselves. Raises UsageError "sweep.file-…",
    "sweep.parameter", "sweep.values", "sweep.twice", "sweep.too-many".
    """
    ending = file.rpartition(".")[2].lower()
    if len(content) > LARGEST:
        raise UsageError("sweep.file-too-large", f"the file has {len(content)} bytes, the limit is {LARGEST}",
                         where=file)
    if ending == "toml":
        rows = _of_toml(toml.parse(content, file, "sweep.file", UsageError), file)
    elif ending in ("csv", "tsv"):
        rows = _of_csv(toml.decode(content, file, "sweep.file", UsageError), file, "\t" if ending == "tsv" else ",")
    elif ending in ("jsonl", "ndjson"):
        rows = _of_json(toml.decode(content, file, "sweep.file", UsageError), file)
    else:
        raise UsageError("sweep.file-kind", "a file of points is CSV, TSV, JSON lines or TOML", where=file,
                         hint="its name ends in .csv, .tsv, .jsonl or .toml")
    return _collected(rows, file)


def _collected(rows: Iterator[_Row], file: str) -> Sweep:
    names: tuple[str, ...] = ()
    found: list[tuple[str, ...]] = []
    for where, row in rows:
        if not found:
            names = tuple(row)
            check_names(names, where)
        strange = sorted(set(names) ^ set(row))
        if strange:
            what = "is missing" if strange[0] in names else "is not in the first point"
            raise UsageError("sweep.file-row", f"the parameter {strange[0]!r} {what}", where=where,
                             hint="every point has the same parameters")
        found.append(tuple([whole(row[name], f"{where}: {name}") for name in names]))
        if len(found) > POINTS_MOST:
            raise too_many("points", file)
    if not names:
        raise UsageError("sweep.file-empty", "there is no point in it", where=file)
    return Sweep(names, tuple(found))


def _of_csv(text: str, file: str, comma: str) -> Iterator[_Row]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=comma, strict=True)
    header: list[str] = []
    try:
        for row in reader:
            where = f"{file}:{reader.line_num}"
            if not row:
                continue  # an empty line
            if not header:
                header = [name.strip() for name in row]
                check_names(header, where)
                continue
            if len(row) != len(header):
                raise UsageError("sweep.file-row", f"{len(row)} values for {len(header)} parameters", where=where,
                                 hint='a value with a comma is quoted: "a, b"')
            yield where, dict(zip(header, row, strict=True))
    except csv.Error as wrong:
        raise UsageError("sweep.file-row", f"not CSV: {wrong}", where=f"{file}:{reader.line_num}") from None


def _of_json(text: str, file: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a string may hold U+2028 as it is
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line, object_pairs_hook=_Pairs, parse_float=_Written, parse_int=_Written,
                             parse_constant=_Written)
        except (ValueError, RecursionError) as wrong:
            raise UsageError("sweep.file-row", f"not JSON: {wrong}", where=where) from None
        if not isinstance(row, _Pairs):
            raise UsageError("sweep.file-row", 'a point is an object: {"lr": 0.1, "seed": 1}', where=where)
        check_names([name for name, _ in row], where)  # a name twice in one object is seen here
        yield where, {name: _text(value, f"{where}: {name}") for name, value in row}


class _Pairs(tuple[tuple[str, object], ...]):
    """An object of JSON with what was said twice in it."""

    __slots__ = ()


class _Written(str):
    """A number of JSON as it is written: 1e-3 stays that, and 0.10 too."""

    __slots__ = ()


def _of_toml(document: dict[str, object], file: str) -> Iterator[_Row]:
    table = document.get("point")
    if set(document) != {"point"} or not isinstance(table, list):
        raise UsageError("sweep.file-row", "points are written as [[point]] tables, and nothing besides", where=file,
                         hint="[[point]]\nlr = 0.1\nseed = 1")
    for number, row in enumerate(table, 1):
        where = f"{file}: point {number}"
        if not isinstance(row, dict):
            raise UsageError("sweep.file-row", "a point is a table", where=where)
        yield where, {name: _text(value, f"{where}: {name}") for name, value in row.items()}


def _text(value: object, where: str) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        try:
            return str(value)
        except ValueError:  # an integer of thousands of digits, written in another base
            pass
    raise UsageError("sweep.file-row", "a value is text, a number, true or false", where=where,
                     hint="write it as text, in quotes, as the program is to get it")

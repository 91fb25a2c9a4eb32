"""Metrics in the tables that programs write: CSV with a header, an object of JSON a line, JSON documents, and a value a
line as MLflow's file store has them. Pure.

What is no number is passed over, and so is a line that is not whole: the file may be written at this moment.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence

from bareboat.training.series import Track
from bareboat.values import Any

# what steps are called, the most telling first; "_step": wandb, "time/total_timesteps": Stable-Baselines3
STEPS = ("global_step", "trainer/global_step", "_step", "total_timesteps", "time/total_timesteps", "step", "iteration",
         "iter", "epoch")
AXES = frozenset((
    *STEPS, "", "batch", "date", "index", "time", "timestamp", "_runtime", "_timestamp",
))
ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
NAMES = 1000  # metrics of a table
TRAINER = "trainer_state.json"  # Hugging Face's Trainer: TrainerState.log_history
_TOLD = re.compile(r"(^|[^a-z])(metrics?|history|logs?|loss(es)?|scalars|progress)([^a-z]|$)")

Row = Sequence[tuple[str, float]]


class Table:
    """What a table has so far: a Track for each metric. more: there were more than NAMES."""

    def __init__(self, name: str) -> None:
        self.tracks: dict[str, Track] = {}
        self.more = False
        self.row = 0.0  # where the next one stands
        self.read = 0  # how many there were
        self._name = name.lower()
        self._header: list[str] = []
        self._mark = ","
        self._ranks: dict[str, int | None] = {}  # of a name: its place in STEPS; len(STEPS) no step; None a metric
        self._within: tuple[float, float] | None = None  # epoch and step of the last row that had both
        self._restarts = False  # the steps are counted anew in each epoch

    def add(self, text: str) -> None:
        """Whole lines of it, in their order; the first ones have the header, where it has one."""
        for row in self._csv(text) if self._name.endswith((".csv", ".tsv")) else _objects(text):
            self.add_row(row)

    def add_row(self, row: Row) -> None:
        """The numbers of a row, with their names."""
        found, at, step, axis, epoch = [], len(STEPS), None, "", None
        for key, value in row:
            rank = self._rank(key)
            if rank is None:
                found.append((key, value))
            else:
                if rank < at:
                    at, step, axis = rank, value, key
                if rank == len(STEPS) - 1:
                    epoch = value
        if step is not None and epoch is not None and at < len(STEPS) - 1:
            if self._within and epoch > self._within[0] and step < self._within[1]:
                self._restarts = True
            self._within = epoch, step
        for key, value in found:
            track = self.tracks.get(key)
            if track is None:
                if len(self.tracks) >= NAMES:
                    self.more = True
                    continue
                track = self.tracks[key] = Track()
            track.add(self.row, None if self._restarts else step, value, axis)
        if found:
            self.row += 1
            self.read += 1

    def _rank(self, key: str) -> int | None:
        try:
            return self._ranks[key]
        except KeyError:
            low = key.lower()
            rank = STEPS.index(low) if low in STEPS else len(STEPS) if low in AXES else None
            if len(self._ranks) < 2 * NAMES:
                self._ranks[key] = rank
            return rank

    def _csv(self, text: str) -> Iterator[Row]:
        lines = text.split("\n")
        while not self._header and lines and (not lines[0].strip() or lines[0].startswith("#")):
            del lines[0]
        if not self._header and lines:
            marks = ("\t" if self._name.endswith(".tsv") else ",", ";", "\t")
            self._mark = next((mark for mark in marks if mark in lines[0]), ",")
        reader = csv.reader(lines, delimiter=self._mark)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                continue  # a cell of more than 128 KiB
            numbers = [_number(cell) for cell in cells]
            if not self._header or (cells and not any(number is not None for number in numbers) and self._again(cells)):
                if any(number is not None for number in numbers):
                    return  # no header: columns without names
                self._header = [cell.strip() for cell in cells]
            else:
                yield [(name, number) for name, number in zip(self._header, numbers, strict=False)
                       if number is not None]

    def _again(self, cells: Sequence[str]) -> bool:
        """Whether a row is a header once more: that of a program that was started again."""
        return any(cell.strip() in self._header or cell.strip().lower() in STEPS for cell in cells if cell.strip())


def document(text: str, name: str) -> Table | None:
    """A whole JSON document, where it is one of metrics: Hugging Face's state of a Trainer; and an array of objects or
    an object of arrays of one length that have steps, or are in a file whose name says what they are (metrics,
    history, log, loss, scalars, progress). None where the text is no document.
    """
    table = Table(name)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    told = _TOLD.search(name.lower().rpartition(".")[0]) is not None
    if isinstance(found, Mapping) and isinstance(found.get("log_history"), list):
        rows, told = found["log_history"], True
    elif isinstance(found, list):
        rows = found
    elif isinstance(found, Mapping):
        columns = {str(key): value for key, value in found.items() if isinstance(value, list)}
        if not columns or len(columns) < len(found) or len({len(column) for column in columns.values()}) != 1:
            return table
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        return table
    if not all(isinstance(row, Mapping) for row in rows):
        return table
    if told or (rows and all(any(str(key).lower() in STEPS for key in row) for row in rows)):
        for row in rows:
            table.add_row(_numbers(row))
    return table


def values(text: str, track: Track) -> None:
    """Add a metric of MLflow's file store: lines of timestamp, value and step (mlflow/store/tracking/file_store.py)."""
    for line in text.split("\n"):
        words = line.split()
        if len(words) in (2, 3) and (value := _number(words[1])) is not None:
            track.add(track.count, _number(words[2]) if len(words) == 3 else None, value)


def _objects(text: str) -> Iterator[Row]:
    for line in text.split("\n"):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(row, Mapping):
            yield _numbers(row)


def _numbers(row: Mapping[Any, Any]) -> Row:
    return [(str(key), number) for key, value in row.items() if (number := _plain(value)) is not None]


def _plain(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None


def _number(cell: str) -> float | None:
    if "_" in cell:  # Python takes 1_000, nobody else does
        return None
    try:
        return float(cell)
    except ValueError:
        return None

"""rerun --all: several runs, of this store, files or registries, one after the other, each with its verdict."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bareboat.errors import BareboatError, RecordError
from bareboat.record.values import RunRecord
from bareboat.verbs.collaborators import Work
from bareboat.verbs.rerun import Repetition, RerunRequest, Steps, rerun, run_meant

Meant = Callable[[str, Work], RunRecord]


@dataclass(frozen=True)
class Row:
    """One run of a review. what: the word it was asked by; run: its record where it was found; done: the repetition;
    error: why there is none; seconds: of all that it took, with pulling and assembling.
    """

    what: str
    run: RunRecord | None = None
    done: Repetition | None = None
    error: BareboatError | None = None
    seconds: float = 0.0

    @property
    def word(self) -> str:
        """The verdict, or that there is none."""
        return self.done.verdict.verdict if self.done is not None else "could not"

    @property
    def same(self) -> bool:
        """Whether it was repeated and counts as the same."""
        return self.done is not None and self.done.verdict.same


@dataclass(frozen=True)
class Review:
    """Every run that was asked for, in that order."""

    rows: tuple[Row, ...]

    @property
    def exit_code(self) -> int:
        """0 all are the same, 1 one differs, 125 one could not be repeated."""
        if any(row.done is None for row in self.rows):
            return 125
        return 0 if all(row.same for row in self.rows) else 1


def review(words: Sequence[str], request: RerunRequest, work: Work, by: Steps | None = None,
           meant: Meant = run_meant) -> Review:
    """Repeat each run into a folder of its own. One that fails is a row, and stops nothing.

    request: what holds for all; its data and volumes go to the runs that had some. Raises nothing of a single run.
    """
    folder = request.into or Path.cwd() / f"review-{os.urandom(3).hex()}"
    rows = []
    for number, word in enumerate(words):
        work.tell.say(f"{number + 1} of {len(words)}: {word}")
        row = _one(word, replace(request, into=folder / f"{number + 1:02}"), work, by, meant)
        if row.error is not None:
            work.tell.say(f"could not be repeated: {row.error.what} [{row.error.code}]")
        rows.append(row)
    return Review(tuple(rows))


def _one(word: str, request: RerunRequest, work: Work, by: Steps | None, meant: Meant) -> Row:
    began = time.monotonic()
    record: RunRecord | None = None
    try:
        record = meant(word, work)
        targets = {m.target for m in record.mounts}
        has_data = any(m.kind == "data" for m in record.mounts)
        request = replace(request, run=record.id, quiet=True, data=request.data if has_data else None,
                          volumes=tuple(v for v in request.volumes if v[0] in targets))
        done = rerun(request, work, by)
    except BareboatError as error:
        return Row(word, record, None, error, time.monotonic() - began)
    except OSError as error:
        failed = RecordError("io.failed", error.strerror or str(error), where=str(error.filename or ""))
        return Row(word, record, None, failed, time.monotonic() - began)
    return Row(word, record, done, None, time.monotonic() - began)

"""Which of a run's jobs has it: who came last, whom an earlier one gives way to (decision 0179)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bareboat.engine.slurm.allocation import Allocation
from bareboat.errors import BareboatError
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work


class Claim:
    """The lock of a run's folder, and the file by which who stands before it asks for it. patience: seconds in which
    what is interrupted has ended.
    """

    def __init__(self, folder: Path, run: str, place: Allocation, work: Work, patience: float) -> None:
        self._file, self._run, self._work, self._patience = folder / "runs" / f"{run}.claim", run, work, patience
        self._me = f"{place.job} {place.restarts}"

    def own(self, told: Callable[[], object]) -> bool:
        """Own the run's folder, for which an earlier job of this run may have to give way first; False where that does
        not, or where this one was told to end meanwhile.
        """
        runs = self._work.store.runs
        if not runs.path(self._run).exists():
            try:
                runs.create(self._run)
                return True
            except BareboatError:
                pass  # made at this moment
        if runs.hold(self._run):
            return True
        self._work.tell.say("another job still has this run: it is asked to give way")
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        self._file.write_text(self._me)
        end = time.monotonic() + self._patience
        while not runs.hold(self._run):
            if time.monotonic() > end or told():
                return False
            time.sleep(0.2)
        return True

    def passed(self) -> bool:
        """Whether a job of this run that began later stands before its folder."""
        try:
            text = self._file.read_text()
        except OSError:
            return False
        return text != self._me and text != ""

    def withdraw(self) -> None:
        """Nobody has to give way any more."""
        self._file.unlink(missing_ok=True)

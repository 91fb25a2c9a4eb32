"""Whether the data that a repetition is given are those of the run; asked before it starts, and said in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import RecordError
from bareboat.record.causes import CHANGED, SAME, DataAnswer, same_data
from bareboat.record.gathered import DataFingerprint
from bareboat.record.values import RunRecord
from bareboat.verbs import rerun_mounts
from bareboat.verbs.collaborators import Work
from bareboat.workload import Mount

TOLD = 1 << 30  # bytes that take long enough to say that they are read

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.verbs.rerun import RerunRequest


def check_data(old: RunRecord, made: tuple[Mount, ...], request: RerunRequest, work: Work) -> None:
    """Compare the data of a run from elsewhere with what it is given here. Nothing for a run of this machine, whose
    data are compared after it.

    Raises RecordError "record.data-differs", unless the caller wants to go on with other data: the verdict names them.
    """
    if rerun_mounts.made_here(old):
        return
    from bareboat.units import format_size

    known = {d.target: d.fingerprint for d in old.data}
    differing = []
    for target, source in rerun_mounts.data_of(old, made):
        if target not in known:
            continue
        if known[target].bytes > TOLD:
            work.tell.say(f"comparing the data at {target} with those of the run: {format_size(known[target].bytes)}")
        answer = compare(known[target], source, work.store)
        work.tell.say(f"data at {target}: {answer.answer}: {answer.detail}")
        if answer.answer == CHANGED:
            differing.append(f"the data at {target} are not those of the run: {answer.detail}")
    if differing and not request.other_data:
        more = f"; the run's can be had here: {old.data_from}" if old.data_from else ""
        raise RecordError("record.data-differs", "; ".join(differing), where=f"run {old.id}",
                          hint=f"name the right folder with --data DIR, or go on with these: --other-data{more}")


def compare(old: DataFingerprint, source: Path, store: Store) -> DataAnswer:
    """What a folder is to a recorded fingerprint. Names and sizes first: contents are only read where those agree."""
    from bareboat.store.fingerprint import Fingerprinter, fingerprint

    quick = Fingerprinter(store, budget=0)
    quick.start([("", source)])
    seen = quick.finish(float(1 << 30))[0].fingerprint
    if not old.sizes or seen.sizes != old.sizes or not old.content:
        return _by_sizes(old, seen)
    return same_data(old, fingerprint(source, store))


def _by_sizes(old: DataFingerprint, seen: DataFingerprint) -> DataAnswer:
    answer = same_data(old, seen)
    if answer.answer == SAME:
        return answer
    if old.sizes and old.sizes == seen.sizes:
        return DataAnswer(answer.answer, "same names and sizes; the run did not read all of its data, so that contents "
                          "cannot be compared")
    return answer

"""show --metrics: what runs have written of metrics, and which of it is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from bareboat.errors import RecordError
from bareboat.queue.moves import found
from bareboat.store import Store
from bareboat.store.scalars import metrics_of
from bareboat.training.series import Found
from bareboat.values import dataclass, replace
from bareboat.verbs.outcomes import outcomes
from bareboat.verbs.queued import ledger_of
from bareboat.verbs.show import results_of
from bareboat.verbs.sweep import sweep_of

RUNS = 20  # that are compared


@dataclass(frozen=True)
class Measured:
    """A run and its metrics. name: as people know it; parameters: that differ within its sweep."""

    run: str
    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    found: Found = Found()


def measured(store: Store, words: Sequence[str], metrics: Sequence[str] = ()) -> tuple[list[Measured], int]:
    """The runs that words mean, a sweep's name all that have started of it, each once, with the chosen metrics; and how
    many more than RUNS there were. Raises RecordError "record.missing", "record.no-metrics" where none has any,
    "record.no-such-metric" where none has what is asked for.
    """
    meant = {run.run: (run, folder) for word in words for run, folder in _meant(store, word)}
    runs = [replace(run, found=metrics_of(folder)) for run, folder in list(meant.values())[:RUNS] if folder]
    if not any(run.found.series for run in runs):
        where = ", ".join(str(folder) for _, folder in list(meant.values())[:2] if folder)
        raise RecordError("record.no-metrics", "no metrics have been written", where=where or ", ".join(words),
                          hint="a CSV with a header, or a JSON object a line, in its results: metrics.csv")
    if metrics:
        names = list(dict.fromkeys(series.name for run in runs for series in run.found.series))
        wanted = {name for word in metrics for name in chosen(names, word)}
        runs = [replace(run, found=Found(tuple(s for s in run.found.series if s.name in wanted), run.found.notes))
                for run in runs]
    return runs, max(len(meant) - RUNS, 0)


def chosen(names: Sequence[str], word: str) -> list[str]:
    """The names that a word means: the one that it is, else those that a pattern (*, ?, [ab]) fits, else those that end
    in it after a "/". Raises RecordError "record.no-such-metric".
    """
    ways: tuple[Callable[[str], bool], ...] = (
        lambda name: name == word, lambda name: fnmatchcase(name, word), lambda name: name.endswith(f"/{word}"))
    for way in ways:
        if fitting := [name for name in names if way(name)]:
            return fitting
    raise RecordError("record.no-such-metric", f"there is no metric {word!r}", where="--metrics",
                      hint=f"there is: {', '.join(names[:12])}" + (" …" if len(names) > 12 else ""))


def _meant(store: Store, word: str) -> list[tuple[Measured, Path | None]]:
    from bareboat.verbs.runs import find

    with ledger_of(store) as ledger:
        entry = None if ledger is None else found(ledger, word)
        id = sweep_of(ledger, word) if ledger is not None and entry is None else ""
        if ledger is not None and id:
            of = outcomes(id, ledger)
            return [(Measured(p.run, p.name or p.run[:12], tuple(x for x in p.parameters if x[0] in of.varied)),
                     Path(p.results)) for p in of.points if p.attempt and p.results]
    run, name = (entry.run, entry.name) if entry else ((record := find(store, word)).id, record.name)
    return [(Measured(run, name or run[:12]), results_of(store, run))]

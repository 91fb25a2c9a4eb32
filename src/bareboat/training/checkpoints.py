"""Which entries of a checkpoint folder are complete, and which of them is the newest: by name and form. Pure.

A file counts when it was renamed into place, which is told by its name: a temporary one is never one. A directory
counts when it has a marker in it, the file that its framework writes last, or when a file LATEST beside it names it. A
file whose format says how long it must be and is not that long was cut off by whatever killed its writer, or by a crash
of the machine that came before the disk had it (training/formats.py); so was the directory that it is in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from bareboat.values import dataclass

# The last file of a directory that is written in place: torch.distributed.checkpoint, Hugging Face's Trainer, Orbax,
# and what any program can write itself.
MARKERS = (".complete", ".metadata", "trainer_state.json", "commit_success.txt", "_CHECKPOINT_METADATA")
# Hugging Face's Trainer has this in a directory while it saves at SIGTERM (trainer_jit_checkpoint.py), maybe over an
# older one of the same step.
UNFINISHED = ("checkpoint-is-incomplete.txt",)
LATEST = "latest"  # DeepSpeed's: the name of the directory beside it that was written last, and whole (engine.py)
_WEIGHTS = ("bin", "ckpt", "h5", "hdf5", "joblib", "keras", "npy", "npz", "pkl", "pt", "pth", "safetensors")
_TEMPORARY = re.compile(r"^[.#]|~$|\.(?:tmp|temp|part|partial|incomplete|crdownload|lock|swp)(?:[-._].*)?$"
                        r"|(?:^|[-._])(?:tmp|partial|incomplete)(?:[-._]|$)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")
# Most telling first. A number that is not named so counts only where it is alone: "weights.03-0.25" has three.
_NAMED = (re.compile(r"(?:step|iter|iteration)s?[^0-9a-z]{0,2}([0-9]+)", re.IGNORECASE),
          re.compile(r"epochs?[^0-9a-z]{0,2}([0-9]+)", re.IGNORECASE))


@dataclass(frozen=True)
class Found:
    """An entry of the folder. modified: ns since the epoch; complete: as judged by these rules."""

    name: str
    modified: int
    complete: bool


def temporary(name: str) -> bool:
    """Whether a name says that its writer is not done."""
    return bool(_TEMPORARY.search(name))


def marker_of(names: Collection[str], marker: str = "") -> str:
    """The marker among the files of a directory, "" where it has none. marker: what --checkpoint-complete named, "" for
    those that are known.
    """
    if not marker and any(name in names for name in UNFINISHED):
        return ""
    return next((name for name in ((marker,) if marker else MARKERS) if name in names), "")


def weights(name: str) -> bool:
    """Whether a file of a directory is of a kind that is looked into, for the directory to count."""
    return name.rpartition(".")[2].lower() in _WEIGHTS


def newest(found: Iterable[Found]) -> Found | None:
    """The newest that is complete."""
    return next(iter(ordered(found)), None)


def ordered(found: Iterable[Found]) -> list[Found]:
    """Those that are complete, the newest first: by the step that all their names have ("step=1200", else "epoch-3",
    else a number that is the only one in its name), else by the time they were written.
    """
    entries = [entry for entry in found if entry.complete]
    steps = {entry.name: _step(entry.name) for entry in entries}
    if len({kind for kind, _ in steps.values()}) == 1 and all(kind for kind, _ in steps.values()):
        return sorted(entries, key=lambda e: (steps[e.name][1], e.modified, e.name), reverse=True)
    return sorted(entries, key=lambda e: (e.modified, e.name), reverse=True)


def _step(name: str) -> tuple[int, int]:
    """(kind, number); kind 0 where a name has none that can be told."""
    for kind, pattern in enumerate(_NAMED, 2):
        match = pattern.search(name)
        if match:
            return kind, int(match[1])
    stem = name.rpartition(".")[0] if re.search(r"\.[A-Za-z][A-Za-z0-9]*$", name) else name  # .h5 is no step
    numbers = _NUMBER.findall(stem)
    return (1, int(numbers[0])) if len(numbers) == 1 else (0, 0)


def superfluous(found: Iterable[Found], keep: int) -> list[Found]:
    """The complete ones beyond the newest so many; none when keep is 0, nor where without them another would pass for
    the newest, because names and times disagree. The newest one is never among them.
    """
    entries = ordered(found)
    kept = entries[:max(keep, 1)]
    return entries[len(kept):] if keep and newest(kept) == newest(entries) else []

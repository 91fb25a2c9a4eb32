"""What a node writes down of a run, beside the submission, on the file system that nodes and login node share.

It is the truth of how attempts went: Slurm forgets a job minutes after its end, and need not keep accounts at all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from bareboat.values import dataclass, fields

MOST = 1 << 16


@dataclass(frozen=True)
class Note:
    """The last that is known of a run. attempt: the fence; cause: of training.values.CAUSES, for one that was told to
    end or has ended; job, restarts: which start of which job has it; again: its node has asked to be requeued, and
    has ended everything of its own. Times: seconds since the epoch.
    """

    run: str
    state: str = "pending"
    reason: str = ""
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    exit_code: int | None = None
    cause: str = ""
    job: str = ""
    restarts: int = 0
    where: str = ""
    boot: str = ""
    started: float = 0.0
    ended: float = 0.0
    not_before: float = 0.0
    again: bool = False


def path(folder: Path, run: str) -> Path:
    """Where the note of a run is."""
    return folder / "runs" / f"{run}.json"


def present(folder: Path) -> frozenset[str]:
    """The names of the files of a submission's runs: one question, where asking for each would be thousands."""
    try:
        return frozenset(os.listdir(folder / "runs"))
    except OSError:
        return frozenset()


def read(folder: Path, run: str) -> Note | None:
    """The note of a run; None where there is none that can be read."""
    try:
        with open(path(folder, run), "rb") as file:
            document = json.loads(file.read(MOST))
        known = {f.name for f in fields(Note)}
        note = Note(**{name: value for name, value in document.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    sound = (note.run == run and isinstance(note.attempt, int) and isinstance(note.state, str)
             and isinstance(note.reason, str) and (note.exit_code is None or isinstance(note.exit_code, int)))
    return note if sound else None


def write(folder: Path, note: Note) -> None:
    """Replace the note, durable when this returns. Raises OSError."""
    from bareboat.host.files import fsync, fsync_directory

    target = path(folder, note.run)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    draft = target.with_name(f".{note.run}.{os.uname().nodename}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, json.dumps({f.name: getattr(note, f.name) for f in fields(Note)}).encode())
        fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, target)
    fsync_directory(target.parent)


def mark(folder: Path, run: str) -> None:
    """Ask for the end of a run: whoever has it, or is about to, sees it. Idempotent. Raises OSError."""
    place = folder / "runs"
    place.mkdir(mode=0o700, exist_ok=True)
    (place / f"{run}.stop").touch(0o600)


def unmark(folder: Path, run: str) -> None:
    """It may run again."""
    (folder / "runs" / f"{run}.stop").unlink(missing_ok=True)


def is_marked(folder: Path, run: str) -> bool:
    """Whether somebody asked for its end."""
    return (folder / "runs" / f"{run}.stop").exists()

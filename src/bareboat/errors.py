"""The root error: what went wrong, where, and what to do next; with a stable code and an exit code."""

from __future__ import annotations

BAREBOAT_FAILED = 125  # as Docker: the tool itself failed, not the program
CANNOT_RUN = 126
NOT_FOUND = 127
SIGNALLED = 128  # plus the signal's number


class BareboatError(Exception):
    """A failure that a user can act on.

    code: stable, dotted, lower case ("wheel.duplicate-name"); tests and scripts match on it, never on the text.
    what: one sentence without a full stop. where: file, key path, URL or member it happened at.
    hint: what to do next, as a sentence or a command.
    """

    exit_code = BAREBOAT_FAILED

    def __init__(self, code: str, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.where, self.hint = code, what, where, hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.hint}" if self.hint else text


class UsageError(BareboatError):
    """The command line, or a call of the Python API, does not make sense."""


class ProjectError(BareboatError):
    """The project file or folder is wrong: file, key path, what is allowed."""


class LockError(BareboatError):
    """The lock cannot be made, is stale under --locked, or names what cannot be had any more."""


class ResolveError(LockError):
    """An index or archive could not be reached, was not trusted, or holds no solution."""


class ArchiveError(BareboatError):
    """A wheel, deb or layer is malformed, malicious, or not what its digest says. Nothing was left behind."""


class StoreError(BareboatError):
    """The store's directory cannot be used: full, read-only, foreign, damaged."""


class EngineError(BareboatError):
    """The engine cannot start this workload on this machine."""


class ProgramError(EngineError):
    """The program itself does not exist (127) or is not executable (126) inside the image."""

    def __init__(self, code: str, what: str, *, exit_code: int, where: str = "", hint: str = "") -> None:
        super().__init__(code, what, where=where, hint=hint)
        self.exit_code = exit_code


class RecordError(BareboatError):
    """A run record is missing, ambiguous, or cannot be repeated here."""


class LeaseError(BareboatError):
    """GPUs of this machine cannot be leased: the directory for it is not as it must be."""


class QueueError(BareboatError):
    """A run cannot be queued or found, or the queue's file cannot be used."""

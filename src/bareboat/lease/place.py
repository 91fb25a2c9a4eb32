"""The directory in which the users of a machine meet: the same for all of them, and writable by all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from bareboat.errors import LeaseError
from bareboat.values import dataclass

# The first whose parent every user may write to, or that the administrator has made: facts that all users see alike.
# Not /dev/shm: systemd removes what a user has there when that user logs out (logind.conf, RemoveIPC).
PLACES = (Path("/run/lock/bareboat"), Path("/tmp/bareboat-leases"))
MODE = 0o1777
_HINT = ("its owner or the administrator puts it right: a directory of root's with mode 1777; docs/administration.md, "
         "\"Leases of GPUs\"")


@dataclass(frozen=True)
class Place:
    """path: where; given: somebody chose it, by a setting."""

    path: Path
    given: bool = False


def place(said: Path | None = None, places: Iterable[Path] = PLACES) -> Place:
    """Where the leases of this machine are. said: the setting. Raises LeaseError "lease.nowhere"."""
    if said is not None:
        return Place(said, True)
    places = tuple(places)
    for path in places:
        if _is_roots(path):
            return Place(path)
    for path in places:
        if _is_open(path.parent):
            return Place(path)
    raise LeaseError("lease.nowhere", "there is no directory in which the users of this machine could agree on GPUs",
                     where=", ".join(map(str, places)), hint="The administrator makes one: docs/administration.md")


def open_place(at: Place) -> int:
    """A descriptor of it, made where it is missing. Raises LeaseError "lease.directory"."""
    descriptor = _open(at)
    wrong = _wrong(os.fstat(descriptor), at)
    if wrong:
        os.close(descriptor)
        raise LeaseError("lease.directory", wrong, where=str(at.path), hint=_HINT)
    return descriptor


def _open(at: Place) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            return os.open(at.path, flags)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise LeaseError("lease.directory", f"cannot be used: {error.strerror}", where=str(at.path),
                             hint=_HINT) from None
        try:
            _make(at.path)
        except OSError as error:
            raise LeaseError("lease.directory", f"cannot be made: {error.strerror}", where=str(at.path),
                             hint=_HINT) from None


def _make(path: Path) -> None:
    """It appears open to everybody, whatever the umask and whenever this process is killed; or another's is there."""
    draft = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    os.mkdir(draft)
    try:
        os.chmod(draft, MODE)
        os.rename(draft, path)  # over nothing, or over an empty one of this user's
    except OSError:
        os.rmdir(draft)
        if not os.path.lexists(path):
            raise


def _wrong(status: os.stat_result, at: Place) -> str:
    """Why it cannot be trusted with everybody's files; "" where it can."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        return f"has no sticky bit (mode {mode:04o}), so that everybody could remove the files of others"
    if not at.given and mode & 0o1777 != MODE:
        return f"is not open to every user (mode {mode:04o}, uid {status.st_uid}'s)"
    return ""


def _is_roots(path: Path) -> bool:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0


def _is_open(path: Path) -> bool:
    """Whether every user may make files in it, and none may remove another's."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and status.st_mode & MODE == MODE

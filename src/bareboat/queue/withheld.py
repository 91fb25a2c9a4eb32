"""What the records of queued runs withhold, the values of variables that look like secrets: one file a submission,
beside the ledger and never in it (decision 0169).

Folder and files are for their user alone, and are looked at whenever they are opened. Who sends or resumes runs shares
the folder's lock until the ledger has them; who removes has it alone, and asks the ledger meanwhile: nothing goes that
is about to be needed, and what a sender left that was killed goes with the next look.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bareboat.errors import QueueError
from bareboat.host.files import fsync
from bareboat.store.disk_errors import disk_error
from bareboat.store.paths import document_name

FOLDER, LOCK, DRAFT = "withheld", ".lock", ".draft-"
MOST = 16 << 20  # bytes of a file; all variables of a program are at most a few MiB (execve(2))
PATIENCE = 60.0  # seconds: removing takes milliseconds
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def sending(queue: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Meanwhile nothing is removed. Raises QueueError "queue.withheld", "queue.busy", StoreError."""
    folder = _folder(queue, make=True)
    try:
        lock = _lock(folder, queue)
        try:
            end = time.monotonic() + patience
            while not _locked(lock, fcntl.LOCK_SH):
                if time.monotonic() > end:
                    raise QueueError("queue.busy", f"another bareboat tidies up for over {patience:.0f} s",
                                     where=str(queue / FOLDER / LOCK), hint="see who: fuser -v on this file")
                time.sleep(0.005)
            yield
        finally:
            os.close(lock)
    finally:
        os.close(folder)


def put(queue: Path, id: str, values: Mapping[str, str]) -> None:
    """Keep the values of a submission, durable; in `sending`. Raises QueueError "queue.withheld", StoreError."""
    folder = _folder(queue, make=True)
    draft, name = f"{DRAFT}{os.urandom(8).hex()}", document_name(id)
    try:
        fd = os.open(draft, _CREATE, 0o600, dir_fd=folder)
        try:
            with open(fd, "wb") as file:
                file.write(json.dumps(values).encode("ascii"))
                file.flush()
                os.fchmod(fd, 0o600)
                fsync(fd)
            os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(draft, dir_fd=folder)
            raise
        fsync(folder)
    except OSError as error:
        raise disk_error(error, str(queue / FOLDER / name)) from error
    finally:
        os.close(folder)


def get(queue: Path, id: str) -> dict[str, str] | None:
    """The values of a submission; None where there are none. Raises QueueError "queue.withheld", StoreError."""
    folder = _folder(queue)
    if folder < 0:
        return None
    path = queue / FOLDER / document_name(id)
    try:
        fd = os.open(path.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _foreign(path) if error.errno == errno.ELOOP else disk_error(error, str(path)) from error
    finally:
        os.close(folder)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or not _is_private(status):
            raise _foreign(path)
        try:
            found = json.loads(file.read(MOST))
        except ValueError:
            found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise QueueError("queue.withheld", "what was kept of the variables that look like secrets is damaged",
                         where=str(path), hint="stop the run, and resume it with them in the environment")
    return found


def sweep(queue: Path, needed: Callable[[str], bool], ids: Iterable[str] | None = None) -> int:
    """Remove what no submission needs, of these or of all; how many. Nothing while somebody sends: the next look has
    it. needed: of a submission's id. Raises what that raises, QueueError "queue.withheld", StoreError.
    """
    folder = _folder(queue)
    if folder < 0:
        return 0
    count = 0
    try:
        names = set(os.listdir(folder)) - {LOCK}
        if ids is not None:
            names &= {document_name(id) for id in ids}
        if not names:
            return 0
        lock = _lock(folder, queue)
        try:
            if not _locked(lock, fcntl.LOCK_EX):
                return 0
            for name in sorted(names):
                if name.startswith(DRAFT) or not needed(name):
                    os.unlink(name, dir_fd=folder)
                    count += 1
        finally:
            os.close(lock)
    except FileNotFoundError:
        pass  # another look was faster
    except OSError as error:
        raise disk_error(error, str(queue / FOLDER)) from error
    finally:
        os.close(folder)
    return count


def _folder(queue: Path, make: bool = False) -> int:
    """The folder's descriptor; -1 where there is none."""
    path = queue / FOLDER
    try:
        if make:
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                pass
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if make:
            raise QueueError("queue.withheld", "the queue's directory is gone", where=str(queue)) from None
        return -1
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _foreign(path) from error
        raise disk_error(error, str(path)) from error
    if not _is_private(os.fstat(fd)):
        os.close(fd)
        raise _foreign(path)
    return fd


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _foreign(path: Path) -> QueueError:
    return QueueError("queue.withheld", "variables that look like secrets are kept here, and this is a link, another "
                      "user's, or open to others", where=str(path),
                      hint="look at it with ls -ld, and at who could write there; then move it away")


def _lock(folder: int, queue: Path) -> int:
    try:
        return os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    except OSError as error:
        path = queue / FOLDER / LOCK
        raise _foreign(path) if error.errno == errno.ELOOP else disk_error(error, str(path)) from error


def _locked(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Leases by flock in a directory that all users of a machine share: no server, no root, and no death leaves one behind.

    gpu-UNIT, gpu-UNIT.0 … .11    lock files, anybody's, never removed (units.py)
    holding-UID-RUN-NUMBER        what somebody holds, locked by its holder for as long as he lives
    page-UID-NUMBER               what a user's worker tells, locked likewise
    turn                          who counts and takes

A holding and its units are freed by the kernel together, when the last process with the descriptors ends. A file is
written beside its name and renamed, so that a reader sees the old one or the new one. NUMBER is random: a name that
nobody can foresee is one that nobody can take beforehand.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from bareboat.errors import LeaseError
from bareboat.lease import strangers, units, written
from bareboat.lease.place import Place, open_place
from bareboat.lease.values import SLOTS, Holding, Page
from bareboat.values import replace

PATIENCE = 2.0  # seconds for a turn: who takes longer is stopped, not slow
ENTRIES_MOST = 20_000  # files that are looked at
HOLDINGS_MOST, PAGES_MOST = 512, 8  # of one user
_SETTLING = 0.1  # seconds in which what a holder had goes, one descriptor after the other


class FlockLease:
    """A lease of this process. The last of the descriptors is the holding's file, those before it are the units'."""

    def __init__(self, leases: FlockLeases, holding: Holding, name: str, descriptors: Sequence[int]) -> None:
        self._leases, self.holding, self._name = leases, holding, name
        self.descriptors = tuple(descriptors)

    def update(self, holding: Holding) -> None:
        """As Lease.update. By a new file of the same name: copies that other processes have of the descriptors keep
        the units after that, and not what is told of them.
        """
        if not self.descriptors:
            return
        holding = replace(holding, uid=self.holding.uid, run=self.holding.run, units=self.holding.units)
        fresh = self._leases.put(self._name, written.write_holding(holding))
        *before, old = self.descriptors
        self.descriptors, self.holding = (*before, fresh), holding
        os.close(old)

    def release(self) -> None:
        """As Lease.release."""
        descriptors, self.descriptors = self.descriptors, ()
        for descriptor in reversed(descriptors):  # what is told of it first: who finds a unit free finds no holder
            os.close(descriptor)
            if descriptor == descriptors[-1]:
                self._leases.drop(self._name)


class FlockLeases:
    """lease.base.Leases. at: the directory; nothing is opened before it is asked for."""

    def __init__(self, at: Place) -> None:
        self.at = at
        self._uid = os.geteuid()
        self._directory = self._watch = self._page = -1
        self._own_page = f"page-{self._uid}-{os.urandom(8).hex()}"
        self._problems: list[str] = []
        self._patience = PATIENCE

    def take(self, holding: Holding) -> FlockLease | None:
        """As Leases.take."""
        holding = replace(holding, uid=self._uid)
        data = written.write_holding(holding)
        directory = self._open()
        try:
            held = units.take(directory, holding.units)
        except units.Refused as refused:
            if refused.what:
                self._problems = [refused.what, *(p for p in self._problems if p != refused.what)]
            return None
        try:
            if self._is_held(holding.units):  # by somebody whose lock file was taken from under him
                raise BlockingIOError
            name = f"holding-{self._uid}-{holding.run}-{os.urandom(8).hex()}"
            told = self.put(name, data)
            # the highest number: a dying process lets go of it last, and that wakes those who wait for the units
            above = fcntl.fcntl(told, fcntl.F_DUPFD_CLOEXEC, max(held, default=0) + 1)
            os.close(told)
            return FlockLease(self, holding, name, (*held, above))
        except BlockingIOError:
            for descriptor in held:
                os.close(descriptor)
            return None
        except BaseException:
            for descriptor in held:
                os.close(descriptor)
            raise

    def adopt(self, holding: Holding, descriptors: Sequence[int]) -> FlockLease:
        """As Leases.adopt. Raises LeaseError "lease.adopt" where they are not what was taken."""
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        directory = self._open()
        name = next((n for n in self._names(directory) if n.startswith(f"holding-{self._uid}-{holding.run}-")
                     and descriptors and strangers.names(directory, n, descriptors[-1])), "")
        if not name:
            raise LeaseError("lease.adopt", "the lease that was handed over is not there any more",
                             where=f"{self.at.path}: {holding.run}", hint="Somebody has removed files there.")
        return FlockLease(self, holding, name, descriptors)

    def holdings(self) -> tuple[Holding, ...]:
        """As Leases.holdings. Removes what this user's dead have left."""
        directory = self._open()
        found: list[Holding] = []
        problems: list[str] = []
        counts: dict[int, int] = {}
        for name in self._names(directory):
            kind, _, rest = name.partition("-")
            uid = _uid(rest)
            if name.startswith(f".{self._uid}-"):
                self._sweep(directory, name)
            if kind != "holding" or uid is None:
                continue
            counts[uid] = counts.get(uid, 0) + 1
            if counts[uid] > HOLDINGS_MOST:
                continue
            try:
                read = strangers.read(directory, name, uid, written.HOLDING_MOST)
                if read is None:
                    continue
                if not read.living:
                    if uid == self._uid:
                        self._sweep(directory, name)
                    continue
                held = written.read_holding(read.data, uid)
                if held.run != rest.partition("-")[2].rpartition("-")[0]:
                    raise ValueError("is another run's than its name says")
                found.append(held)
            except ValueError as error:
                problems.append(f"{name}: {error}")
                if uid == self._uid:
                    self._sweep(directory, name)
        problems += [f"uid {uid} has {n} holdings, of which {HOLDINGS_MOST} are looked at"
                     for uid, n in counts.items() if n > HOLDINGS_MOST]
        self._noted("holding-", problems)
        return tuple(sorted(found, key=lambda h: (h.started, h.uid, h.run)))

    def publish(self, page: Page) -> None:
        """As Leases.publish."""
        data = written.write_page(replace(page, uid=self._uid))
        fresh, old = self.put(self._own_page, data), self._page
        self._page = fresh
        if old >= 0:
            os.close(old)
            return
        directory = self._open()
        for name in self._names(directory):
            if name.startswith(f"page-{self._uid}-") and name != self._own_page:
                self._sweep(directory, name)  # its use is in the new one

    def pages(self) -> tuple[Page, ...]:
        """As Leases.pages. Of a worker that has died the recent use alone: nobody obeys or starts anything there."""
        directory = self._open()
        found: dict[int, tuple[bool, Page]] = {}
        problems: list[str] = []
        counts: dict[int, int] = {}
        for name in self._names(directory):
            kind, _, rest = name.partition("-")
            uid = _uid(rest)
            if kind != "page" or uid is None:
                continue
            counts[uid] = counts.get(uid, 0) + 1
            if counts[uid] > PAGES_MOST:
                continue
            try:
                read = strangers.read(directory, name, uid, written.PAGE_MOST)
                if read is None:
                    continue
                page = written.read_page(read.data, uid)
                page = page if read.living else replace(page, wishes=(), more=0, asks=())
                if uid not in found or (read.living, page.written) > (found[uid][0], found[uid][1].written):
                    found[uid] = read.living, page
            except ValueError as error:
                problems.append(f"{name}: {error}")
        self._noted("page-", problems)
        return tuple(page for _, (_, page) in sorted(found.items()))

    def problems(self) -> tuple[str, ...]:
        """As Leases.problems."""
        return tuple(self._problems)

    def lockers(self, unit: str) -> tuple[int, ...]:
        """As Leases.lockers."""
        return tuple(dict.fromkeys(units.lockers(self._open(), unit)))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """As Leases.turn. The locks of the units hold without it: it only spares two takers each other's half."""
        try:
            descriptor = strangers.open_lock(self._open(), "turn")
        except OSError as error:
            self._noted("turn: ", [f"turn: {error.strerror}"])
            yield
            return
        try:
            self._noted("turn: ", [] if self._patiently(descriptor) else
                        ["turn: somebody holds it for too long, so that nobody waits for it"])
            yield
        finally:
            os.close(descriptor)

    def changed(self) -> int:
        """As Leases.changed."""
        from bareboat.host.watching import watch_directory

        if self._watch < 0:
            self._watch = watch_directory(self.at.path) if self._open() >= 0 else -1
        return self._watch

    def close(self) -> None:
        """Let go of the directory, the watch and the page; leases stay."""
        for descriptor in (self._directory, self._watch, self._page):
            if descriptor >= 0:
                os.close(descriptor)
        self._directory = self._watch = self._page = -1

    # of FlockLease

    def put(self, name: str, data: bytes) -> int:
        """A file of this user's under a name, replaced as a whole; its descriptor, locked. Raises LeaseError."""
        directory = self._open()
        draft = f".{self._uid}-{os.urandom(8).hex()}"
        descriptor = -1
        try:
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                                 dir_fd=directory)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(descriptor, 0o644)
            if os.pwrite(descriptor, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
            return descriptor
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            with suppress(OSError):
                os.unlink(draft, dir_fd=directory)
            raise LeaseError("lease.write", f"cannot be written: {error.strerror}", where=f"{self.at.path}/{name}",
                             hint="Somebody may have taken the name or all the room: see whose files are there."
                             ) from None

    def drop(self, name: str) -> None:
        """Remove a holding that no process has any more."""
        self._sweep(self._open(), name)

    # within

    def _open(self) -> int:
        """The directory, opened anew where it was made anew."""
        if self._directory >= 0:
            try:
                if os.path.samestat(os.stat(self.at.path, follow_symlinks=False), os.fstat(self._directory)):
                    return self._directory
            except OSError:
                pass
            os.close(self._directory)
            self._directory = -1
        self._directory = open_place(self.at)
        with suppress(OSError):  # what ages files below /tmp leaves a directory alone that is locked (tmpfiles.d(5))
            fcntl.flock(self._directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return self._directory

    def _names(self, directory: int) -> list[str]:
        found: list[str] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                if len(found) >= ENTRIES_MOST:
                    self._noted("over ", [f"over {ENTRIES_MOST} files are there, and some were not looked at"])
                    break
                found.append(entry.name)
        return sorted(found)

    def _sweep(self, directory: int, name: str) -> None:
        """Remove a file of this user's, where no process has it. Its name is never given again."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            return
        try:
            if (os.fstat(descriptor).st_uid == self._uid and not strangers.is_locked(descriptor)
                    and strangers.names(directory, name, descriptor)):
                os.unlink(name, dir_fd=directory)
        except OSError:
            pass
        finally:
            os.close(descriptor)

    def _is_held(self, wanted: Sequence[tuple[str, int]]) -> bool:
        """Whether a holding that lives has what was just locked. One whose holder ends at this moment is waited for."""
        if not wanted:
            return False
        end = time.monotonic() + _SETTLING
        while True:
            used: dict[str, int] = {}
            for holding in self.holdings():
                for unit, slots in holding.units:
                    used[unit] = used.get(unit, 0) + slots
            if all(used.get(unit, 0) + slots <= SLOTS for unit, slots in wanted):
                return False
            if time.monotonic() > end:
                self._noted("held: ", ["held: a holding names what nobody has locked: its lock file was removed, or it "
                                       "does not say the truth"])
                return True
            time.sleep(0.005)

    def _patiently(self, descriptor: int) -> bool:
        pause, end = 0.0005, time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._patience = PATIENCE
                return True
            except OSError:
                pass
            if time.monotonic() > end:
                self._patience = 0.02  # until it is free again
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def _noted(self, about: str, problems: list[str]) -> None:
        problems = ["".join(c if c.isprintable() else "?" for c in problem) for problem in problems]
        self._problems = [*(p for p in self._problems if not p.startswith(about)), *problems]


def _uid(text: str) -> int | None:
    digits = text.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 11 else None

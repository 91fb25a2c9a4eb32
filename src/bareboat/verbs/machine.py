"""What of this machine is shared among its users, by names that are the same for all of them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection

from bareboat.errors import BareboatError
from bareboat.host.gpu.choose import units
from bareboat.host.gpu.values import Unit
from bareboat.lease.values import Holding
from bareboat.queue.policy import Machine
from bareboat.verbs.collaborators import Work

Seen = tuple[tuple[str, tuple[tuple[int, bool], ...]], ...]  # units, and on each of them pids, and whether they draw


def machine_of(work: Work, holdings: Collection[Holding] = ()) -> Machine:
    """The units of GPUs, processors and memory here. holdings: what is held now: processes of those who hold a unit are
    not foreign on it. The caller's CUDA_VISIBLE_DEVICES bounds nothing: it is not the machine's.
    """
    return _machine(_asked(work), holdings)


class Look:
    """machine_of for who asks again and again and must not be kept waiting: a driver in trouble never answers, and
    nothing can interrupt the call. It is made by a child, whose answer is taken for FRESH seconds; while one does not
    come, the last one is true.
    """

    def __init__(self, work: Work, fresh: float = 1.0, patience: float = 10.0) -> None:
        self._work, self._fresh, self._patience = work, fresh, patience
        self._last: Seen = ()
        self._at = float("-inf")
        self._child, self._pipe = 0, -1

    def __call__(self, holdings: Collection[Holding] = ()) -> Machine:
        """The machine as it is, or was when it last answered; without GPUs where it never did."""
        if time.monotonic() - self._at > self._fresh:
            if self._pipe < 0 and not self._start():
                self._last, self._at = _asked(self._work), time.monotonic()
            elif self._pipe >= 0:
                self._take(self._patience if self._at < 0 else self._fresh)
        return _machine(self._last, holdings)

    def close(self) -> None:
        """Ask no more; a child that hangs goes when its driver lets it."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _start(self) -> bool:
        hear, tell = os.pipe2(os.O_CLOEXEC)
        try:
            self._child = os.fork()
        except OSError:
            os.close(hear)
            os.close(tell)
            return False
        if not self._child:
            try:
                tell = os.dup2(tell, 3)
                os.closerange(4, 1 << 16)  # above all the locks of its parent's, which it would keep when it hangs
                os.write(tell, json.dumps(_asked(self._work)).encode())
            finally:
                os._exit(0)
        os.close(tell)
        self._pipe = hear
        return True

    def _take(self, seconds: float) -> None:
        """The answer, where it is there in time."""
        import select

        answer = b""
        while select.select((self._pipe,), (), (), seconds)[0]:
            piece = os.read(self._pipe, 1 << 16)
            answer += piece
            if not piece:
                break
        else:
            self._at = max(self._at, 0.0)  # from now on nobody waits for long
            return
        self.close()
        try:
            os.waitpid(self._child, 0)
        except ChildProcessError:
            pass  # somebody else waits for children here
        try:
            self._last = tuple((name, tuple((pid, bool(graphics)) for pid, graphics in processes))
                               for name, processes in json.loads(answer))
        except ValueError:
            pass  # the driver killed it
        self._at = time.monotonic()


def _asked(work: Work) -> Seen:
    """Every unit with the processes on it, and whether they only draw."""
    from bareboat.verbs.grant import machine, specs_of

    try:
        here = machine(specs_of(work), work)
    except BareboatError:  # a CDI file is wrong; who asks for a GPU is told
        return ()
    return tuple((unit_name(unit), tuple((p.pid, p.graphics) for p in (unit.mig or unit.gpu).processes))
                 for unit in units(here.gpus))


def _machine(seen: Seen, holdings: Collection[Holding]) -> Machine:
    owners: dict[str, set[int]] = {}
    for holding in holdings:
        for name, _ in holding.units:
            owners.setdefault(name, set()).add(holding.uid)
    foreign = frozenset(name for name, processes in seen
                        if any(_is_foreign(pid, owners.get(name, ())) for pid, graphics in processes if not graphics))
    return Machine(tuple(name for name, _ in seen), float(os.cpu_count() or 1), _memory(), foreign)


def unit_name(unit: Unit) -> str:
    """A unit's name among all users: its UUID, which no variable and no restart of the machine changes; where it has
    none the vendor and the index. Good as the name of a file.
    """
    return re.sub(r"[^A-Za-z0-9._:-]", "_", unit.uuid or f"{unit.gpu.vendor}-{unit.name}")


def is_foreign(unit: Unit, holders: Collection[int] = ()) -> bool:
    """Whether a process that nobody's holding accounts for computes on it. holders: the uids of those who hold it. What
    only draws (a desktop) takes a GPU from nobody.
    """
    return any(_is_foreign(process.pid, holders) for process in (unit.mig or unit.gpu).processes
               if not process.graphics)


def _is_foreign(pid: int, holders: Collection[int]) -> bool:
    if not holders:
        return True
    try:
        return os.stat(f"/proc/{pid}").st_uid not in holders
    except OSError:
        return False  # it has ended, or is not shown to us: the holder's, as far as can be known


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0

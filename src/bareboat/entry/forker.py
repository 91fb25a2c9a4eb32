"""python -m bareboat.entry.forker: has imported what an attempt needs, and forks one for each message of the worker's.

A start of Python with all its imports takes longer than all the rest between a free GPU and a running program. It never
opens the ledger, has no threads, and ends when the worker's end of the socket on descriptor 3 is closed; what it forked
goes on.
"""

from __future__ import annotations

import array
import gc
import os
import socket
import sys
from importlib import import_module

from bareboat.host.background import reap

SOCKET = 3
MOST = 64  # descriptors in one message: task, log, the run's lock, and its lease's
FIRST = 100  # where they are put before they get their places
EARLY = (
    "bareboat.entry.attempt", "bareboat.wiring", "bareboat.settings", "bareboat.store.store", "bareboat.verbs.execute",
    "bareboat.verbs.gather", "bareboat.verbs.runs", "bareboat.store.results", "bareboat.store.snapshots",
    "bareboat.store.codetree", "bareboat.engine.bubblewrap", "bareboat.engine.choice", "bareboat.sandbox.session",
    "bareboat.sandbox.box", "bareboat.sandbox.root", "bareboat.supervisor.keeper", "bareboat.host.process",
    "bareboat.lease.flock", "bareboat.lease.place", "bareboat.record.codec", "bareboat.record.states", "json",
    "bareboat.builder.stacking", "bareboat.verbs.attempt", "bareboat.store.checkpoints", "bareboat.host.facts",
    "bareboat.settings_values", "bareboat.verbs.grant", "bareboat.host.gpu.inventory", "bareboat.host.gpu.specs",
    "bareboat.host.gpu.driver", "bareboat.host.gpu.fromcdi", "resource", "traceback", "socket",
)


def main() -> int:
    """0 when the worker is gone."""
    for name in EARLY:
        try:
            import_module(name)
        except ImportError as error:  # it is imported when it is needed, and fails there
            sys.stderr.write(f"{name}: {error}\n")
    from bareboat.entry.attempt import Given
    from bareboat.record.codec import _decoder

    _decoder(Given)
    gc.collect()
    gc.freeze()
    at = socket.socket(fileno=SOCKET)
    while True:
        data, descriptors = _receive(at)
        if not data:
            return 0
        reap()
        pid = os.fork()
        if pid == 0:
            _become(at, descriptors)
        pidfd = os.pidfd_open(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            at.sendmsg([b"%d" % pid], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [pidfd]))])
        except OSError:
            return 0
        finally:
            os.close(pidfd)


def _receive(at: socket.socket) -> tuple[bytes, list[int]]:
    found = array.array("i")
    data, ancillary, _, _ = at.recvmsg(64, socket.CMSG_LEN(MOST * found.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return data, list(found)


def _become(at: socket.socket, descriptors: list[int]) -> None:
    """Be the process of an attempt: the descriptors at their places, and nothing else open."""
    import fcntl

    try:
        os.setsid()
        at.detach()
        above = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST) for descriptor in descriptors]
        task, log, *rest = above
        for number, descriptor in ((0, task), (1, log), (2, log), *enumerate(rest, 3)):
            os.dup2(descriptor, number, inheritable=number < 3)
        os.closerange(3 + len(rest), FIRST + len(descriptors) + MOST)
        from bareboat.entry.attempt import forked

        forked()
    finally:
        os._exit(125)


if __name__ == "__main__":
    sys.exit(main())

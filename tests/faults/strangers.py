"""SECURITY.md's row 18: no stranger is signalled, though the kernel is made to give out the same number again.

python -m tests.faults.strangers ROUNDS [--control]: in a user and pid namespace of its own, where ns_last_pid says
which number the next process gets.
"""

from __future__ import annotations

import os
import signal
import sys

from bareboat.host import kernel, processes


def main(rounds: int, control: bool) -> int:
    """Prints: rounds, reused numbers, wrong signals."""
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNS)
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    kernel.mount(b"proc", b"/proc", b"proc", 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # of all that follow: what was sent stays to be seen
    reused = wrong = 0
    for number in range(rounds):
        again, hit = _round(number, control)
        reused += again
        wrong += hit
    print(f"{rounds} {reused} {wrong}", flush=True)
    os._exit(0)


def _round(number: int, control: bool) -> tuple[bool, bool]:
    """A process of ours dies, a stranger gets its number, and then we signal what we meant."""
    keeper = os.fork()  # the parent of what we mean to signal, as bwrap's first process is of the program
    if keeper == 0:
        signal.pause()
        os._exit(0)
    meant = _child_of_a_child()
    held = os.pidfd_open(meant)
    os.kill(meant, signal.SIGKILL)
    os.waitpid(meant, 0)
    stranger = _with_number(meant)
    again = stranger == meant
    if control:  # by its number, as it was read before
        os.kill(meant, signal.SIGTERM)
    elif number % 2:
        processes.signal_by(held, signal.SIGTERM)
    else:
        processes.signal_by(processes.open_child(meant, keeper), signal.SIGTERM)
    hit = _is_hit(stranger)
    for pid in (stranger, keeper):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    try:
        os.close(held)
    except OSError:
        pass
    return again, hit


def _child_of_a_child() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def _with_number(wanted: int) -> int:
    """A process that gets a number again."""
    with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as file:
        file.write(str(wanted - 1))
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def _is_hit(pid: int) -> bool:
    """Whether SIGTERM waits for it."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        pending = next(int(line.split()[1], 16) for line in file if line.startswith("ShdPnd:"))
    return bool(pending & 1 << (signal.SIGTERM - 1))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), "--control" in sys.argv))

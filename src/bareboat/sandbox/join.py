"""The way into a sandbox that runs: fork, take its namespaces, give up what its program has not, become a program.

    caller ── middle (all of its namespaces, its own pid aside) ── the program (inside, a child of nobody there)

The middle outlives a caller that is killed, as Docker's does: a pid namespace does not end before each of its dead has
been waited for, and nobody else is sure to wait for this one.

A process joins by a pidfd, so a number that was given to somebody else meanwhile is never meant. Modules are loaded
before: inside, an import would read the container's files.
"""

from __future__ import annotations

import array
import errno
import os
import select
import signal
import struct

from bareboat.errors import CANNOT_RUN, NOT_FOUND
from bareboat.host import kernel
from bareboat.sandbox import enter, terminal
from bareboat.sandbox.box import DEFAULT_PATH
from bareboat.values import dataclass
from bareboat.workload import Limits

OWN = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
SHARED = ((kernel.CLONE_NEWNET, "net"), (kernel.CLONE_NEWCGROUP, "cgroup"))  # with the host, where a sandbox is made so
_LOADED = (array, struct)  # what tell() and terminals need inside


@dataclass(frozen=True)
class Visit:
    """All that the child needs, made before the fork. Numbers are descriptors; -1 for streams: a terminal is made."""

    pidfd: int
    argv: tuple[bytes, ...]
    env: tuple[tuple[bytes, bytes], ...]
    cwd: bytes
    ids: tuple[int, int]
    streams: tuple[int, int, int]
    control: int
    seccomp: bytes
    scopes: int
    window: tuple[int, int] | None
    limits: Limits


def join(visit: Visit) -> int:
    """Fork, and return the pid of the process to wait for: it ends as the program does. The child never returns."""
    pid = os.fork()
    if pid:
        return pid
    try:
        _middle(visit)
    except OSError as error:
        enter.tell(visit.control, b"oserror", b"%d" % (error.errno or 0), os.fsencode(str(error)))
    except BaseException as error:  # a bug: it must not run the parent's code twice
        enter.tell(visit.control, b"oserror", b"0", repr(error).encode())
    finally:
        os._exit(enter.FAILED)


def signal_all(pidfd: int, number: int) -> None:
    """Signal every process of a sandbox's pid namespace but its first, in one call that no fork slips through: the
    kernel holds the list of processes while it goes through it, and a fork with a signal pending starts again
    (kill(2) with -1; copy_process). Raises OSError when the namespace is gone.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            kernel.setns(pidfd, kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
            inside = os.fork()
            if inside == 0:
                try:
                    os.kill(-1, number)
                except ProcessLookupError:
                    pass  # nobody but the first
                os.write(write, b"1")
                os._exit(0)
            os.waitpid(inside, 0)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    try:
        done = os.read(read, 1)
    finally:
        os.close(read)
        os.waitpid(pid, 0)
    if not done:
        raise ProcessLookupError(errno.ESRCH, "the container has ended")


def _middle(visit: Visit) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(ignored, signal.SIG_IGN)  # of the caller's terminal; forwarded by the parent
    me = os.pidfd_open(os.getpid())
    _into_group(visit.pidfd)
    try:
        kernel.setns(visit.pidfd, _namespaces(visit.pidfd))
    except OSError as error:
        enter.tell(visit.control, b"gone", b"%d" % (error.errno or 0), os.fsencode(str(error)))
        os._exit(enter.FAILED)
    pid = os.fork()
    if pid == 0:
        try:
            _program(visit, me)
        except OSError as error:
            enter.tell(visit.control, b"oserror", b"%d" % (error.errno or 0), os.fsencode(str(error)))
        finally:
            os._exit(enter.FAILED)
    enter.tell(visit.control, b"pid", b"%d" % pid, fds=(os.pidfd_open(pid),))
    enter.close_all()
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _namespaces(pidfd: int) -> int:
    """Those to take. The host's own are left out, which none but root may take, though one is in them; one that cannot
    be compared is taken, or refused by the kernel.
    """
    found = OWN
    for flag, name in SHARED:
        try:
            pid = _pid(pidfd)
            same = os.path.samestat(os.stat(f"/proc/self/ns/{name}"), os.stat(f"/proc/{pid}/ns/{name}"))
        except (OSError, StopIteration, ValueError):
            same = False
        found |= 0 if same else flag
    return found


def _pid(pidfd: int) -> int:
    """The number of a pidfd's process now, -1 when it is gone. Raises OSError, StopIteration, ValueError."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"Pid:"))


def _into_group(pidfd: int) -> None:
    """Into the container's own cgroup, where it has one (v2), so that its limits hold us too."""
    try:
        pid = _pid(pidfd)
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            there = next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            here = next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))
        if there != here:
            with open(f"/sys/fs/cgroup{there}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
    except (OSError, StopIteration, ValueError):
        pass  # watched limits look at every process of the namespace


def _program(visit: Visit, middle: int) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(middle, select.POLLIN)
    if poll.poll(0):  # it died before we could ask to be told
        os._exit(enter.FAILED)
    os.setsid()
    streams = visit.streams
    if streams[0] < 0:
        master, slave = terminal.open_pty(b"/dev/pts", visit.window)
        enter.tell(visit.control, b"terminal", fds=(master,))
        terminal.control(slave)
        streams = (slave, slave, slave)
    os.setresgid(visit.ids[1], visit.ids[1], visit.ids[1])
    os.setresuid(visit.ids[0], visit.ids[0], visit.ids[0])
    enter.limit(visit.limits)
    kernel.no_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of ids resets it
    if visit.scopes:
        kernel.landlock_scope(visit.scopes)
    try:
        os.chdir(visit.cwd)
    except OSError as error:
        _refuse(visit, "engine.workdir", f"the working directory cannot be entered: {error.strerror}",
                os.fsdecode(visit.cwd), NOT_FOUND)
    os.umask(0o022)
    high = [enter.above(fd) for fd in streams]
    control = enter.above(visit.control)
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    kernel.close_range(3, 0x7FFFFFFF, kernel.CLOSE_RANGE_CLOEXEC)
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            try:
                signal.signal(number, signal.SIG_DFL)
            except OSError:
                pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    kernel.seccomp(visit.seccomp)
    _become(visit, control)


def _become(visit: Visit, control: int) -> None:
    """execve(2), searching PATH as execvp does. Returns only by ending."""
    env = dict(visit.env)
    name = visit.argv[0]
    folders = [b""] if b"/" in name else env.get(b"PATH", DEFAULT_PATH.encode()).split(b":")
    denied: OSError | None = None
    for folder in folders:
        path = folder + b"/" + name if folder else name
        try:
            os.execve(path, visit.argv, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            denied = denied or error
    where = os.fsdecode(name)
    if denied is not None:
        _refuse(visit, "program.not-executable", f"cannot be run: {denied.strerror}", where, CANNOT_RUN, control)
    _refuse(visit, "program.not-found", "not found in the container", where, NOT_FOUND, control)


def _refuse(visit: Visit, code: str, what: str, where: str, exit_code: int, control: int = -1) -> None:
    texts = (code, what, where, "", str(exit_code))
    enter.tell(visit.control if control < 0 else control, b"error",
               *(text.encode("utf-8", "surrogateescape") for text in texts))
    os._exit(exit_code)

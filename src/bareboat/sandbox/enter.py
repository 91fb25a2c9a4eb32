"""The way in: fork, leave the host's namespaces, build the root, become bwrap.

This is the one place beside host/process that makes a process, because a namespace can only be left by oneself.

    bareboat ── guard (new user, mount and pid namespace for its child)
                  └─ builder → bwrap (pid 1 of that namespace) ── bwrap's init (pid 1 inside) ── the program (2)

Each is killed with its parent (PR_SET_PDEATHSIG), and a pid namespace dies with its pid 1: when bareboat is killed,
nothing is left, daemons included. As pid 1, bwrap itself is deaf to a terminal's ^C, which is the program's alone.
"""

from __future__ import annotations

import os
import signal

from bareboat.errors import BareboatError
from bareboat.host import kernel
from bareboat.sandbox import box as boxes
from bareboat.sandbox import program, root
from bareboat.sandbox.limits import whole_cpus
from bareboat.values import dataclass, field
from bareboat.workload import Limits

FAILED = 125
_STAGES = (b"/tmp", b"/mnt", b"/srv", b"/opt", b"/var/tmp", b"/run")


@dataclass(frozen=True)
class Start:
    """All that the child needs, made before the fork. Numbers are descriptors; control is a socket's."""

    box: boxes.Box
    bwrap: bytes
    seccomp: bytes
    control: int
    status: int
    stdin: int
    stdout: int
    stderr: int
    hold: int  # the guard waits here for a byte: until then it can be put into a cgroup
    window: tuple[int, int] | None = None
    scopes: int = 0
    limits: Limits = field(default_factory=Limits)  # what is left for the child itself to set


def stage_directory(bwrap: bytes) -> bytes:
    """A directory that is there and that bwrap's own files do not lie under: our tmpfs is mounted over it."""
    real = os.path.realpath(bwrap)
    for directory in _STAGES:
        if os.path.isdir(directory) and not real.startswith(os.path.realpath(directory) + b"/"):
            return directory
    return b"/usr/share"


def enter(start: Start) -> int:
    """Fork the guard and return its pid; the child never returns. What goes wrong in it is told over the control."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _guard(start, parent)
    except BareboatError as error:
        report(start.control, error)
    except OSError as error:
        tell(start.control, b"oserror", b"%d" % (error.errno or 0), os.fsencode(str(error)))
    except BaseException as error:  # a bug: it must not run the parent's code twice
        tell(start.control, b"oserror", b"0", repr(error).encode())
    finally:
        os._exit(FAILED)


def tell(control: int, *parts: bytes, fds: tuple[int, ...] = ()) -> None:
    """One message to the parent: parts joined by NUL, with descriptors."""
    import _socket
    import array

    sock = _socket.socket(fileno=os.dup(control))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sock.sendmsg([b"\0".join(parts)], rights)
    except OSError:
        pass  # the parent is gone, and so shall we be
    finally:
        sock.close()


def report(control: int, error: BareboatError) -> None:
    """Tell the parent of an error, whole."""
    texts = (error.code, str(error.args[0]), error.where, error.hint, str(error.exit_code))
    tell(control, b"error", *(text.encode("utf-8", "surrogateescape").replace(b"\0", b"") for text in texts))


def _guard(start: Start, parent: int) -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(ignored, signal.SIG_IGN)  # of the caller's terminal; forwarded by the parent
    uid, gid = os.geteuid(), os.getegid()
    me = os.pidfd_open(os.getpid())
    if not os.read(start.hold, 1):
        os._exit(FAILED)
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
        _map(uid, gid, root=start.box.emulation is not None)
    except OSError as error:
        tell(start.control, b"userns", b"%d" % (error.errno or 0), os.fsencode(str(error)))
        os._exit(FAILED)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # after unshare, which resets it
    if os.getppid() != parent:
        os._exit(FAILED)
    pid = os.fork()
    if pid == 0:
        _builder(start, me)
    tell(start.control, b"pid", b"%d" % pid)
    close_all()  # or the streams would not end with the program, and its standard input never
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def close_all() -> None:
    """Every descriptor of this process: it only waits from here on."""
    try:
        kernel.close_range(0, 0x7FFFFFFF, 0)
    except OSError:  # before Linux 5.9
        os.closerange(0, 1 << 16)


def _map(uid: int, gid: int, root: bool) -> None:
    """Ourselves and nobody else; groups are kept by the kernel and cannot be changed. root: by the number 0 while the
    sandbox is built, since a binfmt_misc is its namespace's root's; the program has its own in bwrap's namespace.
    """
    inside = (0, 0) if root else (uid, gid)
    maps = (("uid_map", f"{inside[0]} {uid} 1"), ("gid_map", f"{inside[1]} {gid} 1"))
    for name, text in (("setgroups", "deny"), *maps):
        file = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def _builder(start: Start, guard: int) -> None:
    import select

    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(guard, select.POLLIN)
    if poll.poll(0):  # the guard died before we could ask to be told
        os._exit(FAILED)
    umask = os.umask(0o022)
    box = start.box
    at = stage_directory(start.bwrap)
    sources = root.open_sources(box)
    made = root.stage(box, sources, at)
    if box.emulation is not None:
        from bareboat.sandbox import emulation  # imported by who made the box: nothing can be loaded any more here

        emulation.register(box.emulation, at + b"/binfmt")
        made.emulated = box.emulation.machine
    root.furnish(box, sources, made, at)
    path = program.check(box, made)
    os.setsid()
    fds = [made.upper]
    streams = (start.stdin, start.stdout, start.stderr)
    if box.tty:
        from bareboat.sandbox import leader, terminal

        root.write(made, leader.PATH, leader.program(kernel.machine()), 0o755)
        master, slave = terminal.make(at + b"/pts", start.window)
        fds.append(master)
        streams = (slave, slave, slave)
    tell(start.control, b"ready", *made.made, fds=tuple(fds))
    os.umask(umask)
    limit(start.limits)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if start.scopes:
        kernel.landlock_scope(start.scopes)
    args = b"".join(option + b"\0" for option in boxes.options(box, at))
    _descriptors(streams, _memory(b"args", args), _memory(b"seccomp", start.seccomp), start.status)
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            try:
                signal.signal(number, signal.SIG_DFL)
            except OSError:
                pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execve(start.bwrap, boxes.command(box, path), {})


def _memory(name: bytes, content: bytes) -> int:
    file = os.memfd_create(os.fsdecode(name), os.MFD_CLOEXEC)
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _descriptors(streams: tuple[int, int, int], args: int, seccomp: int, status: int) -> None:
    """0, 1, 2 and bwrap's three; every other descriptor is closed by exec."""
    high = [os.dup(fd) for fd in (*streams, args, seccomp, status)]
    high = [above(fd) for fd in high]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    last = boxes.STATUS_FD + 1
    try:
        kernel.close_range(last, 0x7FFFFFFF, kernel.CLOSE_RANGE_CLOEXEC)
    except OSError:  # before Linux 5.11
        for name in os.listdir("/proc/self/fd"):
            if int(name) >= last:
                try:
                    os.set_inheritable(int(name), False)
                except OSError:
                    pass


def above(fd: int) -> int:
    """A copy of a descriptor out of the way of 0, 1, 2 and bwrap's."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16)


def limit(limits: Limits) -> None:
    """What this process itself can set of the limits, for itself and what it becomes."""
    if limits.pids is not None:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        # Counted in our own user namespace only (Linux 5.14), where bwrap and its init live as well.
        number = limits.pids + 2
        number = number if hard < 0 else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (number, number))
    if limits.cpus is not None:
        have = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, have[: whole_cpus(limits.cpus, len(have))])

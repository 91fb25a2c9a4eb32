"""The root of a sandbox: overlay of the image's trees, mounts at their targets, what a user needs to be someone.

Runs in a child that has its own user and mount namespace, before bwrap. Every path is resolved once, to a descriptor,
inside the root (openat2, RESOLVE_IN_ROOT): a symbolic link of an image never leads a mount or a directory outside.
"""

from __future__ import annotations

import errno
import os
import stat

from bareboat.errors import EngineError
from bareboat.host import kernel
from bareboat.sandbox.box import NODES, Bind, Box, Memory
from bareboat.values import dataclass, field
from bareboat.workload import OWN

SYSTEM = b"/sys/devices/system"  # processors and memory nodes: numerical libraries look there
_LINKS = 40  # as the kernel's own limit


@dataclass
class Root:
    """A root under construction: descriptor of its top and of the thin layer, and what we made in it ourselves."""

    top: int
    upper: int
    made: list[bytes] = field(default_factory=list)
    emulated: int = 0  # ELF machine of programs that run here besides the machine's own


def _fd(number: int) -> bytes:
    return b"/proc/self/fd/%d" % number


def _open(path: bytes, flags: int, what: str) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise EngineError("engine.source", f"{what} cannot be opened: {error.strerror}",
                          where=os.fsdecode(path)) from error


@dataclass(frozen=True)
class Sources:
    """Everything of the host's that goes in, opened before anything is covered by a mount."""

    trees: tuple[int, ...]
    binds: tuple[int, ...]
    overs: tuple[int | None, ...]
    disk: int | None
    system: int | None
    resolv: int | None
    hosts: bytes


def open_sources(box: Box) -> Sources:
    """Open trees, mounts and the host's files once. Call after leaving the mount namespace."""
    path, directory = os.O_PATH, os.O_PATH | os.O_DIRECTORY
    trees = tuple(_open(tree, directory, "a tree of the image") for tree in box.trees)
    binds = tuple(_open(bind.source, path, "what is to be mounted") for bind in box.binds)
    overs = tuple(None if bind.over is None else _open(bind.over, directory, "a tree") for bind in box.binds)
    disk = None if box.disk is None else _open(box.disk, directory, "the directory for the thin layer")
    resolv, hosts = None, b"127.0.0.1 localhost\n::1 localhost\n"
    if box.host_network:
        resolv = _optional(b"/etc/resolv.conf")
        hosts = _read(b"/etc/hosts") or hosts
    return Sources(trees, binds, overs, disk, _optional(SYSTEM), resolv, hosts)


def _optional(path: bytes) -> int | None:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None


def _read(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def stage(box: Box, sources: Sources, at: bytes) -> Root:
    """Make the staging directory (a tmpfs of ours over `at`) and the overlay at `at`/root."""
    kernel.mount(None, b"/", None, kernel.MS_REC | kernel.MS_SLAVE)
    kernel.mount(b"tmpfs", at, b"tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV,
                 b"mode=0700,size=%d" % box.scratch)
    for name in (b"root", b"m", b"pts"):
        os.mkdir(at + b"/" + name, 0o755)
    base = os.open(at, os.O_PATH) if sources.disk is None else sources.disk
    for name in (b"upper", b"work", b"tmp"):
        os.mkdir(name, 0o755, dir_fd=base)
    upper = os.open(b"upper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=base)
    work = os.open(b"work", os.O_PATH | os.O_DIRECTORY, dir_fd=base)
    lowers = b":".join(b"%d" % tree for tree in reversed(sources.trees))  # overlay wants the top first
    extra = b"" if sources.disk is None else b",volatile"  # thrown away: never worth a sync
    made: list[bytes] = []
    # Names relative to our own descriptors: short enough for 400 lowers, and nothing in them needs escaping.
    os.chdir(b"/proc/self/fd")
    try:
        if not box.overlay:
            raise OSError(errno.EPERM, "switched off")
        kernel.mount(b"overlay", at + b"/root", b"overlay", 0,
                     b"lowerdir=%s,upperdir=%d,workdir=%d,userxattr%s" % (lowers, upper, work, extra))
    except OSError as error:
        if len(sources.trees) > 1:
            raise EngineError("engine.overlay", f"the image's trees cannot be stacked: {error.strerror}",
                              hint="Overlay in a user namespace needs Linux 5.11, and a thin layer that is not on"
                                   " NFS or on an overlay; bareboat doctor says more.") from error
        from bareboat.sandbox import mirror

        upper = os.open(at + b"/root", os.O_RDONLY | os.O_DIRECTORY)
        made = mirror.mirror(sources.trees[0], upper, mirror.wanted(box))
    os.chdir(b"/")
    root = Root(os.open(at + b"/root", os.O_PATH | os.O_DIRECTORY), upper, made)
    os.chmod(b"tmp", 0o1777, dir_fd=base)
    place(root, b"/tmp", True)
    _bind(root, os.open(b"tmp", os.O_PATH, dir_fd=base), b"/tmp", False)
    return root


def place(root: Root, target: bytes, directory: bool) -> int:
    """A descriptor of the mount point at target, made with its parents where it is missing. Raises EngineError."""
    wanted = target
    for _ in range(_LINKS):
        try:
            found = kernel.open_in_root(root.top, target, os.O_PATH)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise EngineError("engine.mount-target", f"cannot be a mount point: {error.strerror}",
                              where=os.fsdecode(wanted)) from error
        else:
            if stat.S_ISDIR(os.fstat(found).st_mode) != directory:
                kind, other = ("directory", "file") if directory else ("file", "directory")
                raise EngineError("engine.mount-target", f"a {kind} cannot be mounted on a {other} of the image",
                                  where=os.fsdecode(wanted))
            return found
        target = _make(root, target, directory)
    raise EngineError("engine.mount-target", "too many symbolic links in the image", where=os.fsdecode(wanted))


def _make(root: Root, target: bytes, directory: bool) -> bytes:
    """Make what is missing at target; where a dangling link stands, the path that it means instead."""
    parent, name = os.path.split(target)
    above = place(root, parent, True)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=above)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=above))
    except FileExistsError:
        link = os.readlink(name, dir_fd=above)
        return link if link.startswith(b"/") else parent + b"/" + link
    except OSError as error:
        reason = os.strerror(errno.EROFS) if error.errno == errno.EROFS else error.strerror
        raise EngineError("engine.mount-target", f"the mount point cannot be made: {reason}",
                          where=os.fsdecode(target),
                          hint="Make it in the directory that is mounted there.") from error
    finally:
        os.close(above)
    root.made.append(target)
    return target


def _bind(root: Root, source: int, target: bytes, read_only: bool) -> None:
    point = place(root, target, stat.S_ISDIR(os.fstat(source).st_mode))
    kernel.mount(_fd(source), _fd(point), None, kernel.MS_BIND | kernel.MS_REC)
    os.close(point)
    if read_only:
        kernel.read_only(kernel.open_in_root(root.top, target, os.O_PATH))


def furnish(box: Box, sources: Sources, root: Root, at: bytes) -> None:
    """All mounts at their targets, and the files a user and the network need. `at`: the staging directory."""
    for path in OWN:
        _own_directory(root, os.fsencode(path))
    if box.by_root:
        _nodes(at + b"/d")
    if sources.system is not None:
        _bind(root, sources.system, SYSTEM, True)
    os.close(place(root, box.home, True))
    memory = sorted(box.memory, key=_depth)  # parents first among both
    for number, (bind, source, over) in enumerate(zip(box.binds, sources.binds, sources.overs, strict=True)):
        while memory and _depth(memory[0]) < _depth(bind):
            _tmpfs(root, memory.pop(0))
        _mount(root, bind, source, over, at + b"/m/%d" % number)
    for last in memory:
        _tmpfs(root, last)
    if box.driver is not None:
        from bareboat.sandbox import driver  # imported by who made the box: nothing can be loaded any more here

        driver.furnish(box.driver, root)
    os.close(place(root, box.cwd, True))
    _user(box, root)
    taken = {bind.target for bind in box.binds}
    if b"/etc/hostname" not in taken:
        write(root, b"/etc/hostname", box.hostname + b"\n")
    if b"/etc/hosts" not in taken:
        hosts = sources.hosts if sources.hosts.endswith(b"\n") else sources.hosts + b"\n"
        write(root, b"/etc/hosts", hosts + b"127.0.0.1 " + box.hostname + b"\n")
    if sources.resolv is not None and b"/etc/resolv.conf" not in taken:
        write(root, b"/etc/resolv.conf", b"")  # an image's own may be a link to what is not there
        _bind(root, sources.resolv, b"/etc/resolv.conf", True)


def _depth(mount: Bind | Memory) -> int:
    return mount.target.count(b"/")


def _tmpfs(root: Root, memory: Memory) -> None:
    point = place(root, memory.target, True)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | (0 if memory.programs else kernel.MS_NOEXEC)
    kernel.mount(b"tmpfs", _fd(point), b"tmpfs", flags, b"mode=%04o,size=%d" % (memory.mode, memory.size))
    os.close(point)
    if memory.read_only:
        kernel.read_only(kernel.open_in_root(root.top, memory.target, os.O_PATH))


def _nodes(directory: bytes) -> None:
    """The device nodes on read-only mounts, for bwrap to lay over its own."""
    os.mkdir(directory)
    for name in NODES:
        path = directory + b"/" + name
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        kernel.mount(b"/dev/" + name, path, None, kernel.MS_BIND)
        kernel.read_only(os.open(path, os.O_PATH))


def _own_directory(root: Root, path: bytes) -> None:
    point = place(root, path, True)
    straight = os.stat(path.lstrip(b"/"), dir_fd=root.top, follow_symlinks=False)
    os.close(point)
    if not stat.S_ISDIR(straight.st_mode):
        raise EngineError("engine.root", "the image has a symbolic link where a directory must be",
                          where=os.fsdecode(path))


def _mount(root: Root, bind: Bind, source: int, over: int | None, spare: bytes) -> None:
    if bind.late:
        if stat.S_ISDIR(os.fstat(source).st_mode):
            os.mkdir(spare)
        else:
            os.close(os.open(spare, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        kernel.mount(_fd(source), spare, None, kernel.MS_BIND | kernel.MS_REC)
        if bind.read_only:
            kernel.read_only(os.open(spare, os.O_PATH))
    elif over is not None:
        point = place(root, bind.target, True)
        target = _fd(point)
        os.chdir(b"/proc/self/fd")
        kernel.mount(b"overlay", target, b"overlay", kernel.MS_RDONLY, b"lowerdir=%d:%d,userxattr" % (over, source))
        os.chdir(b"/")
        os.close(point)
    else:
        _bind(root, source, bind.target, bind.read_only)


def write(root: Root, path: bytes, content: bytes, mode: int = 0o644) -> None:
    """Replace the file (or the link) at path in the thin layer. Parents are resolved inside the root."""
    parent, name = os.path.split(path)
    above = place(root, parent, True)
    try:
        try:
            os.unlink(name, dir_fd=above)
        except FileNotFoundError:
            pass
        file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode, dir_fd=above)
        try:
            while content:
                content = content[os.write(file, content):]
        finally:
            os.close(file)
    finally:
        os.close(above)
    root.made.append(path)


def link(root: Root, path: bytes, target: bytes) -> None:
    """Put a symbolic link at path in place of the file there; a directory stays, and is an error."""
    parent, name = os.path.split(path)
    above = place(root, parent, True)
    try:
        try:
            os.unlink(name, dir_fd=above)
        except FileNotFoundError:
            pass
        os.symlink(target, name, dir_fd=above)
    except OSError as error:
        raise EngineError("engine.link", f"a link cannot be made here: {error.strerror}",
                          where=os.fsdecode(path)) from error
    finally:
        os.close(above)
    root.made.append(path)


def read(root: Root, path: bytes, limit: int = 1 << 20) -> bytes:
    """The first bytes of a regular file inside the root; b"" when there is none."""
    try:
        file = kernel.open_in_root(root.top, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return os.read(file, limit) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)


def _user(box: Box, root: Root) -> None:
    """An entry in passwd and group for who the program is: getpwuid must not fail."""
    taken = {bind.target for bind in box.binds}
    people, groups = read(root, b"/etc/passwd"), read(root, b"/etc/group")
    name = b"root" if box.uid == 0 else b"user"
    if b"/etc/passwd" not in taken and not _has(people, box.uid):
        line = b"%s:x:%d:%d:%s:%s:/bin/sh\n" % (name, box.uid, box.gid, name, box.home)
        write(root, b"/etc/passwd", _lines(people) + line)
    if b"/etc/group" not in taken and not _has(groups, box.gid):
        write(root, b"/etc/group", _lines(groups) + b"%s:x:%d:\n" % (name, box.gid))


def _has(table: bytes, number: int) -> bool:
    return any(line.split(b":")[2:3] == [b"%d" % number] for line in table.splitlines())


def _lines(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"

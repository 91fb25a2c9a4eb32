"""What the machine's files need beyond the standard library: durability, removal, and which file system
this is. Where a system has none of Linux's own calls there is another way of the same strength.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from bareboat.values import dataclass

MOUNTINFO = "/proc/self/mountinfo"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Another machine may write here, or a daemon of this one stands between us and the disk.
REMOTE = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2",
    "orangefs", "pvfs2", "smb3", "smbfs", "virtiofs",
})  # fmt: skip
_NFS_NOTES = (
    "network file system: unpacking many small files is slower, and every tree is synced before it is used",
    "two machines may share this store: locks need NFSv4 (or a lock daemon)",
)


@dataclass(frozen=True)
class FileSystem:
    """Where a path lives. type: as the kernel names it; local: only this machine writes; notes: for
    doctor.
    """

    type: str
    local: bool
    notes: tuple[str, ...] = ()
    mount_point: str = "/"


def filesystem(path: Path, mountinfo: str | None = None) -> FileSystem:
    """The file system that holds an existing path, by proc_pid_mountinfo(5); mountinfo: its text, for tests.

    An unreadable mountinfo gives type "unknown", taken as not local: slower and safe.
    """
    if mountinfo is None:
        try:
            with open(MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
                mountinfo = file.read()
        except OSError:
            return FileSystem("unknown", False, ("the mount table cannot be read",))
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = _unescape(fields[4])
        inside = point == "/" or real == point or real.startswith(point + "/")
        if inside and len(point) >= len(best):  # equal: mounted later, on top
            best, kind = point, after.split(" ", 1)[0]
    return FileSystem(kind, _is_local(kind), _notes(kind), best or "/")


def _is_local(kind: str) -> bool:
    if kind.startswith("fuse") and kind != "fuseblk":
        return False
    return kind not in REMOTE and kind != "unknown"


def _notes(kind: str) -> tuple[str, ...]:
    if kind in ("nfs", "nfs4"):
        return _NFS_NOTES
    if kind == "tmpfs":
        return ("kept in memory: gone after a restart, and counted as memory",)
    if not _is_local(kind):
        return (f"{kind}: not a local disk; slower, and every tree is synced before it is used",)
    return ()


def _unescape(text: str) -> str:
    """Octal escapes of mountinfo: space \\040, tab \\011, newline \\012, backslash \\134."""
    if "\\" not in text:
        return text
    parts = text.split("\\")
    out = [parts[0]]
    for part in parts[1:]:
        code = part[:3]
        if len(code) == 3 and all(c in "01234567" for c in code):
            out.append(chr(int(code, 8)) + part[3:])
        else:
            out.append("\\" + part)
    return "".join(out)


def boot_id() -> str:
    """The kernel's identity since it started: what was written but not synced is sure only while it lives.

    "" where the kernel does not say; then nothing unsynced can be trusted.
    """
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def fsync_directory(path: str | Path) -> None:
    """Make the names in a directory durable (fsync(2): a file's own fsync does not cover its name)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync(fd)
    finally:
        os.close(fd)


def fsync(fd: int) -> None:
    """Make a file durable: what fsync(2) promises, which on macOS only F_FULLFSYNC does (its fsync(2) says so)."""
    import fcntl

    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(fd, full)
            return
        except OSError:
            pass  # a file system that does not know it
    os.fsync(fd)


def syncfs(path: str | Path) -> None:
    """Make everything written so far to the file system of path durable (syncfs(2)). Raises OSError; never
    retry.

    Since Linux 5.8 an error of earlier write-back is reported here too.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        _sync_below(os.fspath(path))
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)


def _sync_below(top: str) -> None:
    """As syncfs, for what lies below a directory, where there is no such call: each file is handed to the disk, and the
    disk's own cache written once, at the end.
    """
    for _, _, names, here in os.fwalk(top):
        for name in names:
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOENT):  # a link, which its directory holds; or gone meanwhile
                    continue
                raise
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        os.fsync(here)
    fsync_directory(top)


def processors() -> int:
    """How many this process may use; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def remove_tree(path: str | Path) -> int:
    """Remove a directory and all below it; returns the number of entries removed. A missing path is no error.

    Never follows links: it walks by descriptors. Directories without write permission are opened first. A
    second remover at work on the same tree is no error.
    """
    name = os.fspath(path)
    try:
        fd = _open_for_removal(name, None)
    except FileNotFoundError:
        return 0
    except NotADirectoryError:
        return _unlink(name, None)
    try:
        count = _empty(fd)
    finally:
        os.close(fd)
    return count + _rmdir(name, None)


def _open_for_removal(name: str, parent: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(error.errno, "a symbolic link", name) from None
        raise


def _empty(fd: int) -> int:
    mode = os.fstat(fd).st_mode
    if stat.S_IMODE(mode) & 0o700 != 0o700:
        os.fchmod(fd, 0o700)
    with os.scandir(fd) as entries:
        children = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    count = 0
    for name, is_directory in children:
        if not is_directory:
            count += _unlink(name, fd)
            continue
        try:
            child = _open_for_removal(name, fd)
        except FileNotFoundError:
            continue
        try:
            count += _empty(child)
        finally:
            os.close(child)
        count += _rmdir(name, fd)
    return count


def _unlink(name: str, parent: int | None) -> int:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return 0
    return 1


def _rmdir(name: str, parent: int | None) -> int:
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return 0
    return 1


def replace_file(path: Path, data: bytes, mode: int | None = None) -> None:
    """Replace a file outside the store by these bytes, durably: readers see the old or the new, not a part.

    A symlink is followed, as an editor would; an existing file keeps its mode, unless one is given, which then holds
    from the first byte on. Raises OSError and leaves nothing.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    draft = f"{folder}/.{name}.{os.getpid()}-{os.urandom(4).hex()}"
    first = 0o666 if mode is None else 0o600
    try:
        mode = os.stat(target).st_mode & 0o777 if mode is None else mode
    except FileNotFoundError:
        pass
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, first)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view):]
            if mode is not None:
                os.fchmod(fd, mode)
            fsync(fd)
        finally:
            os.close(fd)
        os.replace(draft, target)
    except BaseException:
        os.unlink(draft)
        raise
    fsync_directory(os.path.dirname(target))

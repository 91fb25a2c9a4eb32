"""The system calls Python has no name for, by ctypes: each raises OSError as os's own functions do.

On other systems this can be imported, and what is asked about Landlock and platforms has its answer.
Arguments are bytes where the kernel takes paths, so that no name is ever decoded. man 2 of each call is the contract.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWCGROUP = 0x04000000, 0x08000000, 0x02000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = 4096, 16384, 1 << 18, 1 << 19
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_NAME = 1, 4, 38, 15
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _SECCOMP_MODE_FILTER = 22, 24, 2
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_EMPTY_PATH, AT_RECURSIVE = 0x1000, 0x8000
CLOSE_RANGE_CLOEXEC = 4
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1, 2

# Calls added since Linux 5.1 have one number on every architecture.
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_WRITES = 0x1FF2 | 1 << 13  # to write, make and remove files of every kind, and to link and rename (ABI 2)


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
    libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
    libc.unshare.argtypes = (ctypes.c_int,)
    libc.syscall.restype = ctypes.c_long
    return libc


def _checked(result: int, call: str, path: bytes | None = None) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", path and os.fsdecode(path))
    return result


def machine() -> str:
    """The kernel's name of this architecture: "x86_64", "aarch64"."""
    return os.uname().machine


def platform() -> str:
    """This machine as image-spec says it: "linux/amd64"."""
    name = machine()
    return "linux/" + {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)


def foreign(wanted: str) -> str:
    """The platform, where its programs are of another architecture than this machine's; "" where they are not."""
    return wanted if wanted and wanted.split("/")[:2] != platform().split("/") else ""


def unshare(flags: int) -> None:
    """Leave the namespaces named by flags for new ones. The process must have one thread for CLONE_NEWUSER."""
    _checked(_libc().unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    """Enter the namespaces named by flags of the process behind a pidfd, all or none (Linux 5.8); one thread only."""
    _checked(_libc().setns(descriptor, flags), "setns")


def no_capabilities() -> None:
    """Give up every capability, for what is executed later too: bounding set first, then all sets (capset(2))."""
    for number in range(64):
        try:
            prctl(_PR_CAPBSET_DROP, number)
        except OSError:  # EINVAL: beyond the last that this kernel has
            break
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    _checked(_libc().capset(header, (ctypes.c_uint32 * 6)()), "capset")


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def seccomp(program: bytes) -> None:
    """Filter this process's system calls from now on: a BPF program of 8-byte instructions (needs no_new_privs)."""
    fprog = _SockFprog(len(program) // 8, program)
    _checked(_libc().prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(fprog), 0, 0),
             "prctl(PR_SET_SECCOMP)")


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    """mount(2). data ends at 4095 bytes."""
    _checked(_libc().mount(source, target, kind, flags, data), "mount", target)


def umount(target: bytes, flags: int = 0) -> None:
    """umount2(2)."""
    _checked(_libc().umount2(target, flags), "umount", target)


def prctl(option: int, value: int) -> None:
    """prctl(2) of one number."""
    _checked(_libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def close_range(first: int, last: int, flags: int) -> None:
    """close_range(2), Linux 5.9. Raises OSError(ENOSYS) before."""
    _checked(_libc().syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(flags)),
             "close_range")


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open path as if the directory root were "/": symbolic links and ".." never leave it (openat2, Linux 5.6)."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    return _checked(_libc().syscall(_OPENAT2, root, ctypes.c_char_p(path), ctypes.byref(how),
                                    ctypes.c_size_t(ctypes.sizeof(how))), "openat2", path)


class _MountAttr(ctypes.Structure):
    _fields_ = (("attr_set", ctypes.c_uint64), ("attr_clr", ctypes.c_uint64),
                ("propagation", ctypes.c_uint64), ("userns_fd", ctypes.c_uint64))


def mount_setattr(target: int, attributes: int) -> None:
    """Add attributes to the mount at the descriptor and to all below it (Linux 5.12)."""
    how = _MountAttr(attributes, 0, 0, 0)
    _checked(_libc().syscall(_MOUNT_SETATTR, target, ctypes.c_char_p(b""),
                             ctypes.c_uint(AT_EMPTY_PATH | AT_RECURSIVE), ctypes.byref(how),
                             ctypes.c_size_t(ctypes.sizeof(how))), "mount_setattr")


def read_only(mounted: int) -> None:
    """Make the mount at the descriptor read-only, with all below it, and close the descriptor."""
    try:
        mount_setattr(mounted, MOUNT_ATTR_RDONLY)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        # Before Linux 5.12: this mount alone, with the flags it has (they are locked in our namespace).
        flags = MS_REMOUNT | MS_BIND | MS_RDONLY | (os.fstatvfs(mounted).f_flag & 0x0F)
        mount(None, b"/proc/self/fd/%d" % mounted, None, flags)
    finally:
        os.close(mounted)


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64), ("handled_access_net", ctypes.c_uint64),
                ("scoped", ctypes.c_uint64))


def landlock_abi() -> int:
    """Landlock's version in this kernel; 0 when there is none, as on other systems."""
    if sys.platform != "linux":
        return 0
    result = _libc().syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(int(result), 0)


def landlock_scope(scopes: int) -> None:
    """Cut this process and its descendants off from what the scopes name outside (ABI 6, needs no_new_privs)."""
    attr = _RulesetAttr(0, 0, scopes)
    ruleset = _checked(_libc().syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(attr),
                                       ctypes.c_size_t(ctypes.sizeof(attr)), ctypes.c_uint(0)),
                       "landlock_create_ruleset")
    try:
        _checked(_libc().syscall(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_writes(below: bytes) -> bool:
    """Let this process and its descendants write, make and remove files below a directory alone. What it can read, and
    descriptors that are open, stay as they are; modes and times of what it can reach may still be changed. False where
    the kernel has no Landlock of ABI 2 (Linux 5.19): then nothing changed. Sets no_new_privs. Raises OSError.
    """
    abi = landlock_abi()
    if abi < 2:
        return False
    rights = _LANDLOCK_WRITES | (1 << 14 if abi >= 3 else 0)  # truncate(2)
    attr = _RulesetAttr(rights, 0, 0)
    ruleset = _checked(_libc().syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(8),
                                       ctypes.c_uint(0)), "landlock_create_ruleset")
    try:
        top = os.open(below, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            rule = _PathBeneath(rights, top)
            _checked(_libc().syscall(_LANDLOCK_ADD_RULE, ruleset, ctypes.c_uint(1), ctypes.byref(rule),
                                     ctypes.c_uint(0)), "landlock_add_rule", below)
        finally:
            os.close(top)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        _checked(_libc().syscall(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return True

"""The system call filter: a small assembler for classic BPF, and what is refused. Pure.

A deny list: what a machine-learning program has no business with and what widens the kernel's attack surface. Calls
newer than those known here answer ENOSYS, so that libraries fall back. mbind, set_mempolicy, move_pages, ptrace and
process_vm_readv stay: NUMA, CUDA and NCCL use the former, debuggers and profilers of the same sandbox the latter.
No file becomes set-user-ID: what a run leaves in results belongs to the caller, root too, and anyone may start it.

Formats: linux/seccomp.h (struct seccomp_data), linux/filter.h (struct sock_filter: u16 code, u8 jt, u8 jf, u32 k).
"""

from __future__ import annotations

import struct

from bareboat.values import dataclass

EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _GREATER, _GREATER_EQUAL, _BITS, _AND, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH = 0, 4
KNOWN = 469  # file_setattr, Linux 6.17: the last call this list was read against

CLONE_NEW = 0x7E020000 | 0x80  # user, pid, net, uts, ipc, cgroup, mount and time namespaces
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # type into a terminal; paste into a console


@dataclass(frozen=True)
class Architecture:
    """AUDIT_ARCH value, and the numbers of the calls that are older than the common table."""

    audit: int
    numbers: dict[str, int]


_NAMES = (
    "acct add_key bpf clock_settime settimeofday delete_module finit_module init_module mount umount2 pivot_root"
    " chroot kexec_load kexec_file_load keyctl request_key lookup_dcookie nfsservctl open_by_handle_at"
    " perf_event_open quotactl reboot sethostname setdomainname setns swapon swapoff syslog unshare userfaultfd"
    " vhangup fanotify_init clone ioctl socket fchmod fchmodat openat mknodat"
)
_X86_64 = (
    163, 248, 321, 227, 164, 176, 313, 175, 165, 166, 155,
    161, 246, 320, 250, 249, 212, 180, 304,
    298, 179, 169, 170, 171, 308, 167, 168, 103, 272, 323,
    153, 300, 56, 16, 41, 91, 268, 257, 259,
)
_AARCH64 = (
    89, 217, 280, 112, 170, 106, 273, 105, 40, 39, 41,
    51, 104, 294, 219, 218, 18, 42, 265,
    241, 60, 142, 161, 162, 268, 224, 225, 116, 97, 282,
    58, 262, 220, 29, 198, 52, 53, 56, 33,
)
_X86_ONLY = {"iopl": 172, "ioperm": 173, "uselib": 134, "sysfs": 139, "modify_ldt": 154, "create_module": 174,
             "get_kernel_syms": 177, "query_module": 178, "_sysctl": 156,
             "chmod": 90, "open": 2, "creat": 85, "mknod": 133}

ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, {**dict(zip(_NAMES.split(), _X86_64, strict=True)), **_X86_ONLY}),
    "aarch64": Architecture(0xC00000B7, dict(zip(_NAMES.split(), _AARCH64, strict=True))),
}
COMMON = {  # one number on every architecture
    "pidfd_getfd": 438, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435,
    "mount_setattr": 442, "quotactl_fd": 443, "open_tree_attr": 467, "openat2": 437, "fchmodat2": 452,
}
# As if the kernel did not have it: callers fall back (libc for clone3, libuv for io_uring).
# openat2 takes its mode from memory, where no filter can look.
ABSENT = frozenset(COMMON) - {"pidfd_getfd", "quotactl_fd", "fchmodat2"}
# Looked at by argument instead of refused.
MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2,
         "open": 2, "openat": 3}  # which argument is the file's mode
FILTERED = frozenset({"clone", "unshare", "ioctl", "socket", *MODES})
SET_USER_ID = 0o4000
MAKES = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE: without them open's mode is not looked at, and may be anything
FAMILIES = (0, 1, 2, 10, 16)  # unspecified, unix, inet, inet6, netlink; no vsock, alg, xdp, bluetooth


def _op(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jt, jf, k)


def _refuse(number: int) -> bytes:
    return _op(_RETURN, ERRNO | number)


def _argument(index: int) -> int:
    return 16 + 8 * index  # the low 32 bits on a little-endian machine: what the kernel reads of flags and commands


def program(machine: str) -> bytes:
    """The filter for a machine ("x86_64", "aarch64") as bwrap's --seccomp reads it. Raises KeyError for others."""
    architecture = ARCHITECTURES[machine]
    numbers = architecture.numbers
    out = [
        _op(_LOAD, _ARCH), _op(_EQUAL, architecture.audit, 1, 0), _op(_RETURN, KILL),
        _op(_LOAD, _NUMBER),
        # x32 calls have bit 30 set, so they are above what is known as well
        _op(_GREATER, KNOWN, 0, 1), _refuse(ENOSYS),
    ]
    for name, number in sorted({**numbers, **COMMON}.items(), key=lambda item: item[1]):
        if name not in FILTERED:
            out += [_op(_EQUAL, number, 0, 1), _refuse(ENOSYS if name in ABSENT else EPERM)]
    out += _when(numbers["clone"], _op(_LOAD, _argument(0)),
                 _op(_BITS, CLONE_NEW & ~0xFF, 0, 1), _refuse(EPERM))  # the low byte is the exit signal here
    out += _when(numbers["unshare"], _op(_LOAD, _argument(0)), _op(_BITS, CLONE_NEW, 0, 1), _refuse(EPERM))
    # The kernel takes the command as 32 bits, whatever stands above them (CVE-2019-10063).
    out += _when(numbers["ioctl"], _op(_LOAD, _argument(1)),
                 _op(_EQUAL, TIOCSTI, 1, 0), _op(_EQUAL, TIOCLINUX, 0, 1), _refuse(EPERM))
    families = [_op(_EQUAL, family, len(FAMILIES) - place, 0) for place, family in enumerate(FAMILIES)]
    out += _when(numbers["socket"], _op(_LOAD, _argument(0)), *families, _refuse(EAFNOSUPPORT))
    for name, place in MODES.items():
        if name in numbers or name in COMMON:
            makes = (_op(_LOAD, _argument(place - 1)), _op(_BITS, MAKES, 0, 3)) if "open" in name else ()
            out += _when(numbers.get(name) or COMMON[name], *makes, _op(_LOAD, _argument(place)),
                         _op(_BITS, SET_USER_ID, 0, 1), _refuse(EPERM))
    out.append(_op(_RETURN, ALLOW))
    return b"".join(out)


def _when(number: int, *body: bytes) -> list[bytes]:
    """body for one call; what falls through it is allowed."""
    return [_op(_EQUAL, number, 0, len(body) + 1), *body, _op(_RETURN, ALLOW)]


def digest(machine: str) -> str:
    """The filter's identity for explain: the first 16 hex digits of its sha256."""
    import hashlib

    return hashlib.sha256(program(machine)).hexdigest()[:16]

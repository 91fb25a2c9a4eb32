"""This process as one on a system without what only Linux has: calls, constants, /proc, and the rooms that need them.

Run before anything of bareboat is imported. A stand-in: macOS itself differs in more than this, but what is asked for
here and not there fails as it would there.
"""

from __future__ import annotations

import _socket
import builtins
import ctypes
import fcntl
import importlib.abc
import importlib.machinery
import io
import os
import posix
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

# The rooms that may need Linux.
LINUX_ROOMS = ("bareboat.sandbox", "bareboat.engine.bubblewrap", "bareboat.host.namespaces")

# What macOS has not, by module: calls and constants that Python offers where the system does.
_GONE: dict[ModuleType, tuple[str, ...]] = {
    os: (
        "pidfd_open", "memfd_create", "eventfd", "eventfd_read", "eventfd_write", "pipe2", "sched_getaffinity",
        "sched_setaffinity", "sched_getparam", "sched_setparam", "sched_setscheduler", "sched_getscheduler",
        "sched_rr_get_interval", "getrandom", "posix_fallocate", "posix_fadvise", "fdatasync", "copy_file_range",
        "splice", "setxattr", "getxattr", "listxattr", "removexattr", "unshare", "setns", "getresuid", "getresgid",
        "setresuid", "setresgid", "waitid", "timerfd_create", "O_PATH", "O_TMPFILE", "O_DIRECT", "O_LARGEFILE",
        "O_NOATIME", "O_RSYNC", "P_PIDFD",
    ),
    fcntl: (
        "F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW", "F_ADD_SEALS", "F_GET_SEALS", "F_SETPIPE_SZ", "F_GETPIPE_SZ",
        "F_NOTIFY", "F_SETLEASE", "F_GETLEASE", "F_SETSIG", "F_GETSIG",
    ),
    signal: ("pidfd_send_signal", "sigtimedwait", "sigwaitinfo", "SIGPWR", "SIGSTKFLT", "SIGRTMIN", "SIGRTMAX"),
    select: ("epoll", "EPOLLIN"),
    socket: ("AF_NETLINK", "SO_PEERCRED", "SO_PASSCRED", "SOCK_CLOEXEC", "SOCK_NONBLOCK", "MSG_CMSG_CLOEXEC"),
    time: ("CLOCK_BOOTTIME",),
}  # fmt: skip
_PREFIXES = {os: ("MFD_", "EFD_", "CLONE_", "GRND_", "POSIX_FADV_", "RWF_", "SCHED_", "XATTR_", "TFD_"),
             fcntl: ("F_SEAL_", "DN_"), select: ("EPOLL",)}  # fmt: skip
_LIBC = ("mount", "umount2", "unshare", "setns", "prctl", "syscall", "syncfs", "sync_file_range", "renameat2",
         "pivot_root", "memfd_create")  # fmt: skip
_TREES = ("/proc", "/sys")


def leave_linux() -> None:
    """Take away what only Linux has, for the rest of this process."""
    for module, names in _GONE.items():
        for name in (*names, *(n for n in vars(module) if n.startswith(_PREFIXES.get(module, ("\0",))))):
            for place in (module, *([posix] if module is os else [_socket] if module is socket else [])):
                if hasattr(place, name):
                    delattr(place, name)
    tempfile._O_TMPFILE_WORKS = False  # type: ignore[attr-defined]  # it asked when it was imported
    ctypes.CDLL = _Libc  # type: ignore[misc,assignment]
    for name in ("stat", "lstat", "open", "listdir", "scandir", "readlink", "access"):
        setattr(os, name, _without_proc(getattr(os, name)))
    builtins.open = io.open = _without_proc(builtins.open)  # type: ignore[assignment]
    sys.platform = "darwin"
    sys.meta_path.insert(0, _Closed())


def _without_proc(call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(path: Any = ".", *more: Any, **named: Any) -> Any:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if text in _TREES or text.startswith(tuple(f"{tree}/" for tree in _TREES)):
            if call.__name__ == "access":
                return False
            raise FileNotFoundError(2, os.strerror(2), text)
        return call(path, *more, **named)

    checked.__name__ = call.__name__
    return checked


class _Libc(ctypes.CDLL):
    """The C library without Linux's own calls: asking for one is what it is on macOS, an AttributeError."""

    def __getattr__(self, name: str) -> Any:
        if name in _LIBC:
            raise AttributeError(f"dlsym: symbol {name} not found")
        return super().__getattr__(name)


class _Closed(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None,
                  target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if name.startswith(LINUX_ROOMS):
            _refuse(name)
        return None


def _refuse(name: str) -> NoReturn:
    raise ImportError(f"{name} is for Linux alone")

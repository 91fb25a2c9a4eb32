"""Programs of another architecture: qemu's user emulation, registered for one sandbox alone.

A binfmt_misc mounted inside our own user namespace (Linux 6.7) holds for it and for the namespaces below, bwrap's
included, and for nothing else: no administrator, nothing of the machine changes. With the F flag the kernel opens the
interpreter when it is registered, so that the image need not have it, and child processes are emulated like the first.

The system calls of an emulated program are made by qemu as this machine's own, so the filter holds for them: what it
refuses natively it refuses here. binfmt_misc(5) is Documentation/admin-guide/binfmt-misc.rst of the kernel.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable

from bareboat.errors import EngineError
from bareboat.host import kernel
from bareboat.values import dataclass

PACKAGE = "qemu-user-static"
HOST = b"/proc/sys/fs/binfmt_misc"
SINCE = (6, 7)

# image-spec's architecture → qemu's name, ELF class, machine, and whether it is big-endian (elf.h)
_ARCHITECTURES = {
    "amd64": ("x86_64", 2, 62, False), "arm64": ("aarch64", 2, 183, False), "arm": ("arm", 1, 40, False),
    "386": ("i386", 1, 3, False), "riscv64": ("riscv64", 2, 243, False), "ppc64le": ("ppc64le", 2, 21, False),
    "s390x": ("s390x", 2, 22, True), "mips64le": ("mips64el", 2, 8, False), "loong64": ("loongarch64", 2, 258, False),
}


@dataclass(frozen=True)
class Emulation:
    """platform: of the programs; machine: their number in an ELF header; interpreter: qemu, on this machine."""

    platform: str
    machine: int
    interpreter: bytes

    @property
    def registration(self) -> bytes:
        """What is written to binfmt_misc's register file: ELF executables of that machine, position-independent or not,
        whatever ABI they name. O: opened by the kernel; P: with argv[0] as it was; F: fixed now.
        """
        name, kind, machine, big = _ARCHITECTURES[self.platform.split("/")[1]]
        two = struct.pack(">HH" if big else "<HH", 2, machine)
        mask = struct.pack(">HH" if big else "<HH", 0xFFFE, 0xFFFF)
        magic = b"\x7fELF" + bytes((kind, 2 if big else 1, 1)) + bytes(9) + two
        masks = b"\xff" * 7 + b"\0" + b"\xff" * 8 + mask
        return b":bareboat-%s:M::%s:%s:%s:OPF" % (name.encode(), _hex(magic), _hex(masks), self.interpreter)


def _hex(data: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in data)


def candidates(platform: str) -> tuple[str, ...]:
    """Where qemu for a platform may be, the most wanted first; () for a platform that qemu is not known for. Pure."""
    known = _ARCHITECTURES.get([*platform.split("/"), ""][1])
    if known is None:
        return ()
    name = known[0]
    return (f"/usr/libexec/qemu-binfmt/{name}-binfmt-P", f"/usr/bin/qemu-{name}-static",
            f"/usr/local/bin/qemu-{name}-static", f"/usr/bin/qemu-{name}")


def find(platform: str, usable: Callable[[str], bool] | None = None) -> Emulation:
    """The emulation of a platform on this machine. Raises EngineError "engine.platform" where there is no qemu."""
    usable = usable or is_static
    for path in candidates(platform):
        if usable(path):
            return Emulation(platform, _ARCHITECTURES[platform.split("/")[1]][2], os.fsencode(path))
    raise EngineError("engine.platform", f"this machine cannot run programs for {platform}: it is {kernel.platform()}, "
                      "and no qemu for them is installed", where=platform,
                      hint=f"apt install {PACKAGE}, or run it on such a machine; to build and push needs neither")


def is_static(path: str) -> bool:
    """Whether a program can be started without an interpreter of its own, which the image would not have."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            if head[:5] != b"\x7fELF\x02" or not os.access(path, os.X_OK):
                return False
            at, size, count = (struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54))
            file.seek(at)
            table = file.read(size * count)
    except (OSError, struct.error):
        return False
    return all(table[n * size : n * size + 4] != b"\x03\0\0\0" for n in range(count))  # PT_INTERP


def register(emulation: Emulation, at: bytes) -> None:
    """Let this user namespace emulate. at: a directory to mount on, which must stay mounted as long as it is to hold.

    Where the kernel has none for us, what the machine's administrator registered for everybody does as well. Raises
    EngineError "engine.platform".
    """
    os.mkdir(at)
    try:
        kernel.mount(b"binfmt_misc", at, b"binfmt_misc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        file = os.open(at + b"/register", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, emulation.registration)
        finally:
            os.close(file)
    except OSError as error:
        if not registered(emulation):
            raise EngineError("engine.platform", f"qemu cannot be used for {emulation.platform} here: {_why(error)}",
                              where=os.fsdecode(emulation.interpreter),
                              hint="Linux 6.7 lets every user register it; before that an administrator does for all:"
                                   f" apt install binfmt-support {PACKAGE}") from error


def registered(emulation: Emulation, host: bytes = HOST) -> bool:
    """Whether the machine itself emulates these programs, with an interpreter that needs not be in the image."""
    wanted = emulation.registration.split(b":")[4].replace(b"\\x", b"")
    try:
        names = os.listdir(host)
    except OSError:
        return False
    for name in names:
        try:
            with open(host + b"/" + name, "rb") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        flags = next((line for line in lines if line.startswith(b"flags:")), b"")
        magic = next((line.split()[1] for line in lines if line.startswith(b"magic ")), b"")
        if lines[:1] == [b"enabled"] and b"F" in flags[6:] and magic == wanted:
            return True
    return False


def _why(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.ENODEV, errno.EACCES):
        return f"this kernel ({os.uname().release}) has no binfmt_misc for users"
    return error.strerror or str(error)


def summary(release: str, architectures: tuple[str, ...]) -> tuple[bool, str]:
    """For doctor: whether this kernel lets a user register qemu, and in words what of the architectures is there."""
    numbers = tuple(int(n) for n in release.split("-")[0].split(".")[:2] if n.isdigit())
    if not architectures:
        return True, f"{kernel.platform()} alone; images for others are built without it"
    names = ", ".join(f"linux/{a}" for a in architectures)
    if numbers < SINCE:
        return False, f"qemu is there for {names}, and Linux {release} has no binfmt_misc for users"
    return True, f"{kernel.platform()}; by qemu: {names}"


def installed() -> tuple[str, ...]:
    """The architectures that qemu is here for, besides this machine's own."""
    own = kernel.platform().split("/")[1]
    return tuple(a for a in _ARCHITECTURES if a != own and any(map(is_static, candidates(f"linux/{a}"))))

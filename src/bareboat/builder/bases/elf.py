"""As much of ELF (gABI, chapters 4 and 5) as says for which machine and C library a program is. Pure."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

MACHINES = {62: "linux/amd64", 183: "linux/arm64", 3: "linux/386", 40: "linux/arm", 21: "linux/ppc64le",
            22: "linux/s390x", 243: "linux/riscv64"}
_INTERP = 3  # PT_INTERP
_GLIBC = re.compile(rb"GNU C Library [^\0\n]{0,200}?version (\d+\.\d+)")
_MUSL = re.compile(rb"\0(1\.\d{1,2})\.\d{1,3}\0")


@dataclass(frozen=True)
class Program:
    """platform: "" for a machine that nobody asks for; loader: the dynamic linker it names, "" for a static one."""

    platform: str
    loader: str


def read_program(data: bytes) -> Program | None:
    """The program in these bytes; None for what is no ELF file, or one that points outside itself."""
    if len(data) < 64 or data[:4] != b"\x7fELF" or data[4] not in (1, 2) or data[5] not in (1, 2):
        return None
    order, wide = "<" if data[5] == 1 else ">", data[4] == 2
    machine = struct.unpack_from(order + "H", data, 18)[0]
    offset = struct.unpack_from(order + ("Q" if wide else "I"), data, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", data, 54 if wide else 42)
    loader = ""
    for number in range(min(count, 64)):
        at = offset + number * size
        if at + (56 if wide else 32) > len(data):
            return None
        if struct.unpack_from(order + "I", data, at)[0] != _INTERP:
            continue
        start = struct.unpack_from(order + ("Q" if wide else "I"), data, at + (8 if wide else 4))[0]
        length = struct.unpack_from(order + ("Q" if wide else "I"), data, at + (32 if wide else 16))[0]
        loader = data[start: start + min(length, 256)].rstrip(b"\0").decode("utf-8", "replace")
    return Program(MACHINES.get(machine, ""), loader)


def glibc_version(data: bytes) -> str:
    """ "2.36" of the bytes of libc.so.6, which says so for those who run it; "" where it does not."""
    found = _GLIBC.search(data)
    return found[1].decode() if found else ""


def musl_version(data: bytes) -> str:
    """ "1.2" of the bytes of musl's loader; "" where it does not say."""
    found = _MUSL.search(data)
    return found[1].decode() if found else ""

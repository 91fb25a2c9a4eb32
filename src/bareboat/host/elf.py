"""A static ELF executable around machine code: for the tiny programs of ours that a container starts with."""

from __future__ import annotations

import struct

BASE = 0x400000
MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine, by uname's names


def executable(machine: str, text: bytes) -> bytes:
    """One loaded segment whose first instruction is the entry. Raises KeyError for a machine that is not known."""
    headers = 64 + 56
    size = headers + len(text)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, MACHINES[machine], 1, BASE + headers, 64, 0, 0, 64, 56, 1, 64, 0,
                                 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return header + segment + text

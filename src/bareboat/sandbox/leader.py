"""The first program of a terminal session: it makes itself session leader, takes the terminal, becomes the program.

Only a process inside the pid namespace can be the leader whose number is seen there, and bwrap has no option for it:
shells ask for the group of the terminal and would be told 0 (dash then ends with a code of its own). So the thin layer
gets this: an ELF file of three system calls, written out here since a wheel of Python has no compiler.

    setsid(); ioctl(0, TIOCSCTTY, 0); execve(argv[1], argv + 2, environ); exit(126)
"""

from __future__ import annotations

import struct

from bareboat.host.elf import executable

PATH = b"/run/bareboat/leader"


def _x86_64() -> bytes:
    return bytes.fromhex(
        "b870000000 0f05"  # mov eax, 112 (setsid); syscall
        "31ff be0e540000 31d2 b810000000 0f05"  # ioctl(0, 0x540e, 0)
        "488b0424"  # mov rax, [rsp]: argc
        "488b7c2410"  # mov rdi, [rsp+16]: argv[1]
        "488d742418"  # lea rsi, [rsp+24]: argv + 2
        "488d54c410"  # lea rdx, [rsp+rax*8+16]: environ
        "b83b000000 0f05"  # execve
        "bf7e000000 b83c000000 0f05"  # exit(126)
    )


def _aarch64() -> bytes:
    def move(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    call, sp = 0xD4000001, 31
    words = (
        move(8, 157), call,  # setsid
        move(0, 0), move(1, 0x540E), move(2, 0), move(8, 29), call,  # ioctl
        0xF9400000 | sp << 5 | 3,  # ldr x3, [sp]: argc
        0xF9400000 | 2 << 10 | sp << 5,  # ldr x0, [sp, 16]: argv[1]
        0x91000000 | 24 << 10 | sp << 5 | 1,  # add x1, sp, 24: argv + 2
        0x8B206000 | 3 << 16 | 3 << 10 | sp << 5 | 2,  # add x2, sp, x3, uxtx 3
        0x91000000 | 16 << 10 | 2 << 5 | 2,  # add x2, x2, 16: environ
        move(8, 221), call,  # execve
        move(0, 126), move(8, 93), call,  # exit
    )
    return struct.pack(f"<{len(words)}I", *words)


_CODE = {"x86_64": _x86_64, "aarch64": _aarch64}


def program(machine: str) -> bytes:
    """A static ELF executable for the machine. Raises KeyError for one that is not known."""
    return executable(machine, _CODE[machine]())

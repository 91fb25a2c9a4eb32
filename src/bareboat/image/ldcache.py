"""/etc/ld.so.cache as ldconfig would write it (glibc's "1.1" format, dl-cache.h), without running
anything. Pure.

Without it the loader finds only the default directories, and ctypes.util.find_library finds nothing at all.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

MAGIC = b"glibc-ld.so.cache1.1"
_LIBC6 = 3
# architecture: (flags in the cache, ELF class, ELF machine)
ARCHITECTURES = {
    "amd64": (0x0300, 2, 62),
    "arm64": (0x0A00, 2, 183),
    "armhf": (0x0900, 1, 40),
    "i386": (0, 1, 3),
    "ppc64el": (0x0500, 2, 21),
    "s390x": (0x0400, 2, 22),
    "riscv64": (0x1000, 2, 243),
}
TRIPLETS = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "armhf": "arm-linux-gnueabihf",
    "i386": "i386-linux-gnu",
    "ppc64el": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
}


def is_library(name: str) -> bool:
    """Whether ldconfig looks at a file of this name."""
    return name.startswith(("lib", "ld-")) and (name.endswith(".so") or ".so." in name)


def is_native(header: bytes, architecture: str) -> bool:
    """Whether these first 20 bytes are an ELF object of the architecture."""
    _, wanted_class, machine = ARCHITECTURES[architecture]
    if len(header) < 20 or header[:4] != b"\x7fELF" or header[4] != wanted_class:
        return False
    return int.from_bytes(header[18:20], "little" if header[5] == 1 else "big") == machine


def soname(data: bytes) -> str:
    """The DT_SONAME of an ELF object given as a whole (elf(5)), or "" when it has none or is damaged."""
    try:
        mark, wide = "<" if data[5] == 1 else ">", data[4] == 2
        table, size, count = (
            (struct.unpack_from(mark + "Q", data, 32)[0], *struct.unpack_from(mark + "HH", data, 54))
            if wide
            else (struct.unpack_from(mark + "I", data, 28)[0], *struct.unpack_from(mark + "HH", data, 42))
        )
        segments = []
        for n in range(count):
            if wide:
                kind, _, offset, address, _, length = struct.unpack_from(
                    mark + "IIQQQQ", data, table + n * size
                )
            else:
                kind, offset, address, _, length = struct.unpack_from(mark + "IIIII", data, table + n * size)
            segments.append((kind, offset, address, length))
        entry = mark + ("qQ" if wide else "iI")
        step = struct.calcsize(entry)
        found: dict[int, int] = {}
        for kind, offset, _, length in segments:
            for at in range(offset, offset + length, step) if kind == 2 else ():
                tag, value = struct.unpack_from(entry, data, at)
                if tag == 0:
                    break
                found[tag] = value
        strings = next(o + found[5] - a for k, o, a, n in segments if k == 1 and a <= found[5] < a + n)
        start = strings + found[14]
        return bytes(data[start : start + 256]).split(b"\0", 1)[0].decode("utf-8", "replace")
    except (struct.error, IndexError, KeyError, StopIteration, OverflowError):
        return ""


def order(name: str) -> list[tuple[int, int]]:
    """Sort key of _dl_cache_libcmp: runs of digits as numbers, above every other character."""
    key: list[tuple[int, int]] = []
    digits = ""
    for char in name:
        if char.isascii() and char.isdigit():
            digits += char
            continue
        if digits:
            key.append((1, int(digits)))
            digits = ""
        key.append((0, ord(char)))
    if digits:
        key.append((1, int(digits)))
    key.append((0, 0))
    return key


def entries(cache: bytes) -> list[tuple[int, str, str]]:
    """(flags, name, path) of a cache in order, of the older form that holds both formats too; [] where it is damaged.

    Entries of glibc-hwcaps directories are left out: what they are is said in a part of the file that build does not
    write, and the same libraries are there for every processor too.
    """
    start = 0
    if cache.startswith(b"ld.so-1.7.0\0"):  # glibc before 2.32: the old table first, then the new one, aligned to 8
        count = int.from_bytes(cache[12:16], "little")
        start = -(-(16 + 12 * count) // 8) * 8
    data = cache[start:]
    if not data.startswith(MAGIC):
        return []
    found = []
    try:
        mark = ">" if data[28] & 3 == 3 else "<"
        (count,) = struct.unpack_from(mark + "I", data, 20)
        for at in range(48, 48 + 24 * min(count, len(data) // 24), 24):
            flags, name, path, _, capabilities = struct.unpack_from(mark + "iIIIQ", data, at)
            if not capabilities:
                found.append((flags, _string(data, name), _string(data, path)))
    except (struct.error, ValueError, IndexError):
        return []
    return found


def _string(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : data.index(b"\0", at)])


def merged(cache: bytes, libraries: Iterable[tuple[str, str]], architecture: str) -> bytes:
    """A cache with these (name, path) pairs in place of what the given one has by their names."""
    flags = ARCHITECTURES[architecture][0] | _LIBC6
    ours = dict(reversed([(name, path) for name, path in libraries]))
    kept = [entry for entry in entries(cache) if entry[1] not in ours]
    return _write([*((flags, name, path) for name, path in ours.items()), *kept], architecture)


def build(libraries: Iterable[tuple[str, str]], architecture: str) -> bytes:
    """The cache for (name, absolute path) pairs; of a name that comes twice the first path is found first."""
    first: dict[str, str] = {}
    for name, path in libraries:
        first.setdefault(name, path)
    flags = ARCHITECTURES[architecture][0] | _LIBC6
    return _write([(flags, name, path) for name, path in first.items()], architecture)


def _write(found: list[tuple[int, str, str]], architecture: str) -> bytes:
    """The file; where a name comes more than once, in the order given (the loader takes the first that fits)."""
    names = sorted({name for _, name, _ in found}, key=order, reverse=True)
    place = {name: number for number, name in enumerate(names)}
    entries = sorted(found, key=lambda entry: place[entry[1]])  # stable
    big = architecture == "s390x"
    mark = ">" if big else "<"
    offset = 48 + 24 * len(entries)
    table, strings = bytearray(), bytearray()
    for flags, name, path in entries:
        key = offset + len(strings)
        strings += os.fsencode(name) + b"\0"
        value = offset + len(strings)
        strings += os.fsencode(path) + b"\0"
        table += struct.pack(mark + "iIIIQ", flags, key, value, 0, 0)
    header = MAGIC + struct.pack(mark + "IIB3xI12x", len(entries), len(strings), 3 if big else 2, 0)
    return bytes(header + table + strings)

"""The wheel corpus: each case is a file and the verdict on it, "" for accepted or the code of the refusal."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.corpus.wheels.zipforge import (
    FILENAME,
    INFO,
    STREAMED,
    UTF8,
    WHEEL,
    Archive,
    Part,
    changed,
    record_row,
    wheel_parts,
)


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    verdict: str = ""
    filename: str = FILENAME


def _named(name: bytes, **fields: object) -> list[Part]:
    """A right wheel plus one member that is odd, listed in RECORD."""
    text = name.decode("utf-8", "replace")
    parts = wheel_parts({text: b"odd\n"}) if not name.endswith(b"/") else wheel_parts()
    if name.endswith(b"/"):
        return [*parts, Part(name, b"", **fields)]  # type: ignore[arg-type]
    return [replace(p, name=name, **fields) if p.name == text.encode() else p for p in parts]  # type: ignore[arg-type]


def cases() -> Iterator[Case]:
    yield from _accepted()
    yield from _names()
    yield from _structure()
    yield from _members()
    yield from _metadata()
    yield from _installation()


def _accepted() -> Iterator[Case]:
    def good(name: str, archive: Archive, filename: str = FILENAME) -> Case:
        return Case(name, archive.build(), "", filename)

    parts = wheel_parts()
    yield good("plain", Archive(parts))
    yield good("stored members", Archive([replace(p, method=0) for p in parts]))
    yield good("data descriptors", Archive([replace(p, flags=UTF8 | STREAMED) for p in parts]))
    yield good(
        "descriptors without signature", Archive([replace(p, flags=UTF8 | STREAMED, descriptor="<LLL") for p in parts])
    )
    yield good(
        "zip64 descriptors",
        Archive([replace(p, flags=UTF8 | STREAMED, zip64=True, descriptor="<4sLQQ") for p in parts]),
    )
    yield good("zip64 members", Archive([replace(p, zip64=True) for p in parts]))
    yield good("zip64 end record", Archive(parts, zip64_end=True))
    yield good("an archive comment", Archive(parts, comment=b"made by a signer"))
    yield good("directory entries", Archive([Part(b"demo/", attributes=0o040755 << 16, method=0), *parts]))
    yield good(
        "an unknown extra field",
        Archive(
            changed(parts, 0, extra=struct.pack("<HHL", 0x7855, 4, 0), local_extra=struct.pack("<HHL", 0x7855, 4, 0))
        ),
    )
    yield good("names in UTF-8", Archive(wheel_parts({"demo/größe.txt": b"1", "demo/日本.txt": b"2"})))
    yield good("a comma in a name", Archive(wheel_parts({"demo/a,b.txt": b"1"})))
    yield good("ASCII names without the flag", Archive([replace(p, flags=0) for p in parts]))
    yield good("an empty file", Archive(wheel_parts({"demo/empty.txt": b""})))
    yield good("executable", Archive(changed(parts, 0, attributes=0o100755 << 16)))
    yield good("attributes of DOS", Archive([replace(p, attributes=0x20) for p in parts]))
    yield good("setuid is dropped", Archive(changed(parts, 0, attributes=0o104755 << 16)))
    yield good("RECORD first", Archive([parts[-1], *parts[:-1]]))
    yield good("a directory out of order", Archive(list(reversed(parts))))
    yield good("a dot in front", Archive(wheel_parts({".hidden": b"1", "demo/..x": b"2"})))
    yield good("a large member", Archive(wheel_parts({"demo/big.bin": bytes(range(256)) * 12000})))
    yield good(
        "a large stored member",
        Archive([replace(p, method=0) for p in wheel_parts({"demo/big.bin": bytes(range(256)) * 12000})]),
    )
    yield good("shipped bytecode", Archive(wheel_parts({"demo/__pycache__/a.cpython-311.pyc": b"1"})))
    yield good("a build tag", Archive(parts), "demo-1.0-7-py3-none-any.whl")
    yield good("another spelling of the name", Archive(parts), "Demo-1.0-py3-none-any.whl")
    rows = "".join(record_row(p.name.decode(), p.data) + "\r\n" for p in parts[:-1]) + f"{INFO}/RECORD,,\r\n"
    yield good("RECORD with CRLF", Archive(wheel_parts(record=rows)))
    yield good("RECORD lists what is absent", Archive(wheel_parts(record=rows + "demo/gone.py,,\n")))


def _names() -> Iterator[Case]:
    for label, name, verdict in (
        ("parent at the start", b"../evil.py", "wheel.path-traversal"),
        ("parent inside", b"demo/../../evil.py", "wheel.path-traversal"),
        ("parent at the end", b"demo/..", "wheel.path-traversal"),
        ("a single dot", b"demo/./x.py", "wheel.path-traversal"),
        ("an empty component", b"demo//x.py", "wheel.path-traversal"),
        ("absolute", b"/etc/evil", "wheel.absolute-name"),
        ("a drive letter", b"C:/evil.py", "wheel.absolute-name"),
        ("backslash", b"demo\\evil.py", "wheel.name"),
        ("backslash parent", b"..\\evil.py", "wheel.name"),
        ("NUL", b"demo/evil.py\0.txt", "wheel.name"),
        ("newline", b"demo/evil\n.py", "wheel.name"),
        ("escape", b"demo/\x1b[2J.py", "wheel.name"),
        ("not UTF-8", b"demo/\xff\xfe.py", "wheel.name-encoding"),
        ("overlong UTF-8", b"demo/\xc0\xae\xc0\xae/x", "wheel.name-encoding"),
        ("a surrogate", b"demo/\xed\xa0\x80.py", "wheel.name-encoding"),
        ("a whiteout", b"demo/.wh.x", "wheel.name"),
        ("an opaque whiteout", b"demo/.wh..wh..opq", "wheel.name"),
        ("empty", b"", "wheel.name"),
        ("a component of 256 bytes", b"demo/" + b"a" * 256, "wheel.name"),
        ("too deep", b"a/" * 80 + b"x", "wheel.name"),
        ("too long", b"abc/" * 2000 + b"x", "wheel.name"),
        ("only a slash", b"/", "wheel.absolute-name"),
    ):
        yield Case(f"name: {label}", Archive(_named(name)).build(), verdict)
    yield Case(
        "name: Latin-1 without the flag", Archive(_named("demo/ü.py".encode(), flags=0)).build(), "wheel.name-encoding"
    )
    parts = wheel_parts()
    yield Case("duplicate member", Archive([*parts, parts[0]]).build(), "wheel.duplicate-name")
    yield Case(
        "duplicate with other bytes", Archive([*parts, Part(parts[0].name, b"evil")]).build(), "wheel.duplicate-name"
    )
    yield Case("one entry listed twice", Archive(parts, repeat=(0,)).build(), "wheel.overlap")
    yield Case(
        "case collision", Archive(wheel_parts({"demo/A.py": b"1", "demo/a.py": b"2"})).build(), "wheel.case-collision"
    )
    yield Case(
        "file and directory", Archive(wheel_parts({"demo/a": b"1", "demo/a/b": b"2"})).build(), "wheel.duplicate-name"
    )
    yield Case(
        "local name differs", Archive(changed(parts, 0, local_name=b"demo/__evil__.py")).build(), "wheel.name-mismatch"
    )
    unicode_path = struct.pack("<HHBL", 0x7075, 5 + 7, 1, 0) + b"evil.py"
    yield Case(
        "a Unicode path field with another name",
        Archive(changed(parts, 0, extra=unicode_path)).build(),
        "wheel.name-mismatch",
    )


def _structure() -> Iterator[Case]:
    parts = wheel_parts()
    whole = Archive(parts).build()
    other = Archive(wheel_parts({"demo/other.py": b"1"})).build()
    yield Case("not a zip", b"<html>not found</html>", "wheel.not-a-zip")
    yield Case("empty file", b"", "wheel.not-a-zip")
    yield Case("an archive without members", Archive([]).build(), "wheel.dist-info")
    yield Case("cut off", whole[:-30], "wheel.not-a-zip")
    yield Case("stacked archives", other + whole, "wheel.leading-bytes")
    yield Case("stacked archives with offsets", Archive(parts, prefix=other).build(), "wheel.hidden-bytes")
    yield Case("junk in front", b"#!/bin/sh\n" + whole, "wheel.leading-bytes")
    yield Case("junk in front with offsets", Archive(parts, prefix=b"#!/bin/sh\n").build(), "wheel.hidden-bytes")
    yield Case("junk behind", whole + b"junk", "wheel.trailing-bytes")
    yield Case("an archive in the comment", Archive(parts, comment=other).build(), "wheel.leading-bytes")
    yield Case("junk between members", Archive(changed(parts, 1, before=b"junk")).build(), "wheel.hidden-bytes")
    yield Case("junk before the directory", Archive(parts, gap=b"junk").build(), "wheel.hidden-bytes")
    yield Case(
        "a member that the directory hides",
        Archive(changed([*parts, Part(b"demo/hidden.py", b"1")], len(parts), in_directory=False)).build(),
        "wheel.hidden-bytes",
    )
    yield Case("overlapping members", Archive(changed(parts, 1, offset=0)).build(), "wheel.overlap")
    yield Case("offset behind the end", Archive(changed(parts, 1, offset=1 << 30)).build(), "wheel.hidden-bytes")
    yield Case("count too low", Archive(parts, count=len(parts) - 1).build(), "wheel.zip-directory")
    yield Case("count too high", Archive(parts, count=len(parts) + 1).build(), "wheel.zip-directory")
    yield Case("directory of wrong size", Archive(parts, size=10).build(), "wheel.leading-bytes")
    yield Case("directory elsewhere", Archive(parts, start=0).build(), "wheel.leading-bytes")


def _members() -> Iterator[Case]:
    parts = wheel_parts()

    def bad(name: str, verdict: str, **fields: object) -> Case:
        return Case(name, Archive(changed(parts, 0, **fields)).build(), verdict)

    yield bad("symbolic link", "wheel.symlink", attributes=0o120777 << 16)
    yield bad("a fifo", "wheel.file-type", attributes=0o010644 << 16)
    yield bad("a device", "wheel.file-type", attributes=0o020644 << 16)
    yield bad("a directory by mode", "wheel.file-type", attributes=0o040755 << 16)
    yield Case("a directory with content", Archive([*parts, Part(b"demo/x/", b"data")]).build(), "wheel.file-type")
    yield bad("encrypted", "wheel.encrypted", flags=UTF8 | 1)
    yield bad("strongly encrypted", "wheel.encrypted", flags=UTF8 | 0x41)
    yield bad("a masked directory", "wheel.encrypted", flags=UTF8 | 0x2000)
    yield bad("patch data", "wheel.zip-feature", flags=UTF8 | 0x20)
    yield bad("bzip2", "wheel.compression", method=12)
    yield bad("lzma", "wheel.compression", method=14)
    yield bad("zstd", "wheel.compression", method=93)
    yield bad("deflate64", "wheel.compression", method=9)
    yield bad("another method locally", "wheel.local-header", local_method=0)
    yield bad("other flags locally", "wheel.local-header", local_flags=0)
    yield bad("another CRC locally", "wheel.local-header", local_crc=1)
    yield bad("another size locally", "wheel.local-header", local_size=1)
    yield bad("another packed size locally", "wheel.local-header", local_packed=1)
    yield bad("a wrong CRC", "wheel.corrupt", crc=1)
    yield bad("a size too large", "wheel.record-size", size=7)
    yield bad("a size too small", "wheel.record-size", size=5)
    yield bad("stored with another size", "wheel.size-mismatch", method=0, size=3)
    yield bad("not DEFLATE", "wheel.corrupt", packed=b"\xff" * 20)
    yield bad("DEFLATE cut off", "wheel.corrupt", packed=parts[0].body()[:-2])
    yield bad("data behind the stream", "wheel.corrupt", packed=parts[0].body() + b"more")
    yield bad("a wrong descriptor", "wheel.local-header", flags=UTF8 | STREAMED, descriptor=">4sLLL")
    yield bad("a cut extra field", "wheel.zip-extra", extra=struct.pack("<HH", 0x7855, 40))
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(c.compress(bytes(1 << 20)) for _ in range(80)) + c.flush()
    yield Case(
        "a bomb", Archive([*parts, Part(b"demo/bomb", b"", packed=bomb, size=80 << 20, crc=0)]).build(), "wheel.ratio"
    )
    yield Case(
        "more than the limit",
        Archive([*parts, Part(b"demo/x", b"", zip64=True, size=1 << 40)]).build(),
        "wheel.too-large",
    )


def _metadata() -> Iterator[Case]:
    parts = wheel_parts()

    def case(name: str, verdict: str, made: list[Part], filename: str = FILENAME) -> Case:
        return Case(name, Archive(made).build(), verdict, filename)

    yield case("no RECORD", "wheel.record-missing", parts[:-1])
    yield case(
        "no WHEEL",
        "wheel.metadata",
        [
            p
            for p in wheel_parts(record="".join(record_row(p.name.decode(), p.data) + "\n" for p in parts[:-1]))
            if not p.name.endswith(b"WHEEL")
        ],
    )
    yield case("no METADATA", "wheel.metadata", [p for p in parts if not p.name.endswith(b"METADATA")])
    yield case("a file that RECORD does not list", "wheel.record-unlisted", [*parts, Part(b"demo/evil.py", b"1")])
    yield case("RECORD with a wrong hash", "wheel.record-hash", changed(parts, 0, data=b"x = 2\n"))
    yield case(
        "RECORD without a hash",
        "wheel.record-hash",
        wheel_parts(record="".join(f"{p.name.decode()},,\n" for p in parts)),
    )
    yield case(
        "RECORD with MD5",
        "wheel.record-hash",
        wheel_parts(record="".join(f"{p.name.decode()},md5=1B2M2Y8AsgTpgAmY7PhCfg,{len(p.data)}\n" for p in parts)),
    )
    yield case(
        "RECORD with a malformed hash",
        "wheel.record-hash",
        wheel_parts(record="".join(f"{p.name.decode()},sha256=!!,{len(p.data)}\n" for p in parts)),
    )
    yield case(
        "RECORD with a wrong size",
        "wheel.record-size",
        wheel_parts(record="".join(record_row(p.name.decode(), p.data) + "1\n" for p in parts[:-1])),
    )
    yield case("RECORD with two fields", "wheel.record", wheel_parts(record="demo/__init__.py,\n"))
    yield case("RECORD contradicts itself", "wheel.record", wheel_parts(record="a,,1\na,,2\n"))
    yield case("RECORD is not UTF-8", "wheel.metadata", changed(parts, len(parts) - 1, data=b"\xff,,\n"))
    yield case("no .dist-info", "wheel.dist-info", [Part(b"demo/__init__.py", b"")])
    yield case("two .dist-info", "wheel.dist-info", wheel_parts({"other-1.0.dist-info/METADATA": b""}))
    yield case("another name", "wheel.dist-info", wheel_parts(info="other-1.0.dist-info"))
    yield case("another version", "wheel.dist-info", wheel_parts(info="demo-2.0.dist-info"))
    yield case("a name that begins the same", "wheel.dist-info", wheel_parts(info="demo_x-1.0.dist-info"))
    yield case("Wheel-Version 2", "wheel.wheel-version", wheel_parts(wheel=b"Wheel-Version: 2.0\n"))
    yield case("no Wheel-Version", "wheel.wheel-version", wheel_parts(wheel=WHEEL.partition(b"\n")[2]))
    yield case("a file name that is none", "wheel.filename", parts, "demo.whl")
    yield case("the file name of another project", "wheel.filename", parts, "other-1.0-py3-none-any.whl")


def _installation() -> Iterator[Case]:
    def case(name: str, verdict: str, files: dict[str, bytes]) -> Case:
        return Case(name, Archive(wheel_parts(files)).build(), verdict)

    data, points = "demo-1.0.data", f"{INFO}/entry_points.txt"
    yield case(
        "data keys",
        "",
        {
            f"{data}/purelib/a.py": b"1",
            f"{data}/platlib/b.py": b"2",
            f"{data}/scripts/run": b"#!python\nprint()\n",
            f"{data}/headers/demo.h": b"4",
            f"{data}/data/share/demo/x": b"5",
        },
    )
    yield case(
        "scripts of several kinds",
        "",
        {
            f"{data}/scripts/w": b"#!pythonw -x\n1\n",
            f"{data}/scripts/sh": b"#!/bin/sh\n",
            f"{data}/scripts/bin": b"\x7fELF",
        },
    )
    yield case(
        "entry points",
        "",
        {
            points: b"[console_scripts]\ndemo = demo:main\nb = demo.sub:C.run [extra]\n"
            b"[gui_scripts]\nwin = demo:main\n[other]\nx = y\n"
        },
    )
    yield case(
        "a script beside its entry point",
        "",
        {points: b"[console_scripts]\ndemo = demo:main\n", f"{data}/scripts/demo": b"#!python\nold\n"},
    )
    yield case("unknown data key", "wheel.data-key", {f"{data}/include/x": b"1"})
    yield case("a file beside the data keys", "wheel.data-key", {f"{data}/x": b"1"})
    yield case("data of another wheel", "wheel.data-name", {"other-1.0.data/purelib/x.py": b"1"})
    yield case("two files for one place", "wheel.duplicate-target", {f"{data}/purelib/demo/__init__.py": b"1"})
    yield case("data replaces the interpreter", "wheel.reserved-name", {f"{data}/data/bin/python3": b"1"})
    yield case("a script named python", "wheel.reserved-name", {f"{data}/scripts/python": b"#!python\n"})
    yield case("data replaces pyvenv.cfg", "wheel.reserved-name", {f"{data}/data/pyvenv.cfg": b"home = /x"})
    for label, line in (
        ("a slash", "a/b = demo:main"),
        ("the parent", ".. = demo:main"),
        ("python", "python3.11 = demo:main"),
        ("no attribute", "x = demo"),
        ("code", "x = demo:main();import os"),
        ("a newline escape", "x = de mo:main"),
        ("no reference", "x"),
        ("two of one name", "x = a:b\nx = a:c"),
    ):
        yield case(f"entry point with {label}", "wheel.entry-point", {points: f"[console_scripts]\n{line}\n".encode()})

"""Layers that mean harm, by name: what broke other extractors, made again from their descriptions.

Each is a function of two paths to the same directory outside: absolute, and upwards from where the tree is made. What
becomes of it is in EXPECTED: the code of the refusal, or "" where it is harmless once it stays inside.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.builder.layer_factory import E, block, d, hard, padded, sym

Layers = list[list[E | bytes]]
X = b"escaped"


def path_max(out: str, up: str) -> Layers:
    """Directories so deep that realpath gives up at PATH_MAX, a link through them, a hard link through that
    (CVE-2025-4517 in kind)."""
    long, steps, path = "d" * 247, "abcdefghijklmnop", ""
    entries: list[E | bytes] = []
    for step in steps:
        entries += [d(path + long), sym(path + step, long)]
        path += long + "/"
    link = "/".join(steps) + "/" + "l" * 254
    entries.append(sym(link, "../" * len(steps)))
    for far in range(1, 8):  # directories above the root, as it is unpacked or as it lies in the end
        name = f"escape{far}"
        entries += [sym(name, f"{link}/{'../' * far}{out.rpartition('/')[2]}"), hard(f"h{far}", f"{name}/file"),
                    E(f"h{far}", X)]
    return [entries]


CASES: dict[str, Callable[[str, str], Layers]] = {
    # through names
    "a name that goes up": lambda out, up: [[E(f"{up}/new", X)]],
    "a name that goes up from inside": lambda out, up: [[d("a"), E(f"a/b/../../{up}/new", X)]],
    "a directory that goes up": lambda out, up: [[d(f"{up}/newdir"), E(f"{up}/newdir/f", X)]],
    "a name that is ..": lambda out, up: [[E("..", X)]],
    "a directory that is ..": lambda out, up: [[d("..", 0o777)]],
    "a name that ends in ..": lambda out, up: [[d("a"), E("a/..", X)]],
    "an absolute name": lambda out, up: [[E(f"{out}/new", X)]],
    "an absolute directory": lambda out, up: [[d(f"{out}/newdir")]],
    "an absolute name over a file": lambda out, up: [[E(f"{out}/file", X)]],
    "many slashes in front": lambda out, up: [[E(f"////{out}/new", X)]],
    "dots and slashes": lambda out, up: [[E(f"./././/.{out}/new", X)]],
    "a name with a NUL, by pax": lambda out, up: [[E("a", X, pax={"path": b"a\0b"})]],
    "a name that is a line end": lambda out, up: [[E("\n", X), E("a\nb", X)]],
    "a name that goes up, by pax": lambda out, up: [[E("a", X, pax={"path": f"{up}/new"})]],
    "a name that goes up, by GNU's long name": lambda out, up: [[long_name(f"{up}/new"), E("a", X)]],
    "a backslash that goes up": lambda out, up: [[E("..\\..\\..\\new", X)]],
    "the root is a file": lambda out, up: [[E(".", X)]],
    "the root is a link": lambda out, up: [[sym("/.", out), E("new", X)]],  # CVE-2021-29136 in kind
    "the root is a link, a layer later": lambda out, up: [[sym(".", out)], [E("new", X)]],
    "the root is a hard link": lambda out, up: [[E("a", X), hard("./", "a")]],
    # through symbolic links
    "a link out, then a file through it": lambda out, up: [[sym("l", out), E("l/new", X)]],
    "a link up, then a file through it": lambda out, up: [[sym("l", up), E("l/new", X)]],
    "a link out, then over a file": lambda out, up: [[sym("l", out), E("l/file", X)]],
    "a link out in one layer, a file in the next": lambda out, up: [[sym("l", out)], [E("l/new", X)]],
    "a link out, then a directory through it": lambda out, up: [[sym("l", out), d("l/newdir", 0o777)]],
    "a link out, then a link through it": lambda out, up: [[sym("l", out), sym("l/new", "/")]],
    "a link out, then a directory in its place": lambda out, up: [[sym("l", out), d("l", 0o777), E("l/new", X)]],
    "a link to a file, then the file": lambda out, up: [[sym("l", f"{out}/file"), E("l", X)]],
    "a link to a file, then the file, a layer later": lambda out, up: [[sym("l", f"{out}/file")], [E("l", X)]],
    "a link to what is missing, then a file": lambda out, up: [[sym("l", f"{out}/new"), E("l", X)]],
    "a link in a link": lambda out, up: [[sym("a", "b"), sym("b", "c"), sym("c", out), E("a/new", X)]],
    "a link in a directory, and up": lambda out, up: [[d("x"), sym("x/l", ".."), E(f"x/l/../{up}/new", X)]],
    "up by a link of dots": lambda out, up: [[sym("up", ".."), sym("up2", "up/.."), sym("up3", f"up2/{up}"),
                                              E("up3/new", X)]],
    "up by a link into the deep": lambda out, up: [[d("a/b/c"), sym("l", "a/b/c"), sym("a/b/c/m", f"../../../{up}"),
                                                    E("l/m/new", X)]],
    "a link to /": lambda out, up: [[sym("r", "/"), E(f"r{out}/new", X)]],
    "links in a circle": lambda out, up: [[sym("a", "b"), sym("b", "a"), E("a/x", X)]],
    "a link to itself": lambda out, up: [[sym("a", "a/b"), E("a/x", X)]],
    "a directory swapped for a link, and back": lambda out, up: [[d("a"), E("a/file", X)], [sym("a", out)],
                                                                 [E("a/file", X)], [d("a"), E("a/new", X)]],
    "an attribute through a link": lambda out, up: [[sym("l", f"{out}/file"), E("l", X, mode=0o6777, pax={
        "SCHILY.xattr.user.x": "y"})]],
    "a time through a link": lambda out, up: [[sym("l", f"{out}/file"), hard("h", "l")]],
    "a mode through a link": lambda out, up: [[sym("l", f"{out}/file"), E("h", kind=b"1", link="l", mode=0o777)]],
    "/proc's own links": lambda out, up: [[sym("l", "/proc/self/cwd"), E("l/new", X), sym("m", "/proc/self/fd/3"),
                                           E("m/new", X)]],
    # through hard links
    "a hard link out": lambda out, up: [[hard("h", f"{out}/file"), E("h", X)]],
    "a hard link up": lambda out, up: [[hard("h", f"{up}/file"), E("h", X)]],
    "a hard link through a link": lambda out, up: [[sym("l", out), hard("h", "l/file"), E("h", X)]],
    "a hard link through a link, a layer later": lambda out, up: [[sym("l", out)], [hard("h", "l/file"), E("h", X)]],
    "a hard link to a link": lambda out, up: [[sym("l", f"{out}/file"), hard("h", "l"), E("h", X)]],
    "a hard link at a link": lambda out, up: [[E("a", X), sym("l", out), hard("l/new", "a")]],
    "a hard link to a directory": lambda out, up: [[d("a"), hard("h", "a")]],
    "a hard link to nothing": lambda out, up: [[hard("h", "nothing")]],
    "a hard link to itself": lambda out, up: [[hard("h", "h")]],
    "a hard link to the root": lambda out, up: [[hard("h", "/")]],
    "past the longest path": path_max,
    # through whiteouts
    "a whiteout that goes up": lambda out, up: [[E("a")], [E(f"{up}/.wh.file")]],
    "a whiteout of ..": lambda out, up: [[d("a")], [E("a/.wh...")]],
    "a whiteout of .": lambda out, up: [[d("a")], [E("a/.wh..")]],
    "a whiteout of no name": lambda out, up: [[d("a")], [E("a/.wh.")]],
    "a whiteout through a link": lambda out, up: [[sym("l", out)], [E("l/.wh.file")]],
    "a whiteout of a link": lambda out, up: [[sym("l", f"{out}/file")], [E(".wh.l")]],
    "an opaque directory through a link": lambda out, up: [[sym("l", out)], [E("l/.wh..wh..opq")]],
    "an opaque directory up": lambda out, up: [[d("a")], [E(f"{up}/.wh..wh..opq")]],
    "an opaque root": lambda out, up: [[E("a")], [E(".wh..wh..opq")]],
    "a whiteout that is a link": lambda out, up: [[E("a")], [sym(".wh.a", out)]],
    "a whiteout that is a directory": lambda out, up: [[E("a")], [d(".wh.a"), E(".wh.a/x", X)]],
    "a file below a whiteout": lambda out, up: [[E("a")], [E(".wh.a/../x", X)]],
    "a whiteout of a whiteout": lambda out, up: [[E("a")], [E(".wh..wh.a")]],
    "AUFS's own": lambda out, up: [[E("a")], [d(".wh..wh.plnk"), E(".wh..wh.plnk/1.2", X), E(".wh..wh.aufs")]],
    # what a user should not get
    "devices": lambda out, up: [[E("null", kind=b"3", mode=0o666), E("sda", kind=b"4", mode=0o666),
                                 E("0", kind=b"3")]],  # the last one would be an overlay's whiteout
    "a pipe where a file is read": lambda out, up: [[d("etc"), E("etc/passwd", kind=b"6")]],
    "set-user-id files": lambda out, up: [[E("s", X, mode=0o6755, uid=0), d("sd", 0o6777)]],
    "an overlay's attributes": lambda out, up: [[d("a", pax={"SCHILY.xattr.user.overlay.opaque": "y",
                                                            "SCHILY.xattr.trusted.overlay.redirect": "/etc"})]],
    "capabilities": lambda out, up: [[E("c", X, pax={"SCHILY.xattr.security.capability": b"\1\0\0\2"})]],
    "files that nobody may read": lambda out, up: [[d("a", 0), E("a/b", X, mode=0), d("a/c", 0o111)]],
    # what two readers read differently
    "pax size against the header's": lambda out, up: [[smuggled(up)]],  # CVE-2025-62518 in kind
    "a pax size that is no number": lambda out, up: [[E("a", X, pax={"size": "-1"})]],
    "an empty pax path": lambda out, up: [[E("a", X, pax={"path": ""})]],
    "two names for one member": lambda out, up: [[long_name("b"), E("a", X, pax={"path": "c"})]],
    "a global header that renames": lambda out, up: [[block(E("g", kind=b"g"), b"g", b"", 12)
                                                      + padded(b"12 path=../x"), E("a", X)]],
    "a negative size": lambda out, up: [[odd_size(b"-0000000512\0")]],
    "a size in base 256 that is too large": lambda out, up: [[odd_size(b"\x80" + b"\xff" * 11)]],
    "a size that is no number": lambda out, up: [[odd_size(b"0o000000010\0")]],
    "a member after one zero block": lambda out, up: [[E("a", X), bytes(512), E("b", X)]],
    "members after the end": lambda out, up: [[E("a", X), bytes(1024), E(f"{up}/new", X)]],
    "a file with a slash at its end": lambda out, up: [[E("a/", X)]],
    "an unknown type": lambda out, up: [[E("a", kind=b"V")]],
    "a header whose checksum is wrong": lambda out, up: [[b"a" * 512]],
    "a malformed pax record": lambda out, up: [[block(E("x", kind=b"x"), b"x", b"", 9) + padded(b"99 path=a"), E("a")]],
    "a sparse map that overlaps": lambda out, up: [[E("a", X, pax={
        "GNU.sparse.major": "0", "GNU.sparse.size": "20", "GNU.sparse.map": "0,4,2,3"})]],
    "a sparse map beyond its size": lambda out, up: [[E("a", X, pax={
        "GNU.sparse.size": "5", "GNU.sparse.map": "0,7"})]],
    "a sparse name that goes up": lambda out, up: [[E("a", X, pax={
        "GNU.sparse.name": f"{up}/new", "GNU.sparse.size": "7", "GNU.sparse.map": "0,7"})]],
    # names that collide
    "one name in two cases": lambda out, up: [[E("File", X), E("file", X), sym("LINK", out), E("link/new", X)]],
    "a file as a parent": lambda out, up: [[E("a", X), E("a/b", X)]],
    "a file as a parent, a layer later": lambda out, up: [[E("a", X)], [E("a/b", X)]],
    "a device as a parent": lambda out, up: [[E("a", kind=b"3"), E("a/b", X)]],
    "a link over a directory that is not empty": lambda out, up: [[d("a"), E("a/b", X), sym("a", out), E("a/new", X)]],
    "too deep": lambda out, up: [[E("d/" * 300 + "f", X)]],
    "too deep by links": lambda out, up: [[d("d/" * 200), sym("l", "d/" * 200), E("l/" + "e/" * 100 + "f", X)]],
    "a name over 255 bytes": lambda out, up: [[E("n" * 300, X)]],
    "a link target over 4095 bytes": lambda out, up: [[sym("l", "t" * 4096)]],
    "a link without a target": lambda out, up: [[sym("l", "")]],
}

EXPECTED: dict[str, str] = dict.fromkeys(CASES, "") | dict.fromkeys((
    "a name that goes up", "a name that goes up from inside", "a directory that goes up", "a name that is ..",
    "a directory that is ..", "a name that ends in ..", "a name with a NUL, by pax", "a name that goes up, by pax",
    "a name that goes up, by GNU's long name", "a link in a directory, and up", "a hard link up",
    "a whiteout that goes up", "an opaque directory up", "a file below a whiteout", "a sparse name that goes up",
    "too deep", "a link without a target",
), "tar.path") | dict.fromkeys((
    "pax size against the header's", "a pax size that is no number", "an empty pax path", "two names for one member",
    "a global header that renames", "a negative size", "a size that is no number", "a member after one zero block",
    "a file with a slash at its end", "an unknown type", "a header whose checksum is wrong", "a malformed pax record",
    "a sparse map that overlaps", "a sparse map beyond its size",
), "tar.header") | dict.fromkeys((
    "links in a circle", "a link to itself", "a hard link out", "a hard link through a link",
    "a hard link to a directory",
    "a hard link through a link, a layer later", "a hard link to nothing", "a hard link to itself",
    "a hard link to the root", "past the longest path",
), "layer.link") | dict.fromkeys((
    "the root is a file", "the root is a link", "the root is a link, a layer later", "the root is a hard link",
    "a file as a parent", "a file as a parent, a layer later", "a device as a parent",
), "layer.clash") | dict.fromkeys((
    "a whiteout of ..", "a whiteout of .", "a whiteout of no name", "a whiteout that is a directory",
), "layer.whiteout") | {
    "a size in base 256 that is too large": "layer.too-large", "too deep by links": "layer.depth",
    "a name over 255 bytes": "tree.long-name", "a link target over 4095 bytes": "tree.bad-link",
}


def long_name(name: str) -> bytes:
    """GNU's member that names the next one."""
    data = name.encode() + b"\0"
    return block(E("L", kind=b"L"), b"././@LongLink", b"", len(data)) + padded(data)


def smuggled(up: str) -> bytes:
    """A file whose content is an archive to those who believe the header's size and not the pax header's."""
    from tests.builder.layer_factory import member

    inner = member(E(f"{up}/new", X))
    return member(E("a", inner, size=len(inner) // 2, pax={"size": str(len(inner))}))


def odd_size(field: bytes) -> bytes:
    head = bytearray(block(E("a"), b"a", b"", 0))
    head[124:136] = field
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)

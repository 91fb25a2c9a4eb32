"""What an image is made of, as a function of a number: a signed archive, wheels, and a project; and the same with
one byte changed.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from pathlib import Path

from tests.archive_factory import Entry, Key, Pkg, Suite, python_packages
from tests.corpus.wheels.zipforge import Archive, wheel_parts

from bareboat.lock import Wheel
from bareboat.project.values import Package

CHANGES = ("package", "extra", "wheel", "script", "project", "workdir")  # where a byte of the inputs is changed
_PARENTS = {"package": "base", "extra": "base-extra", "wheel": "wheel", "script": "wheel", "project": "gen"}


@dataclass(frozen=True)
class Inputs:
    """seed: what everything is a function of. package: of an installed project; touched: which input was changed."""

    seed: int
    packages: tuple[Pkg, ...]
    wheels: tuple[tuple[Wheel, bytes], ...]
    package: Package
    workdir: str
    touched: str = ""
    apt: tuple[str, ...] = ("extra",)


    @property
    def touched_tree(self) -> str:
        """The kind of tree that must change with it; "" where it is in the config alone."""
        return _PARENTS.get(self.touched, "")


def inputs(seed: int, touched: str = "") -> Inputs:
    """The inputs of a number; touched: the one of CHANGES in which one byte is another."""
    chance = random.Random(seed)
    own = [_package(f"lib{n}", chance) for n in range(chance.randint(1, 3))]
    extra = _package("extra", chance)
    if touched == "package":
        own[0] = _touch(own[0])
    if touched == "extra":
        extra = _touch(extra)
    packages = [p for p in python_packages() if p.name != "gawk"]
    first = packages[0]
    needs = first.fields["Depends"] + "".join(f", {p.name}" for p in own)
    packages[0] = replace(first, fields={**first.fields, "Depends": needs})
    wheels = tuple(_wheel(f"demo{n}", chance, touched if n == 0 else "") for n in range(chance.randint(1, 5)))
    main = "project:main" if touched != "project" else "project:mbin"
    package = Package("project", "1.0", "/app/src", (("go", main),), (("group", "b", "x:y"), ("group", "a", "z:w")))
    workdir = "/app" if touched != "workdir" else "/apq"
    return Inputs(seed, (*packages, *own, extra), wheels, package, workdir, touched)


def write(given: Inputs, mirror: Path, key: Key) -> None:
    """Put the archive and the wheels where a build finds them, readable by every user."""
    Suite(given.packages).write(mirror / "debian", key)
    for wheel, data in given.wheels:
        (mirror / wheel.filename).write_bytes(data)


def _package(name: str, chance: random.Random) -> Pkg:
    entries = [Entry(f"./usr/share/{name}/", kind="dir", mode=0o755)]
    folders = ("usr/share", "etc", "usr/lib")
    for n in range(chance.randint(2, 8)):
        path = f"./{chance.choice(folders)}/{name}/{chance.choice('aBé-')}{n}"
        mode = chance.choice((0o644, 0o755, 0o640, 0o4755, 0o2755))
        entries.append(Entry(path, chance.randbytes(chance.randint(1, 3000)), mode=mode, uid=chance.randint(0, 99)))
    entries.append(Entry(f"./usr/share/{name}/link", kind="symlink", link=f"../../lib/{name}"))
    entries.append(Entry(f"./usr/share/{name}/hard", kind="hardlink", link=entries[1].path))
    return Pkg(name, entries=entries, compression=chance.choice(("xz", "gz", "zst")))


def _touch(package: Pkg) -> Pkg:
    entries = list(package.entries)
    entries[1] = replace(entries[1], content=_flip(entries[1].content))
    return replace(package, entries=entries)


def _flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def _wheel(name: str, chance: random.Random, touched: str) -> tuple[Wheel, bytes]:
    files = {}
    for n in range(chance.randint(1, 8)):
        text = chance.randbytes(chance.randint(1, 4000)).hex()
        files[f"{name}/{chance.choice('aBé-')}{n}.py"] = f"# {text}".encode()
    files[f"{name}/empty.py"] = b""
    files["shared/__init__.py"] = b""
    files[f"{name}-1.0.data/scripts/{name}-tool"] = b"#!python\nprint(1)\n"
    if touched == "wheel":
        first = next(iter(files))
        files[first] = files[first][:-1] + (b"x" if files[first][-1:] != b"x" else b"y")
    if touched == "script":
        files[f"{name}-1.0.data/scripts/{name}-tool"] = b"#!python\nprint(2)\n"
    parts = [replace(p, method=chance.choice((0, 8))) for p in wheel_parts(files, info=f"{name}-1.0.dist-info")[1:]]
    data = Archive(parts).build()
    digest = hashlib.sha256(data).hexdigest()
    return Wheel(name, "1.0", f"{name}-1.0-py3-none-any.whl", "", digest, len(data), requested=True), data



"""Trees of made-up systems: just enough of Debian, Alpine, Fedora and conda for a Python to be found in them."""

from __future__ import annotations

import struct
from pathlib import Path

GLIBC = b"GNU C Library (Debian) stable release version 2.36.\n"
SITE = "/usr/local/lib/python3.12/site-packages"


def elf(loader: str, machine: int = 62, more: bytes = b"") -> bytes:
    """A 64-bit program with one program header, PT_INTERP, and something behind it."""
    name = loader.encode() + b"\0"
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1,
                                                         0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 3, 4, 120, 120, 120, len(name), len(name), 1) + name + more


class Tree:
    """A directory that is filled by absolute paths as inside."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, path: str, content: bytes | str = "") -> Tree:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def link(self, path: str, target: str) -> Tree:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(target)
        return self

    def package(self, site: str, name: str, version: str, files: tuple[str, ...] = (), requires: tuple[str, ...] = (),
                record: str | None = None, pure: bool = True) -> Tree:
        """A package as pip leaves it. files: relative to the site directory; record: instead of the right one."""
        info = f"{name}-{version}.dist-info"
        needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        self.file(f"{site}/{info}/METADATA", f"{head}{needs}\nText\n")
        self.file(f"{site}/{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(pure).lower()}\n")
        for path in files:
            self.file(f"{site}/{path}", "x")
        rows = "".join(f"{p},,\n" for p in (*files, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"))
        return self.file(f"{site}/{info}/RECORD", rows if record is None else record)


def docker_python(root: Path) -> Tree:
    """As docker.io's python:3.12-slim: Debian below, Python in /usr/local."""
    tree = Tree(root).file("/usr/lib/x86_64-linux-gnu/libc.so.6", GLIBC)
    tree.link("/lib", "usr/lib").link("/lib64", "usr/lib64")
    tree.file("/usr/lib64/ld-linux-x86-64.so.2", b"x")
    tree.file("/usr/local/bin/python3.12", elf("/lib64/ld-linux-x86-64.so.2"))
    tree.link("/usr/local/bin/python3", "python3.12").link("/usr/local/bin/python", "python3")
    tree.file("/usr/local/include/python3.12/patchlevel.h", '#define PY_VERSION      \t"3.12.7"\n')
    tree.file("/usr/local/lib/python3.12/os.py").file("/usr/local/lib/python3.12/site.py", "site-packages")
    return tree.package(SITE, "pip", "24.2", ("pip/__init__.py", "pip/__main__.py", "../../../bin/pip"))


def debian(root: Path) -> Tree:
    """As a Debian with its own python3 and an apt package."""
    tree = Tree(root).file("/usr/lib/x86_64-linux-gnu/libc.so.6", GLIBC)
    tree.link("/lib64", "usr/lib64").link("/usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld.so")
    tree.file("/usr/lib/x86_64-linux-gnu/ld.so", b"x").link("/bin", "usr/bin")
    tree.file("/usr/bin/python3.11", elf("/lib64/ld-linux-x86-64.so.2", more=b"\x003.11.2\x00"))
    tree.link("/usr/bin/python3", "python3.11")
    tree.file("/usr/lib/python3.11/os.py").file("/usr/lib/python3.11/site.py", "... dist-packages ...")
    site = "/usr/lib/python3/dist-packages"
    tree.file(f"{site}/six.py").file(f"{site}/six-1.16.0.egg-info/PKG-INFO", "Name: six\nVersion: 1.16.0\n")
    return tree.file("/var/lib/dpkg/info/python3-six.list",
                     f"/.\n{site}/six.py\n{site}/six-1.16.0.egg-info/PKG-INFO\n/usr/share/doc/python3-six/copyright\n")


def alpine(root: Path) -> Tree:
    """As Alpine's python3: musl, no glibc, everything in /usr."""
    tree = Tree(root).file("/lib/ld-musl-x86_64.so.1", elf("", more=b"\x001.2.5\x00musl libc"))
    tree.file("/usr/bin/python3.12", elf("/lib/ld-musl-x86_64.so.1")).link("/usr/bin/python3", "python3.12")
    tree.file("/usr/lib/libpython3.12.so.1.0", elf("", more=b"\x003.12.11\x00"))
    return tree.file("/usr/lib/python3.12/os.py").file("/usr/lib/python3.12/site.py", "site-packages")


def fedora(root: Path) -> Tree:
    """As an RPM-based system: lib64 for what is compiled, lib for what is not."""
    tree = Tree(root).file("/usr/lib64/libc.so.6", b"GNU C Library (GNU libc) stable release version 2.34.\n")
    tree.link("/lib64", "usr/lib64").file("/usr/lib64/ld-linux-x86-64.so.2", b"x")
    tree.file("/usr/bin/python3.9", elf("/lib64/ld-linux-x86-64.so.2")).link("/usr/bin/python3", "./python3.9")
    tree.file("/usr/lib64/libpython3.9.so.1.0", elf("", more=b"\x003.9.18\x00"))
    tree.file("/usr/lib64/python3.9/os.py").file("/usr/lib64/python3.9/site.py", "site-packages")
    tree.package("/usr/lib64/python3.9/site-packages", "numpy", "1.20.1", ("numpy/core.so",), pure=False)
    return tree.package("/usr/lib/python3.9/site-packages", "idna", "2.10", ("idna/__init__.py",))


def conda(root: Path) -> Tree:
    """As an image with Miniconda, whose config has /opt/conda/bin in PATH, and Debian's python below it."""
    tree = debian(root)
    tree.file("/opt/conda/bin/python3.10", elf("/lib64/ld-linux-x86-64.so.2"))
    tree.link("/opt/conda/bin/python", "python3.10")
    tree.file("/opt/conda/conda-meta/python-3.10.14-h955ad1f_1.json", "{}")
    tree.file("/opt/conda/lib/python3.10/os.py").file("/opt/conda/lib/python3.10/site.py", "site-packages")
    return tree.package("/opt/conda/lib/python3.10/site-packages", "torch", "2.2.0",
                        ("torch/__init__.py", "torch/lib/libtorch.so"), ("filelock",), pure=False)

"""Who brought each file of an image: its wheels and system packages, and in a base of others whatever its lists say."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, normpath
from typing import TYPE_CHECKING

from bareboat.builder.contents import read_tree
from bareboat.builder.debs import deb_tree_key, read_unpacked
from bareboat.builder.image import bottom_keys, top_keys
from bareboat.image.deb import merged_path
from bareboat.image.plan import Plan
from bareboat.image.twice import Owned
from bareboat.image.wheel import wheel_tree_key

if TYPE_CHECKING:
    from bareboat.store import Store

OURS = "bareboat"  # owner of what it generates
CODE = "the project's code"
_LIST_MOST = 64 << 20


def owned_files(store: Store, plan: Plan) -> Iterator[Owned]:
    """Every file of a plan's trees, which must be in the store, with who brought it; hard links in a tree once."""
    for key in bottom_keys(plan):
        tree = store.tree(key)
        if tree is not None:
            owners = _of_image(tree) if plan.image is not None else _of_debs(store, plan)
            rest = "the base" if plan.image is not None else OURS
            yield from (Owned(owners.get(p, rest), p, size, place) for p, size, place in _files(tree))
    for wheel in plan.wheels:
        key = wheel_tree_key(wheel, plan.interpreter)
        tree = store.tree(key)
        if tree is None:
            continue
        noted = store.get_json("cache", f"manifest-{key}")
        digests = noted["files"] if isinstance(noted, dict) else {}
        for path, size, place in _files(tree):
            yield Owned(f"{wheel.name} {wheel.version}", path, size, place, _sha256(digests.get(path)))
    for key in top_keys(plan):
        tree = store.tree(key)
        if tree is not None:
            owner = CODE if key.startswith("image-code-") else OURS
            yield from (Owned(owner, p, size, place) for p, size, place in _files(tree))


def _sha256(row: object) -> str:
    """The digest that a wheel's RECORD has of a file, where it is a sha256."""
    text = str(row[1]) if isinstance(row, list) and len(row) == 2 else ""
    return text.removeprefix("sha256:") if text.startswith("sha256:") else ""


def _files(tree: Path) -> Iterator[tuple[str, int, str]]:
    top, seen = os.fspath(tree), set()
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            place = f"{folder}/{name}"
            status = os.lstat(place)
            if stat.S_ISREG(status.st_mode) and status.st_ino not in seen:
                seen.add(status.st_ino)
                yield place[len(top) + 1 :], status.st_size, place


def _of_debs(store: Store, plan: Plan) -> dict[str, str]:
    """Path → package, by what each package's own tree notes; those that gc took say nothing."""
    owners: dict[str, str] = {}
    for deb in plan.debs:
        root = store.tree(deb_tree_key(deb.sha256))
        if root is not None:
            for path, kind, _, _ in read_unpacked(deb.name, root).entries:
                if kind == "file":
                    owners[path] = f"{deb.name} {deb.version}"
    return owners


def _of_image(tree: Path) -> dict[str, str]:
    """Path → package in a tree of others: dpkg's lists, then Python's, which know better what pip brought."""
    owners: dict[str, str] = {}
    debs = {}
    pythons = []
    for package in read_tree(tree).packages:
        if package.kind == "deb":
            debs[package.name] = debs[f"{package.name}:{package.architecture}"] = f"{package.name} {package.version}"
        elif package.kind == "pypi" and package.path.endswith("/METADATA"):
            pythons.append((dirname(package.path), f"{package.name} {package.version}"))
    info = tree / "var/lib/dpkg/info"
    for name in sorted(os.listdir(info)) if info.is_dir() and not info.is_symlink() else ():
        owner = debs.get(name.removesuffix(".list")) if name.endswith(".list") else None
        if owner is not None:
            for line in _text(f"{info}/{name}").splitlines():
                owners[merged_path(line.strip("/"))] = owners[line.strip("/")] = owner
    for folder, owner in pythons:
        for row in csv.reader(io.StringIO(_text(f"{tree}/{folder}/RECORD"))):
            if row:
                owners[normpath(f"{dirname(folder)}/{row[0]}")] = owner
    return owners


def _text(path: str) -> str:
    """A list of a stranger's tree, "" where it is no regular file or too large; no link is followed at its end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LIST_MOST:
            return ""
        return file.read().decode("utf-8", "surrogateescape").replace("\0", "")

"""Figure: disk of ten environments one package apart, against the union of their files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bench.environments import ADDED, SMALL
from bench.measure import Figure, Row, Series, at_most
from bench.place import Place
from bench.subject import copy, edit, remove

GOAL = 1.1
COUNT = 10


def room(place: Place) -> Figure:
    """All that the store takes, wheels as downloaded and records included."""
    home = copy(place.bare_subject().home, place.work / "room/home")
    subject = place.subject.at(home)
    project = copy(place.bare(), place.work / "room/project")
    trees: set[Path] = set()
    for number in range(COUNT):
        edit(project, SMALL.text(*(p.name for p in ADDED[:number])))
        subject.run(project, "true")
        subject.settled(project)
        trees.update(subject.trees(project))
    union, whole = _union(trees), taken(home)
    parts = {name.name: taken(name) for name in sorted(home.iterdir()) if name.is_dir()}
    row = at_most(Row("ten environments one package apart, whole store", SMALL.name, Series("bareboat", (whole / 1e6,)),
                    Series("union of their files", (union / 1e6,)), "MB"), GOAL)
    alone = at_most(Row("the same, without the archives as downloaded", SMALL.name,
                      Series("bareboat", ((whole - parts["blobs"]) / 1e6,)), row.theirs, "MB"), GOAL)
    remove(place.work / "room")
    return Figure("room", "Disk", (row, alone), (
        "Of the store: " + ", ".join(f"{n} {b / 1e6:.1f} MB" for n, b in parts.items() if b > 1e5)
        + ". The union: every file that some environment has, bytecode included, equal ones at the same path once; "
        "allocated blocks.",))


def taken(folder: Path) -> int:
    """Allocated bytes below a folder, hard links once."""
    found = 0
    seen: set[int] = set()
    for top, _, names in os.walk(folder):
        for name in (*names, "."):
            status = os.lstat(f"{top}/{name}")
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                found += status.st_blocks * 512
    return found


def _union(trees: set[Path]) -> int:
    seen: dict[tuple[str, str], int] = {}
    for tree in trees:
        for path in tree.rglob("*"):
            if path.is_file() and not path.is_symlink():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                seen[str(path.relative_to(tree)), digest] = path.lstat().st_blocks * 512
    return sum(seen.values())

"""What is installed in trees, told by the files that scanners of images read: dpkg's, apk's, conda's, Python's.

Trees may come from images of strangers: no link is followed, nothing but regular files is opened, sizes are bounded,
and a file that cannot be understood is said to be so instead of being passed over.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.image.inventory import Installed, Told

if TYPE_CHECKING:
    from bareboat.store import Store

FORMAT = "2"  # part of the key of what was read before: raised when the same tree would be read differently
DPKG, DPKG_FILES = "var/lib/dpkg/status", "var/lib/dpkg/status.d"
APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
OS_RELEASE = ("usr/lib/os-release", "etc/os-release")
RPM = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
RPM_FILES = ("rpmdb.sqlite", "Packages", "Packages.db")
DATABASE_MOST = 64 << 20  # bytes
METADATA_MOST = 4 << 20


def contents(store: Store, keys: Sequence[str]) -> Told:
    """What is installed in a stack of trees, bottom to top, where the upper of two files of one path counts.

    Each tree is read once and what it said is kept. Trees that are not in the store say nothing.
    """
    by_path: dict[str, list[Installed]] = {}
    notes: list[str] = []
    system = ("", "")
    for key in keys:
        found = _of_tree(store, key)
        system = found.system if found.system[0] else system
        paths: dict[str, list[Installed]] = {}
        for package in found.packages:
            paths.setdefault(package.path, []).append(package)
        by_path.update(paths)
        notes += [n for n in found.notes if n not in notes]
    return Told(tuple(p for path in sorted(by_path) for p in by_path[path]), tuple(notes), system)


def _of_tree(store: Store, key: str) -> Told:
    note = f"contents-{FORMAT}-{key}"
    kept = store.get_json("cache", note)
    if isinstance(kept, dict):
        first, second = kept["system"]
        return Told(tuple(Installed(**row) for row in kept["packages"]), tuple(kept["notes"]), (first, second))
    root = store.tree(key)
    if root is None:
        return Told()
    found = read_tree(root)
    store.put_json("cache", note, {"packages": [asdict(p) for p in found.packages], "notes": list(found.notes),
                                   "system": list(found.system)})
    return found


def read_tree(root: Path) -> Told:
    """What one unpacked tree says is installed in it, in order of the paths that say so."""
    found: list[Installed] = []
    notes: list[str] = []
    top = os.fspath(root)
    for folder, folders, names in os.walk(top):
        folders.sort()
        inside = folder[len(top) + 1 :]
        for path, kind in _telling(inside, folders, names):
            try:
                if kind == "rpm":
                    notes.append(f"/{path} is an RPM database: its packages are not listed")
                    continue
                text = read_text(f"{top}/{path}", METADATA_MOST if kind in ("pypi", "conda") else DATABASE_MOST)
                found += _READERS[kind](text, path)
            except (OSError, ValueError, TypeError, KeyError) as error:
                why = str(error) or type(error).__name__
                notes.append(f"/{path} could not be read ({why}): what it tells is not listed")
    plain = [replace(p, path=_plain(p.path)) for p in found]
    return Told(tuple(sorted(plain, key=lambda p: (p.path, p.name))), tuple(sorted(map(_plain, notes))),
                    _system(top))


def _system(top: str) -> tuple[str, str]:
    """What os-release(5) says of a tree."""
    for path in OS_RELEASE:
        try:
            lines = read_text(f"{top}/{path}", METADATA_MOST).splitlines()
        except (OSError, ValueError):
            continue
        said = {k: v.strip().strip("\"'") for k, _, v in (line.partition("=") for line in lines)}
        name, version = said.get("ID", ""), said.get("VERSION_CODENAME") or said.get("VERSION_ID", "")
        if all(c.isalnum() or c in "._-" for c in name + version):
            return name, version
    return "", ""


def _plain(text: str) -> str:
    """A text that any document can hold: the bytes of a name that is not UTF-8 are written out."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _telling(inside: str, folders: list[str], names: list[str]) -> Iterator[tuple[str, str]]:
    """The files of a folder that tell of packages, and which kind of file each is."""
    if inside == "var/lib/dpkg" and "status" in names:
        yield DPKG, "deb"
    elif inside == DPKG_FILES:
        yield from ((f"{inside}/{n}", "deb") for n in sorted(names) if not n.endswith((".md5sums", ".preinst")))
    elif inside in RPM:
        yield from ((f"{inside}/{n}", "rpm") for n in sorted(names) if n in RPM_FILES)
    elif inside.endswith("lib/apk/db") and f"{inside}/installed" in APK and "installed" in names:
        yield f"{inside}/installed", "apk"
    elif inside.rpartition("/")[2] == "conda-meta":
        yield from ((f"{inside}/{n}", "conda") for n in sorted(names) if n.endswith(".json"))
    elif inside.endswith(".dist-info") and "METADATA" in names:
        yield f"{inside}/METADATA", "pypi"
    elif inside.endswith(".egg-info") and "PKG-INFO" in names:
        yield f"{inside}/PKG-INFO", "pypi"
    for name in sorted(names):
        if name.endswith(".egg-info"):
            yield f"{inside}/{name}" if inside else name, "pypi"


def read_text(path: str, most: int) -> str:
    """A regular file's text; no link is followed at its end.

    Raises OSError, ValueError for anything else and for one that is too large.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no regular file")
        if status.st_size > most:
            raise ValueError(f"{status.st_size:,} bytes are too many")
        return file.read().decode("utf-8", "replace")


def _debs(text: str, path: str) -> Iterator[Installed]:
    """dpkg's status (deb822): paragraphs of packages that are installed; status.d's say no Status in some images."""
    for paragraph in text.split("\n\n"):
        fields = fields_of(paragraph.split("\n"))
        state = fields.get("status", "install ok installed").split()
        if fields.get("package") and fields.get("version") and state[-1:] in (["installed"], ["triggers-pending"],
                                                                              ["triggers-awaited"]):
            yield Installed("deb", fields["package"], fields["version"], path, fields.get("architecture", ""))


def _apks(text: str, path: str) -> Iterator[Installed]:
    """apk's database: paragraphs of one-letter fields."""
    for paragraph in text.split("\n\n"):
        rows = dict(line.split(":", 1) for line in paragraph.split("\n") if line[1:2] == ":")
        if rows.get("P") and rows.get("V"):
            yield Installed("apk", rows["P"], rows["V"], path, rows.get("A", ""))


def _pythons(text: str, path: str) -> Iterator[Installed]:
    """Core metadata: Name and Version of its headers."""
    fields = fields_of(text.split("\n\n", 1)[0].split("\n"))
    if not fields.get("name") or not fields.get("version"):
        raise ValueError("no Name or no Version")
    yield Installed("pypi", fields["name"], fields["version"], path)


def _condas(text: str, path: str) -> Iterator[Installed]:
    """conda-meta/NAME-VERSION-BUILD.json."""
    row = json.loads(text)
    yield Installed("conda", str(row["name"]), str(row["version"]), path, str(row.get("subdir", "")))


def fields_of(lines: list[str]) -> dict[str, str]:
    """The fields of a paragraph by name in lower case, folded lines joined; the first of two counts."""
    found: dict[str, str] = {}
    last = ""
    for line in lines:
        if line[:1].isspace():
            if last:
                found[last] += f" {line.strip()}"
            continue
        name, colon, value = line.rstrip("\r").partition(":")
        last = name.lower() if colon and name and name.lower() not in found else ""
        if last:
            found[last] = value.strip()
    return found


_READERS = {"deb": _debs, "apk": _apks, "pypi": _pythons, "conda": _condas}

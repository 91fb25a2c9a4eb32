"""What a base image is for those who build on it: its Python and its packages, found once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.builder.bases.inside import Inside
from bareboat.builder.bases.installed import find_installed
from bareboat.builder.bases.pythons import Python, Wanted, find_python
from bareboat.image.plan import PREFIX
from bareboat.lock import Base, BaseImage, Brought, Wheel
from bareboat.resolve.python.installed import Installed
from bareboat.values import replace

if TYPE_CHECKING:
    from bareboat.store import Store

FORMAT = "1"  # part of the key: raised when the same tree would be understood otherwise


@dataclass(frozen=True)
class Scan:
    """prefix: where an environment of ours has room; notes: what was left out of account, a line each."""

    python: Python
    packages: tuple[Installed, ...]
    prefix: str
    notes: tuple[str, ...]


def scan(store: Store, image: BaseImage, tree: Callable[[], Path], wanted: Wanted) -> Scan:
    """Look into a base. tree: its merged tree, made when nothing is known of it yet. LockError "base.*"."""
    from bareboat.builder.layers import image_tree_key
    from bareboat.errors import RecordError
    from bareboat.record.codec import decode, encode

    text = "\0".join((FORMAT, image_tree_key(replace(image, removed=())), wanted.platform, wanted.specifier,
                      *(f"{n}={v}" for n, v in image.env)))
    key = "base-" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    known = store.get_json("cache", key)
    if known is not None:
        try:
            return decode(Scan, known, key)
        except RecordError:
            pass
    inside = Inside(tree())
    python = find_python(inside, wanted)
    found = find_installed(inside, python)
    made = Scan(python, found.packages, _room(inside), found.notes)
    store.put_json("cache", key, encode(made))
    return made


def _room(inside: Inside) -> str:
    """The first of /opt/venv, /opt/venv-2 … that the base does not have."""
    number, prefix = 1, PREFIX
    while inside.real_parent(f"{prefix}/x") is not None or inside.real(prefix) is not None:
        number += 1
        prefix = f"{PREFIX}-{number}"
    return prefix


def base_on(image: BaseImage, scanned: Scan, created: str) -> Base:
    """The locked base of an image; nothing of it is removed yet."""
    p = scanned.python
    return Base("oci", image.reference, created, (), p.version, p.full, p.libc, p.executable, scanned.prefix, p.site,
                bool(p.environment), p.system,
                tuple(Brought(i.name, i.version, i.compiled) for i in scanned.packages), image)


def replaced(base: Base, packages: tuple[Installed, ...], wheels: tuple[Wheel, ...]) -> Base:
    """The base without the packages that wheels of the lock stand for: all of their files, none of anyone else's."""
    assert base.image is not None
    names = {w.name for w in wheels}
    gone = sorted({path for p in packages if p.name in names for path in p.owned})
    return replace(base, image=replace(base.image, removed=tuple(p for p in gone if _text(p))))


def _text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def broken_by(packages: tuple[Installed, ...], wheels: tuple[Wheel, ...], version: str) -> list[str]:
    """What the base's own packages ask for and do not get any more, a line each."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    new = {w.name: w.version for w in wheels}
    lines = []
    for p in packages:
        for text in p.requires if p.name not in new else ():
            r = Requirement(text)
            name = canonicalize_name(r.name)
            if name not in new or (r.marker and not r.marker.evaluate({"extra": "", "python_version": version})):
                continue
            if any(q.name == name for q in packages) and not r.specifier.contains(new[name], prereleases=True):
                lines.append(f"{p.name} {p.version} of the base asks for {name}{r.specifier}, and gets {new[name]}")
    return lines

"""A small image of our own in a store: a base of a few packages, wheels, and its plan."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tests.archive_factory import deb, python_packages
from tests.corpus.wheels.zipforge import Archive, wheel_parts

from bareboat.builder.image import Sources
from bareboat.image.plan import Plan
from bareboat.image.planning import plan_for
from bareboat.lock import Base, Deb, PlatformLock, Wheel
from bareboat.project.values import Project
from bareboat.store import Store


def nowhere(_: str):  # type: ignore[no-untyped-def]
    """No archive: everything is in the store."""
    raise AssertionError("nothing should have to be fetched")


SOURCES = Sources(nowhere, jobs=2, offline=True)


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


def plan_in(store: Store, wheels: Mapping[str, Mapping[str, bytes]]) -> Plan:
    """A plan whose packages and wheels are in the store; wheels: name → its files."""
    debs = []
    for package in python_packages():
        data = deb(package)
        debs.append(Deb(package.name, package.version, package.arch, package.filename, store.put_blob([data]),
                        len(data), extra=package.name == "gawk"))
    base = Base("debian", "trixie", "2026-01-01T00:00:00Z", tuple(debs), "3.13", "3.13.5", "glibc 2.41")
    locked = []
    for name, files in wheels.items():
        data = Archive(wheel_parts(dict(files), info=f"{name}-1.0.dist-info")[1:]).build()
        store.put_blob([data])
        locked.append(Wheel(name, "1.0", f"{name}-1.0-py3-none-any.whl", "", hashlib.sha256(data).hexdigest(),
                            len(data)))
    return plan_for(Project(store.home, "p", None), PlatformLock("linux/amd64", base, tuple(locked)))

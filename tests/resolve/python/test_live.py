"""The real index, the real archive and the real sandbox."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bareboat.errors import BareboatError
from bareboat.lock import Base
from bareboat.project.values import Dependencies
from bareboat.resolve.python.locking import lock_wheels
from bareboat.resolve.python.request import LockedPython, Request
from bareboat.resolve.python.target import Target

pytestmark = pytest.mark.live


class Machine:
    """A store, a base and a room for one Python."""

    def __init__(self, folder: Path, python: str) -> None:
        from bareboat.builder.image import Sources
        from bareboat.builder.rooms import SandboxRoom
        from bareboat.engine.bubblewrap import Bubblewrap
        from bareboat.resolve.debian.host import open_archive
        from bareboat.resolve.debian.lockbase import BaseRequest, lock_base
        from bareboat.store import Store

        self.store = Store.open(folder / "home")
        self.root = folder / "project"
        self.root.mkdir()
        archive = open_archive(self.store, family="debian")
        self.base: Base = lock_base(BaseRequest(python=python), archive)
        self.room = SandboxRoom(
            self.store, Bubblewrap(folder / "home"), self.base, "linux/amd64", Sources(lambda family: archive)
        )

    def lock(self, text: str, **more: object) -> LockedPython:
        (self.root / "requirements.txt").write_text(text)
        target = Target(self.base.python_full, self.base.libc, "linux/amd64")
        with self.store.scratch("lock") as scratch:
            request = Request(
                self.root,
                Dependencies("requirements", ("requirements.txt",)),
                target,
                scratch,
                env=dict(os.environ),
                **more,  # type: ignore[arg-type]
            )
            return lock_wheels(request, self.room)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sandbox's helpers and the store want a short path."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    return tmp_path


def test_scientific_wheels_and_an_sdist_with_c(folder: Path) -> None:
    machine = Machine(folder, "3.13")
    locked = machine.lock("numpy\ncrc16==0.1.1\n")
    crc16, numpy = locked.wheels
    assert numpy.filename.startswith("numpy-")
    assert (numpy.built_from, "-cp313-manylinux" in numpy.filename) == ("", True)
    assert crc16.filename == "crc16-0.1.1-cp313-cp313-linux_x86_64.whl"
    assert crc16.built_with.endswith(f" on {machine.base.libc}")
    again = machine.lock("numpy\ncrc16==0.1.1\n", previous=locked.pylock_text, built=locked.wheels, offline=True)
    assert again.wheels == locked.wheels


def test_unknown_packages_and_impossible_pins(folder: Path) -> None:
    machine = Machine(folder, "3.13")
    for text, code in (
        ("surely-no-such-package-anywhere\n", "python.unknown-package"),
        ("six==99\n", "python.unsatisfiable"),
    ):
        with pytest.raises(BareboatError) as e:
            machine.lock(text)
        assert e.value.code == code


def test_python_27_gets_the_last_numpy_it_had(folder: Path) -> None:
    locked = Machine(folder, "2.7").lock("numpy\n")
    assert [w.filename for w in locked.wheels] == ["numpy-1.16.6-cp27-cp27mu-manylinux1_x86_64.whl"]

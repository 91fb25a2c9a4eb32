"""Python 2.7: what pip is asked, and what is made of its answer; pip itself is played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bareboat.errors import BareboatError
from bareboat.resolve.python import python27
from bareboat.resolve.python.building import Errand
from bareboat.resolve.python.locking import lock_wheels
from bareboat.resolve.python.pylock import Wanted, is_ours, select
from bareboat.resolve.python.target import Target

from .conftest import Folder, HostRoom, Index, wheel_bytes

OLD = Target("2.7.18", "glibc 2.31", "linux/amd64")


class PipRoom(HostRoom):
    """Plays pip: answers with one wheel, or with words and a code while its constraints hold `refuse`."""

    def __init__(self, folder: Path, words: str = "", refuse: str = "") -> None:
        super().__init__(folder)
        self.words, self.refuse = words, refuse
        self.errands: list[Errand] = []
        self.constraints: list[str] = []

    def errand(self, errand: Errand) -> tuple[int, str]:
        self.errands.append(errand)
        self.constraints.append((errand.folder / "constraints.txt").read_text())
        if self.refuse in self.constraints[-1] and self.words:
            return 1, self.words
        name = "six-1.17.0-py2.py3-none-any.whl"
        (errand.folder / "wheels" / name).write_bytes(wheel_bytes("six", "1.17.0", tag="py2.py3-none-any"))
        url = f"https://user:canary@files.example/{name}"
        (errand.folder / "report.json").write_text(
            json.dumps([{"name": "Six", "url": url, "filename": name, "requested": True}])
        )
        return 0, ""


@pytest.fixture
def pip(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = index.wheel("pip", "20.3.4", tag="py2.py3-none-any")
    monkeypatch.setattr(python27, "PIP_SHA256", sha256)


@pytest.mark.usefixtures("pip")
def test_what_pip_chose_is_locked_by_digest(project: Folder, tmp_path: Path) -> None:
    project.write("requirements.txt", "six\n-c limits.txt\n")
    project.write("limits.txt", "six<2\n")
    room = PipRoom(tmp_path / "blobs")
    locked = lock_wheels(project.request(target=OLD), room)
    wheel = locked.wheels[0]
    assert (wheel.name, wheel.version, wheel.requested) == ("six", "1.17.0", True)
    assert wheel.url == "https://files.example/six-1.17.0-py2.py3-none-any.whl"
    assert room.blob(wheel.sha256) is not None
    assert is_ours(locked.pylock_text)
    assert select(locked.pylock_text, Wanted(OLD, names=frozenset({"six"}))).wheels == (wheel,)
    assert (room.errands[0].folder / "requirements.txt").read_text() == "six\n"
    assert room.constraints == ["six<2\n"]
    assert room.errands[0].arguments[:3] == ("/bareboat/out/pip.whl", "/bareboat/out/report.json", "download")
    assert "--only-binary" in room.errands[0].arguments


@pytest.mark.usefixtures("pip")
def test_standing_versions_are_kept_until_they_no_longer_fit(project: Folder, tmp_path: Path) -> None:
    project.write("requirements.txt", "six\n")
    first = lock_wheels(project.request(target=OLD), PipRoom(tmp_path / "a"))
    room = PipRoom(tmp_path / "b", "ERROR: Cannot install", refuse="six==1.17.0")
    again = lock_wheels(project.request(target=OLD, previous=first.pylock_text), room)
    assert again.wheels == first.wheels
    assert room.constraints == ["six==1.17.0\n", ""]


@pytest.mark.usefixtures("pip")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (
            "ERROR: Could not find a version that satisfies the requirement six9 (from versions: none)\n",
            "python.unknown-package",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement six==9 (from versions: 1.0)\n",
            "python.unsatisfiable",
        ),
        ("WARNING: Retrying (Retry(total=4)) after NewConnectionError\n", "python.network"),
    ],
)
def test_pips_failures_are_explained(project: Folder, tmp_path: Path, words: str, code: str) -> None:
    project.write("requirements.txt", "six\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(target=OLD), PipRoom(tmp_path / "blobs", words))
    assert e.value.code == code


def test_another_pip_is_refused(project: Folder, index: Index, tmp_path: Path) -> None:
    index.wheel("pip", "20.3.4", tag="py2.py3-none-any")
    project.write("requirements.txt", "six\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(target=OLD), PipRoom(tmp_path / "blobs"))
    assert e.value.code == "python.hash-mismatch"


def test_sources_are_refused_for_python_27(project: Folder, tmp_path: Path) -> None:
    project.write("requirements.txt", "./mine\n")
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(target=OLD), PipRoom(tmp_path / "blobs"))
    assert e.value.code == "python.source-27"
    with pytest.raises(BareboatError) as e:
        lock_wheels(project.request(target=OLD))
    assert e.value.code == "python.27"


def test_pip_sees_uvs_index_settings_and_proxies() -> None:
    env = {
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "HTTPS_PROXY": "http://proxy.example:1",
        "HOME": "/h",
    }
    assert dict(python27.environment(env)) == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "HTTPS_PROXY": "http://proxy.example:1",
        "LC_ALL": "C.UTF-8",
        "PIP_NO_INPUT": "1",
    }

"""Where the values of variables that look like secrets are while their runs wait and run."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bareboat.errors import BareboatError, QueueError
from bareboat.queue import withheld

VALUES = {"API_KEY": "canary-1", "ODD": "a\nb \udcff 'q' ü"}


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    made = tmp_path / "queue"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_what_is_kept_comes_back_and_is_its_users_alone(queue: Path, no_umask: None) -> None:
    assert withheld.get(queue, "one") is None
    with withheld.sending(queue):
        withheld.put(queue, "one", VALUES)
    assert withheld.get(queue, "one") == VALUES and withheld.get(queue, "two") is None
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (queue / "withheld").rglob("*")}
    assert modes == {".lock": 0o600, "one": 0o600}
    assert stat.S_IMODE((queue / "withheld").stat().st_mode) == 0o700


def test_another_user_reads_nothing_whatever_the_folder_says(queue: Path, no_umask: None) -> None:
    import shutil
    import subprocess
    import tempfile

    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    base = Path(tempfile.mkdtemp(prefix="bareboat-withheld-", dir="/var/tmp"))
    try:
        base.chmod(0o755)
        withheld.put(base, "one", VALUES)
        for mode in (0o700, 0o755):  # the folder's own wall, and the file's behind it
            (base / "withheld").chmod(mode)
            done = subprocess.run(["cat", str(base / "withheld/one")], user=1251, group=1251, extra_groups=[],
                                  capture_output=True, check=False)
            assert done.returncode != 0 and b"denied" in done.stderr and done.stdout == b""
    finally:
        shutil.rmtree(base)


def test_a_mask_that_takes_everything_hinders_nobody(queue: Path) -> None:
    before = os.umask(0o277)
    try:
        (queue / "withheld").mkdir()
        (queue / "withheld").chmod(0o700)
        withheld.put(queue, "one", VALUES)
    finally:
        os.umask(before)
    assert stat.S_IMODE((queue / "withheld/one").stat().st_mode) == 0o600 and withheld.get(queue, "one") == VALUES


def test_only_what_nobody_needs_goes(queue: Path) -> None:
    for id in ("a", "b", "c"):
        withheld.put(queue, id, VALUES)
    with withheld.sending(queue):
        assert withheld.sweep(queue, lambda id: False) == 0  # somebody may be about to need it
    assert withheld.sweep(queue, lambda id: id == "b", ["a", "b"]) == 1
    assert sorted(os.listdir(queue / "withheld")) == [".lock", "b", "c"]
    (queue / "withheld/.draft-0").write_text("of one that was killed")
    assert withheld.sweep(queue, lambda id: id == "b") == 2
    assert sorted(os.listdir(queue / "withheld")) == [".lock", "b"]
    assert withheld.sweep(queue, lambda id: False, ["x"]) == 0


def test_two_may_send_at_once_and_who_tidies_is_waited_for(queue: Path) -> None:
    import fcntl

    with withheld.sending(queue), withheld.sending(queue):
        pass
    lock = os.open(queue / "withheld/.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(QueueError) as error, withheld.sending(queue, patience=0.02):
        raise AssertionError
    os.close(lock)
    assert error.value.code == "queue.busy"


def _folder_is_a_link(queue: Path, away: Path) -> None:
    (queue / "withheld").symlink_to(away)


def _folder_is_open(queue: Path, away: Path) -> None:
    (queue / "withheld").mkdir()
    (queue / "withheld").chmod(0o755)


def _folder_is_a_file(queue: Path, away: Path) -> None:
    (queue / "withheld").write_text("")


def _folder_is_anothers(queue: Path, away: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give things away")
    (queue / "withheld").mkdir(mode=0o700)
    os.chown(queue / "withheld", 4711, 4711)


@pytest.mark.parametrize("broken", [_folder_is_a_link, _folder_is_open, _folder_is_a_file, _folder_is_anothers])
def test_a_place_that_is_not_safely_ours_is_refused_and_left_alone(
    queue: Path, tmp_path: Path, broken: Callable[[Path, Path], None]
) -> None:
    away = tmp_path / "away"
    away.mkdir(mode=0o700)
    broken(queue, away)
    for attempt in (lambda: withheld.put(queue, "one", VALUES), lambda: withheld.get(queue, "one"),
                    lambda: withheld.sweep(queue, lambda id: False)):
        with pytest.raises(QueueError) as error:
            attempt()
        assert error.value.code == "queue.withheld" and error.value.hint
    assert os.listdir(away) == []


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "readable"])
def test_a_file_that_is_not_safely_ours_is_not_read(queue: Path, tmp_path: Path, kind: str) -> None:
    withheld.put(queue, "one", VALUES)
    file, other = queue / "withheld/one", tmp_path / "other"
    if kind == "readable":
        file.chmod(0o644)
    elif kind == "hard link":
        os.link(file, other)
    else:
        file.unlink()
        if kind == "link":
            other.write_text('{"PATH": "/evil"}')
            other.chmod(0o600)
            file.symlink_to(other)
        else:
            os.mkfifo(file, 0o600)
    with pytest.raises(QueueError) as error:
        withheld.get(queue, "one")
    assert error.value.code == "queue.withheld"


def test_a_link_in_its_place_is_replaced_and_not_followed(queue: Path, tmp_path: Path) -> None:
    withheld.put(queue, "two", VALUES)
    (tmp_path / "other").write_text("mine")
    (queue / "withheld/one").symlink_to(tmp_path / "other")
    withheld.put(queue, "one", VALUES)
    assert withheld.get(queue, "one") == VALUES and (tmp_path / "other").read_text() == "mine"
    (queue / "withheld/.lock").unlink(missing_ok=True)
    (queue / "withheld/.lock").symlink_to(tmp_path / "other")
    with pytest.raises(QueueError) as error, withheld.sending(queue):
        raise AssertionError
    assert error.value.code == "queue.withheld"


@pytest.mark.parametrize("text", ["", "[]", '{"A": 1}', "\x00"])
def test_a_damaged_file_is_said(queue: Path, text: str) -> None:
    withheld.put(queue, "one", VALUES)
    (queue / "withheld/one").write_text(text)
    with pytest.raises(QueueError) as error:
        withheld.get(queue, "one")
    assert error.value.code == "queue.withheld" and "damaged" in error.value.what


def test_a_full_disk_leaves_nothing(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(withheld, "fsync", full)
    with pytest.raises(BareboatError) as error:
        withheld.put(queue, "one", VALUES)
    assert error.value.code == "store.full" and os.listdir(queue / "withheld") == []

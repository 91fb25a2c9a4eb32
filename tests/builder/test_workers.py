from __future__ import annotations

import os
from pathlib import Path

import pytest

from bareboat.builder.workers import Workers
from bareboat.errors import BareboatError
from bareboat.host.kernel import landlock_abi


@pytest.mark.skipif(landlock_abi() < 2, reason="needs Landlock, ABI 2")
def test_a_walled_worker_writes_in_its_directory_alone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "old").write_text("old")
    attempts = [
        lambda: (outside / "new").touch(), lambda: (outside / "old").write_text("new"),
        lambda: (outside / "old").unlink(),
        lambda: os.mkdir(outside / "d"), lambda: os.symlink("x", outside / "l"), lambda: os.mkfifo(outside / "p"),
        lambda: os.link(outside / "old", inside / "l"), lambda: os.rename(outside / "old", inside / "o"),
        lambda: os.truncate(outside / "old", 0)]

    def task(number: int) -> None:
        (inside / "sub").mkdir(exist_ok=True)
        (inside / f"{number}").write_text("x")
        os.link(inside / f"{number}", inside / f"sub/{number}")
        os.rename(inside / f"sub/{number}", inside / f"linked-{number}")
        if number < len(attempts):
            attempts[number]()

    for number in range(len(attempts)):
        with pytest.raises(BareboatError) as caught, Workers(1, task, inside) as workers:
            workers.submit(number)
            workers.results()
        assert "denied" in caught.value.what or "cross-device" in caught.value.what, caught.value.what
    with Workers(1, task, inside) as workers:
        workers.submit(len(attempts))
        workers.results()
    assert os.listdir(outside) == ["old"] and (outside / "old").read_text() == "old"
    assert sorted(n for n in os.listdir(inside) if n.startswith("linked")) == [
        f"linked-{n}" for n in range(len(attempts) + 1)]


def test_threads_are_over_before_what_they_read_from_is_closed() -> None:
    """Beside other threads the tasks run in threads: an error of the caller's must not close the pipe under them."""
    import threading

    let_go, ended = threading.Event(), []
    other = threading.Thread(target=let_go.wait)
    other.start()
    try:
        def task(number: int) -> None:
            let_go.wait(5)
            ended.append(number)

        with pytest.raises(KeyError), Workers(2, task) as workers:
            workers.submit(1)
            threading.Timer(0.05, let_go.set).start()
            raise KeyError
        assert not [t for t in threading.enumerate() if t.name.startswith("unpack-")]
    finally:
        let_go.set()
        other.join()

"""Wheels as trees of a real store: the same in every way of making them, and the same as uv installs."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.corpus.wheels.cases import cases
from tests.corpus.wheels.zipforge import FILENAME, Archive, wheel_parts

from bareboat.builder import wheels as builder
from bareboat.builder.wheels import (
    check_conflicts,
    fetch_and_unpack,
    make_wheel_tree,
    make_wheel_trees,
    wheel_tree_key,
)
from bareboat.builder.workers import Workers
from bareboat.errors import ArchiveError, BareboatError, ResolveError
from bareboat.host.process import Command, run
from bareboat.image.plan import EPOCH, interpreter
from bareboat.lock import Wheel
from bareboat.store import Store

PYTHON = interpreter("3.11", "3.11.2")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()


def wheel(data: bytes, filename: str = FILENAME, name: str = "demo") -> Wheel:
    return Wheel(name, "1.0", filename, "", hashlib.sha256(data).hexdigest(), len(data))


def family(count: int, files: dict[str, bytes]) -> list[tuple[Wheel, bytes]]:
    """Wheels demo0, demo1 … that all hold the files."""
    made = []
    for n in range(count):
        own = {f"demo{n}/__init__.py": b"n = %d\n" % n}
        data = Archive(wheel_parts({**files, **own}, info=f"demo{n}-1.0.dist-info")[1:]).build()
        rows = wheel_parts({**files, **own}, info=f"demo{n}-1.0.dist-info")
        data = Archive(rows).build()
        made.append((wheel(data, f"demo{n}-1.0-py3-none-any.whl", f"demo{n}"), data))
    return made


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        assert status.st_mtime == EPOCH and not path.is_symlink()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (stat.S_IMODE(status.st_mode), status.st_size if content else 0, content)
    return found


def test_a_tree_is_made_once_and_is_independent_of_the_umask(store: Store, tmp_path: Path) -> None:
    data = Archive(wheel_parts()).build()
    store.put_blob([data])
    first = make_wheel_tree(store, wheel(data), PYTHON)
    assert make_wheel_tree(store, wheel(data), PYTHON) == first
    other = Store.open(tmp_path / "other")
    other.put_blob([data])
    old = os.umask(0o077)
    try:
        second = make_wheel_tree(other, wheel(data), PYTHON)
    finally:
        os.umask(old)
        other.close()
    assert snapshot(first) == snapshot(second)


def test_what_is_refused_leaves_nothing(store: Store) -> None:
    for case in cases():
        if not case.verdict or case.verdict == "wheel.filename":
            continue
        store.put_blob([case.data])
        w = wheel(case.data, case.filename)
        with pytest.raises(ArchiveError) as caught:
            make_wheel_tree(store, w, PYTHON)
        assert caught.value.code == case.verdict
        assert store.tree(wheel_tree_key(w, PYTHON)) is None
    assert not list((store.home / "tmp").iterdir()) and not list((store.home / "trees").iterdir())


def test_parallel_gives_the_same(store: Store) -> None:
    made = family(12, {"shared/__init__.py": b""})
    for _, data in made:
        store.put_blob([data])
    trees = make_wheel_trees(store, [w for w, _ in made], PYTHON, jobs=3)
    assert trees == [store.tree(wheel_tree_key(w, PYTHON)) for w, _ in made]
    check_conflicts(store, [w for w, _ in made], PYTHON)


def test_parallel_with_threads_where_a_fork_is_unsafe(store: Store) -> None:
    made = family(5, {})
    for _, data in made:
        store.put_blob([data])
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert len(make_wheel_trees(store, [w for w, _ in made], PYTHON, jobs=2)) == 5
    finally:
        stop.set()
        other.join()


def test_a_bad_wheel_among_good_ones_is_named(store: Store) -> None:
    made = family(6, {})
    for _, data in made:
        store.put_blob([data])
    bad = next(c for c in cases() if c.name == "symbolic link")
    store.put_blob([bad.data])
    with pytest.raises(ArchiveError) as caught:
        make_wheel_trees(store, [*(w for w, _ in made), wheel(bad.data)], PYTHON, jobs=2)
    assert caught.value.code == "wheel.symlink" and FILENAME in caught.value.where


def test_a_worker_that_dies_is_an_error() -> None:
    with pytest.raises(BareboatError) as caught, Workers(2, lambda n: os.kill(os.getpid(), 9)) as workers:
        workers.submit(0)
        workers.results()
    assert caught.value.code == "wheel.worker"


def test_leaving_early_leaves_no_process() -> None:
    with pytest.raises(KeyboardInterrupt), Workers(2, lambda n: threading.Event().wait(60)) as workers:
        workers.submit(0)
        raise KeyboardInterrupt
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_fetch_and_unpack(store: Store, tmp_path: Path) -> None:
    wheels = []
    for w, data in family(4, {}):
        (tmp_path / w.filename).write_bytes(data)
        wheels.append(replace(w, url=(tmp_path / w.filename).as_uri()))
    trees = fetch_and_unpack(store, wheels, PYTHON)
    assert all(t.is_dir() for t in trees) and fetch_and_unpack(store, wheels, PYTHON) == trees
    with pytest.raises(ResolveError) as caught:
        fetch_and_unpack(store, [replace(wheels[0], sha256="0" * 64)], PYTHON)
    assert caught.value.code == "download.digest"
    with pytest.raises(ArchiveError) as missing:
        fetch_and_unpack(store, [replace(wheels[0], sha256="0" * 64, url="")], PYTHON)
    assert missing.value.code == "wheel.missing"


@pytest.mark.parametrize("notes_lost", [False, True])
def test_conflicts_between_wheels(store: Store, notes_lost: bool) -> None:
    (a, data_a), (b, _) = family(2, {"shared/x.py": b"1"})
    data_b = Archive(wheel_parts({"shared/x.py": b"2"}, info="demo1-1.0.dist-info")).build()
    b = wheel(data_b, b.filename, b.name)
    for data in (data_a, data_b):
        store.put_blob([data])
    make_wheel_trees(store, [a, b], PYTHON)
    if notes_lost:
        for key in store.keys("cache"):
            store.remove_json("cache", key)
    with pytest.raises(ArchiveError) as caught:
        check_conflicts(store, [a, b], PYTHON)
    assert caught.value.code == "wheel.conflict"
    assert a.filename in caught.value.what and b.filename in caught.value.what and "shared/x.py" in caught.value.where


@pytest.mark.live
def test_accepted_wheels_unpack_as_uv_installs_them(store: Store, tmp_path: Path) -> None:
    """Row 9's figure: accepted but different, 0. Left out: what is generated per installer, and bytecode."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not there")
    compared = 0
    for number, case in enumerate(c for c in cases() if not c.verdict):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / case.filename).write_bytes(case.data)
        env = {"PATH": "/usr/bin:/bin", "UV_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
        made = run(Command((str(uv), "venv", "-q", "--python", sys.executable, str(folder / "venv")), env))
        assert made.code == 0, made.stderr
        before = installed(folder / "venv").keys()
        python = str(folder / "venv/bin/python")
        done = run(
            Command(
                (
                    str(uv),
                    "pip",
                    "install",
                    "-q",
                    "--no-index",
                    "--no-deps",
                    "--python",
                    python,
                    str(folder / case.filename),
                ),
                env,
            )
        )
        if done.code:
            continue  # stricter than we are: nothing to compare
        compared += 1
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        store.put_blob([case.data])
        tree = make_wheel_tree(store, wheel(case.data, case.filename), interpreter(version, f"{version}.0"))
        ours = installed(tree / "opt/venv")
        theirs = installed(folder / "venv")
        assert ours == {k: v for k, v in theirs.items() if k not in before}, case.name
    assert compared >= 20


def installed(root: Path) -> dict[str, tuple[bool, bytes]]:
    """Path → (executable, content), without what each installer writes its own way."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.name
        if (
            path.is_dir()
            or path.is_symlink()
            or "__pycache__" in path.parts
            or name.startswith(("_virtualenv", "activate"))
        ):
            continue
        if name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", ".lock", "uv_cache.json", "uv_build.json"):
            continue
        content = path.read_bytes()
        if path.parent.name == "bin" and content.startswith(b"#!"):
            content = b"" if b"sys.exit(" in content else content.partition(b"\n")[2]
        found[str(path.relative_to(root))] = (bool(path.stat().st_mode & 0o100), content)
    return found


def test_the_workers_open_the_store_themselves(store: Store) -> None:
    assert builder.processors() >= 1 and store.home.is_dir()

"""SECURITY row 6: named archives that mean harm leave the canary as it was, with the second wall and without."""

from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.builder.layer_factory import image, put, tar
from tests.corpus.layers import canary
from tests.corpus.layers.cases import CASES, EXPECTED

from bareboat.builder import layers
from bareboat.builder.layers import image_tree_key, layer_tree_key, make_image_tree, unpack_layer
from bareboat.builder.workers import Workers
from bareboat.errors import ArchiveError
from bareboat.host.kernel import landlock_abi
from bareboat.store import Store


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return canary.make(tmp_path / "outside")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store.open(tmp_path / "home")
    yield found
    found.close()


def archives(name: str, outside: Path) -> list[bytes]:
    return [tar(layer) for layer in CASES[name](str(outside), "../" * 30 + str(outside).lstrip("/"))]


@pytest.mark.parametrize("walled", [False, True], ids=["alone", "walled"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_outside_is_touched(name: str, walled: bool, store: Store, outside: Path) -> None:
    before, beside = canary.seen(outside), sorted(os.listdir(outside.parent))
    made = image([put(store, data) for data in archives(name, outside)])
    code = ""
    try:
        if walled:
            root = make_image_tree(store, made)
        else:
            for layer in made.layers:
                unpack_layer(store, layer)
            root = layers._make(store, made)
    except ArchiveError as error:
        code = error.code
    assert canary.seen(outside) == before and sorted(os.listdir(outside.parent)) == beside
    assert code == EXPECTED[name]
    if code:
        assert store.tree(image_tree_key(made)) is None and not os.listdir(store.home / "tmp")
    else:
        check_harmless(root)


def check_harmless(root: Path) -> None:
    """Files, directories and links of ours, none of which gives anybody a right or is shut to us."""
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            status = os.lstat(f"{folder}/{name}")
            assert stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK), name
            assert not status.st_mode & 0o6000 or stat.S_ISLNK(status.st_mode), name
            assert status.st_uid == os.getuid() and status.st_mode & 0o400, name
            assert not os.listxattr(f"{folder}/{name}", follow_symlinks=False), name


def test_what_is_refused_in_one_layer_hides_no_other(store: Store, outside: Path) -> None:
    good, bad = put(store, archives("a link to /", outside)[0]), put(store, archives("a negative size", outside)[0])
    with pytest.raises(ArchiveError):
        make_image_tree(store, image([good, bad]))
    assert store.tree(layer_tree_key(bad.diff_id)) is None
    assert make_image_tree(store, image([good])).is_dir()


def python_extracts(data: list[bytes], to: Path) -> None:
    """A control: Python's own extraction with its filter, layer on layer."""
    to.mkdir()
    for layer in data:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            archive.extractall(to, filter="data")


def naive_extracts(data: list[bytes], to: Path) -> None:
    """A control: text is checked, then the kernel resolves the path. Sets no modes, for it may reach anything."""
    to.mkdir()
    for layer in data:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive:
                path = to / member.name.lstrip("/")
                if os.path.normpath(path).startswith(str(to)):
                    with suppress(OSError):
                        naive_extract(member, path, to)


def naive_extract(member: tarfile.TarInfo, path: Path, to: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        os.link(to / member.linkname, path)
    elif member.isreg():
        path.write_bytes(b"escaped")


def escapes(control: Callable[[list[bytes], Path], None], place: Path) -> list[str]:
    """The named cases in which a control touches the canary. It runs where it can write below `place` alone."""
    found = place / "found"
    place.mkdir()

    def task(_: int) -> None:
        names = []
        os.chdir(place)
        for number, name in enumerate(CASES):
            outside = canary.make(place / f"{number}/outside")
            before = canary.seen(outside)
            try:
                control(archives(name, outside), place / f"{number}/to")
            except Exception:  # it is broken, and Python's tarfile lets many through
                pass
            if canary.seen(outside) != before:
                names.append(name)
        found.write_text("\n".join(names))

    with Workers(1, task, place) as worker:
        worker.submit(0)
        worker.results()
    return found.read_text().splitlines()


@pytest.mark.skipif(landlock_abi() < 2, reason="a control is not let loose without a wall around it")
def test_the_canary_tells_of_wrong_extractors(tmp_path: Path) -> None:
    """Checking names as text is caught by many cases; filter="data" by the one that goes past the longest path."""
    assert len(escapes(naive_extracts, tmp_path / "naive")) >= 8
    fixed = {(3, 10): 18, (3, 11): 13, (3, 12): 11, (3, 13): 4}  # CPython repaired its filter during 2025
    if hasattr(tarfile, "data_filter") and sys.version_info[2] < fixed.get(sys.version_info[:2], 0):
        assert escapes(python_extracts, tmp_path / "data") == ["past the longest path"]

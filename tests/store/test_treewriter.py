from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.errors import ArchiveError
from bareboat.image.plan import EPOCH
from bareboat.store.manifest import differences, dump, parse
from bareboat.store.treewriter import Limits, TreeWriter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def writer(root: Path) -> Iterator[TreeWriter]:
    made = TreeWriter(root, where="x.whl")
    yield made
    made.close()


def test_everything_has_the_mode_and_time_it_was_given(root: Path) -> None:
    old = os.umask(0o077)
    try:
        writer = TreeWriter(root)
        writer.directory("shut", 0o555)
        writer.file("shut/inside", 0o644, [b"a", b"b"])
        writer.file("bin/tool", 0o755, [b"#!"])
        writer.symlink("bin/link", "tool")
        writer.hardlink("bin/second", "bin/tool")
        writer.directory("tmp", 0o1777)
        writer.finish()
    finally:
        os.umask(old)
    modes = {str(p.relative_to(root)): stat.S_IMODE(p.lstat().st_mode) for p in root.rglob("*")}
    assert modes == {"shut": 0o555, "shut/inside": 0o644, "bin": 0o755, "bin/tool": 0o755, "bin/link": 0o777,
                     "bin/second": 0o755, "tmp": 0o1777}  # fmt: skip
    assert {p.lstat().st_mtime for p in (root, *root.rglob("*"))} == {EPOCH}
    assert (root / "bin/second").stat().st_ino == (root / "bin/tool").stat().st_ino
    assert (root / "shut/inside").read_bytes() == b"ab"


BAD = ["", "/etc/passwd", "a/../b", "..", ".", "a/./b", "a//b", "a/", "a\0b", ".wh.x", "a/.wh..wh..opq",
       "n" * 256, "é" * 128, "/".join("d" * 65), "/".join(["n" * 200] * 30)]  # fmt: skip


@pytest.mark.parametrize("path", BAD)
@pytest.mark.parametrize("how", ["file", "directory", "symlink", "hardlink"])
def test_bad_paths_are_refused_and_nothing_is_made(
    root: Path, writer: TreeWriter, path: str, how: str
) -> None:
    writer.file("x", 0o644, [])
    calls: dict[str, Callable[[], None]] = {
        "file": lambda: writer.file(path, 0o644, [b"x"]),
        "directory": lambda: writer.directory(path),
        "symlink": lambda: writer.symlink(path, "x"),
        "hardlink": lambda: writer.hardlink(path, "x"),
    }
    with pytest.raises(ArchiveError) as error:
        calls[how]()
    assert error.value.code.startswith("tree.") and "x.whl" in error.value.where
    assert [p.name for p in root.iterdir()] == ["x"]


def test_no_name_twice_and_no_file_where_a_directory_is(writer: TreeWriter) -> None:
    writer.file("a/b", 0o644, [b"1"])
    for call, code in [
        (lambda: writer.file("a/b", 0o644, []), "tree.duplicate"),
        (lambda: writer.symlink("a/b", "x"), "tree.duplicate"),
        (lambda: writer.file("a", 0o644, []), "tree.clash"),
        (lambda: writer.file("a", 0o644, [], replace=True), "tree.clash"),
        (lambda: writer.directory("a/b"), "tree.clash"),
        (lambda: writer.file("a/b/c", 0o644, []), "tree.clash"),
        (lambda: writer.hardlink("a/b", "a/b"), "tree.duplicate"),
        (lambda: writer.hardlink("l", "a"), "tree.bad-link"),
        (lambda: writer.hardlink("l", "nowhere"), "tree.bad-link"),
        (lambda: writer.hardlink("l", "../outside"), "tree.bad-path"),
        (lambda: writer.symlink("l", ""), "tree.bad-link"),
        (lambda: writer.symlink("l", "x" * 5000), "tree.bad-link"),
    ]:  # fmt: skip
        with pytest.raises(ArchiveError) as error:
            call()
        assert error.value.code == code
    writer.directory("a", 0o700)  # a directory twice is the usual case


def test_replace_takes_the_last(root: Path, writer: TreeWriter) -> None:
    writer.file("a", 0o644, [b"1"])
    writer.file("a", 0o755, [b"22"], replace=True)
    writer.symlink("a", "b", replace=True)
    writer.file("a", 0o644, [b"333"], replace=True)
    assert (root / "a").read_bytes() == b"333" and writer.entries == 1


def test_nothing_goes_through_a_link(root: Path, writer: TreeWriter, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    writer.symlink("d", str(outside))
    with pytest.raises(ArchiveError) as error:
        writer.file("d/x", 0o644, [b"stolen"])
    assert error.value.code == "tree.clash" and list(outside.iterdir()) == []


def test_a_link_put_there_behind_its_back_is_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    writer = TreeWriter(root)
    for i in range(200):  # so that the descriptor of the first has been let go
        writer.directory(f"d{i}")
        writer.file(f"d{i}/x", 0o644, [])
    (root / "d0" / "x").unlink()
    (root / "d0").rmdir()
    (root / "d0").symlink_to(outside)
    with pytest.raises(Exception, match="d0"):
        writer.file("d0/y", 0o644, [b"stolen"])
    assert list(outside.iterdir()) == []
    writer.close()


def test_bombs_stop_at_the_limit(root: Path) -> None:
    writer = TreeWriter(root, limits=Limits(bytes=10, entries=3, depth=2, name=5))
    for call, code in [
        (lambda: writer.file("a", 0o644, iter(lambda: b"x" * 8, b"")), "tree.too-large"),
        (lambda: writer.directory("a/b/c"), "tree.too-deep"),
        (lambda: writer.file("sixsix", 0o644, []), "tree.long-name"),
    ]:
        with pytest.raises(ArchiveError) as error:
            call()
        assert error.value.code == code
    assert sum(p.stat().st_size for p in root.iterdir() if p.is_file()) <= 10
    with pytest.raises(ArchiveError) as error:
        for i in range(5):
            writer.file(f"f{i}", 0o644, [])
    assert error.value.code == "tree.too-many"
    writer.close()


def test_linked_files_cost_no_bytes_and_are_copied_where_links_fail(
    root: Path, writer: TreeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"data")
    source.chmod(0o755)
    writer.link_file(source, "linked")
    assert (root / "linked").stat().st_ino == source.stat().st_ino

    def refuse(*args: object, **named: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    writer.link_file(source, "copied")
    assert (root / "copied").read_bytes() == b"data"
    assert stat.S_IMODE((root / "copied").stat().st_mode) == 0o755
    (tmp_path / "link").symlink_to("elsewhere")
    writer.link_file(tmp_path / "link", "l")
    assert os.readlink(root / "l") == "elsewhere"


def test_more_directories_than_descriptors(root: Path) -> None:
    writer = TreeWriter(root)
    for i in range(400):
        writer.file(f"a{i % 20}/b{i % 7}/c{i}/x", 0o644, [b"%d" % i])
    entries = writer.finish()
    assert sum(1 for _ in root.rglob("x")) == 400
    assert list(differences(str(root), entries, content=True)) == []


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.lists(names, min_size=1, max_size=4).map("/".join), st.binary(max_size=50), max_size=20
    )
)
def test_what_is_written_is_what_the_manifest_says(files: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        writer = TreeWriter(Path(folder))
        for path, data in files.items():
            try:
                writer.file(path, 0o644, [data])
            except ArchiveError:
                continue
        entries = writer.finish()
        for path, entry in entries.items():
            if entry.kind == "f":
                assert Path(folder, path).read_bytes() == files[path]
        again = parse(dump(entries), "")
        assert again == entries
        assert list(differences(folder, again, content=True)) == []


@pytest.mark.parametrize("add", [
    lambda w: w.file("Readme", 0o644, [b""]), lambda w: w.directory("Readme"), lambda w: w.symlink("Readme", "x"),
])  # fmt: skip
def test_a_name_that_the_file_system_takes_for_another_is_told(root: Path, add: Callable[[TreeWriter], None]) -> None:
    writer = TreeWriter(root)
    (root / "Readme").write_bytes(b"")  # as after "README" on a file system that folds case
    with pytest.raises(ArchiveError) as caught:
        add(writer)
    writer.close()
    assert caught.value.code == "tree.folded"

"""What a tree says is installed in it, also where the tree is a stranger's."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.builder.contents import contents, read_tree
from bareboat.image.inventory import Told
from bareboat.store import Store


def put(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def told(found: Told) -> set[tuple[str, str, str, str]]:
    return {(p.kind, p.name, p.version, p.architecture) for p in found.packages}


DPKG = """\
Package: libc6
Status: install ok installed
Version: 2.41-1
Architecture: amd64
Description: long
 Package: not a field

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: amd64
"""


def test_each_kind_of_database_is_read(tmp_path: Path) -> None:
    put(tmp_path, "var/lib/dpkg/status", DPKG)
    put(tmp_path, "var/lib/dpkg/status.d/bash", "Package: bash\nVersion: 5\nArchitecture: arm64\n")
    put(tmp_path, "var/lib/dpkg/status.d/bash.md5sums", "d41d8cd98f00b204e9800998ecf8427e  bin/bash\n")
    put(tmp_path, "lib/apk/db/installed", "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:libc.so\n\nP:zlib\nV:1.3\n\n")
    put(tmp_path, "usr/lib/python3/dist-packages/six-1.16.egg-info", "Name: six\nVersion: 1.16\n")
    put(tmp_path, "opt/x/old.egg-info/PKG-INFO", "Name: old\nVersion: 3\n")
    put(tmp_path, "opt/venv/lib/a-1.dist-info/METADATA", "Name: a\nVersion: 1\n\nName: body\nVersion: 9\n")
    put(tmp_path, "opt/conda/conda-meta/blas-1.0-mkl.json", '{"name": "blas", "version": "1.0", "subdir": "linux-64"}')
    found = read_tree(tmp_path)
    assert found.notes == ()
    assert told(found) == {
        ("deb", "libc6", "2.41-1", "amd64"), ("deb", "bash", "5", "arm64"), ("apk", "musl", "1.2.5-r0", "x86_64"),
        ("apk", "zlib", "1.3", ""), ("pypi", "six", "1.16", ""), ("pypi", "old", "3", ""), ("pypi", "a", "1", ""),
        ("conda", "blas", "1.0", "linux-64")}


@pytest.mark.parametrize(("text", "system"), [
    ('NAME="Debian"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n', ("debian", "bookworm")),
    ('ID="alpine"\nVERSION_ID=3.20.1\n', ("alpine", "3.20.1")), ("", ("", "")), ("ID=a b\n", ("", ""))])
def test_the_distribution(tmp_path: Path, text: str, system: tuple[str, str]) -> None:
    put(tmp_path, "usr/lib/os-release", text)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("../usr/lib/os-release")
    assert read_tree(tmp_path).system == system


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    put(tmp_path, "var/lib/rpm/rpmdb.sqlite", "")
    put(tmp_path, "a-1.dist-info/METADATA", "no name here\n")
    put(tmp_path, "conda-meta/x.json", "{")
    big = put(tmp_path, "b-1.dist-info/METADATA", "Name: b\nVersion: 1\n")
    os.truncate(big, 5 << 20)
    notes = read_tree(tmp_path).notes
    assert len(notes) == 4 and not read_tree(tmp_path).packages
    for path in ("rpmdb.sqlite is an RPM database", "a-1.dist-info", "b-1.dist-info", "conda-meta/x.json"):
        assert any(path in note for note in notes), path


@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_lead_nowhere(tmp_path: Path, what: str) -> None:
    secret = put(tmp_path / "host", "x-1.dist-info/METADATA", "Name: secret\nVersion: 1\n")
    root = tmp_path / "root"
    root.mkdir()
    if what == "file":
        (root / "a-1.dist-info").mkdir()
        (root / "a-1.dist-info/METADATA").symlink_to(secret)
    else:
        (root / "a-1.dist-info").symlink_to(secret.parent)
    assert read_tree(root).packages == ()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a-1.dist-info").mkdir()
    os.mkfifo(tmp_path / "a-1.dist-info/METADATA")
    assert "no regular file" in read_tree(tmp_path).notes[0]


def test_the_upper_tree_counts_and_each_is_read_once(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home")

    def tree(key: str, **files: str) -> None:
        def fill(writer):  # type: ignore[no-untyped-def]
            for path, text in files.items():
                writer.file(path.replace("__", "/"), 0o644, [text.encode()])

        store.make_tree(key, fill)

    tree("low", **{"var__lib__dpkg__status": DPKG, "a-1.dist-info__METADATA": "Name: a\nVersion: 1\n"})
    tree("high", var__lib__dpkg__status=DPKG.replace("2.41-1", "2.42-1"))
    found = contents(store, ("low", "high", "missing"))
    assert told(found) == {("deb", "libc6", "2.42-1", "amd64"), ("pypi", "a", "1", "")}
    assert contents(store, ("low", "high")) == found
    assert {key for key in store.keys("cache") if key.startswith("contents-")} == {"contents-2-low", "contents-2-high"}


def test_names_that_are_not_utf8_are_written_out(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff-1.dist-info"
    os.mkdir(folder)
    Path(os.fsdecode(folder), "METADATA").write_text("Name: odd\nVersion: 1\n")
    [package] = read_tree(tmp_path).packages
    assert package.path == "\\xff-1.dist-info/METADATA" and package.path.encode()


@given(st.sampled_from(["var/lib/dpkg/status", "var/lib/dpkg/status.d/x", "lib/apk/db/installed", "a.egg-info",
                        "a.dist-info/METADATA", "conda-meta/x.json"]),
       st.one_of(st.binary(max_size=300), st.lists(st.sampled_from(
           ["Package: a", "Version: 1", "Status: install ok installed", "Status: x", "P:b", "V:2", "Name: c", "Name:",
            " folded", "", "{", '{"name": 1, "version": []}', "[]", "\0", ":", "\r"]), max_size=12).map(
           lambda lines: "\n".join(lines).encode())))
@settings(deadline=None, max_examples=150)
def test_whatever_the_file_holds_is_read_or_said(path: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        found = read_tree(Path(folder))
    for package in found.packages:
        assert package.name and package.version and package.path == path
        assert json.dumps([package.name, package.version]).isascii()
    assert not found.notes or path in found.notes[0]

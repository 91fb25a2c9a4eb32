"""Directories, origins: what a lock is made from and what of it can be made again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bareboat.errors import BareboatError
from bareboat.lock import Wheel
from bareboat.resolve.python.building import build_system
from bareboat.resolve.python.directories import copy_source, directory_digest
from bareboat.resolve.python.locking import lock_wheels
from bareboat.resolve.python.origins import Origin, git_reference, pylock_source
from bareboat.resolve.python.restoring import restore, source_line
from bareboat.resolve.python.rewriting import stands

from .conftest import Folder, HostRoom, Index, sdist_bytes, source_files


def tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_directory_digest_is_of_content_alone(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", a="1", pkg__data__x="2")
    two = tree(tmp_path / "two", pkg__data__x="2", a="1")
    os.utime(two / "a", (1, 1))
    (two / "a").chmod(0o600)
    tree(two, build__junk="x", **{".git__HEAD": "x", "pkg__m.pyc": "x", "x.egg-info__PKG": "x"})
    assert directory_digest(one) == directory_digest(two)
    for change in ({"a": "3"}, {"b": ""}, {"pkg__data__y": "2"}):
        assert directory_digest(
            tree(tmp_path / str(change), **{"a": "1", "pkg__data__x": "2", **change})
        ) != directory_digest(one)
    (two / "a").chmod(0o700)
    assert directory_digest(one) != directory_digest(two)


def test_a_copy_holds_what_was_digested(tmp_path: Path) -> None:
    folder = tree(tmp_path / "p", a="1", data__big="x", build__junk="x", src__data__small="y")
    (folder / "link").symlink_to("a")
    copy_source(folder, tmp_path / "copy")
    assert directory_digest(tmp_path / "copy") == directory_digest(folder)
    copy_source(folder, tmp_path / "own", project=True)
    assert sorted(p.name for p in (tmp_path / "own").iterdir()) == ["a", "link", "src"]
    assert (tmp_path / "own/src/data/small").exists()


@pytest.mark.parametrize(
    ("text", "url", "revision", "subdirectory"),
    [
        ("git+https://git.example/a/b.git", "https://git.example/a/b.git", "", ""),
        ("git+https://u:p@git.example/a@v1#egg=b&subdirectory=c", "https://u:p@git.example/a", "v1", "c"),
        ("git+ssh://git@git.example/a.git@main", "ssh://git@git.example/a.git", "main", ""),
    ],
)
def test_git_references(text: str, url: str, revision: str, subdirectory: str) -> None:
    reference = git_reference(text)
    assert (reference.url, reference.revision, reference.subdirectory) == (url, revision, subdirectory)
    assert "u:p" not in reference.built_from("abc") + reference.direct_url("abc")


WHEEL = Wheel("x", "1", "x-1-py3-none-any.whl", "", "a" * 64, 1)


@pytest.mark.parametrize(
    ("built_from", "direct", "expected"),
    [
        (
            "https://files.example/x-1.tar.gz#sha256=" + "b" * 64,
            {},
            'sdist = { url = "https://files.example/x-1.tar.gz", hashes = { sha256 = "' + "b" * 64 + '" } }',
        ),
        (
            "./v/x-1.tar.gz#sha256=" + "b" * 64 + "&subdirectory=s",
            {"url": "x"},
            'archive = { path = "v/x-1.tar.gz", hashes = { sha256 = "' + "b" * 64 + '" }, subdirectory = "s" }',
        ),
        ("./pkg/#sha256=" + "b" * 64, {"url": "x"}, 'directory = { path = "pkg" }'),
        (
            "git+https://git.example/x@" + "c" * 40,
            {"vcs_info": {"requested_revision": "main"}},
            'vcs = { type = "git", url = "https://git.example/x", requested-revision = "main", commit-id = "'
            + "c" * 40
            + '" }',
        ),
    ],
)
def test_pylock_names_the_source_of_a_built_wheel(built_from: str, direct: dict[str, object], expected: str) -> None:
    wheel = replace(WHEEL, built_from=built_from, direct_url=json.dumps(direct) if direct else "")
    assert pylock_source(wheel) == expected


def test_a_build_system_is_read_without_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "x-1.0.tar.gz"
    path.write_bytes(sdist_bytes("x", "1.0"))
    assert build_system(Origin("x", path, "", "")).backend == "backend"
    empty = tree(tmp_path / "old", **{"setup.py": ""})
    assert build_system(Origin("x", empty, "", "")).backend == "setuptools.build_meta:__legacy__"
    broken = tree(tmp_path / "new", **{"pyproject.toml": "[build-system]\n"})
    with pytest.raises(BareboatError) as e:
        build_system(Origin("x", broken, "", ""))
    assert e.value.code == "python.build-system"
    path.write_bytes(b"no archive")
    with pytest.raises(BareboatError) as e:
        build_system(Origin("x", path, "", ""))
    assert e.value.code == "python.archive"


def test_a_built_wheel_is_made_again_on_another_machine(project: Folder, index: Index, tmp_path: Path) -> None:
    index.sdist("old", "1.5")
    for name, text in source_files("mine", "0.1").items():
        project.write(f"mine/{name}", text)
    project.write("requirements.txt", "old\n./mine\n")
    wheels = lock_wheels(project.request(), HostRoom(tmp_path / "here")).wheels
    there = HostRoom(tmp_path / "there")
    assert restore(wheels, project.request(), there) == wheels
    assert all(there.blob(w.sha256) for w in wheels)
    assert restore(wheels, project.request(), there) == ()
    # the control: another digest in the lock is not quietly replaced
    other = replace(wheels[1], sha256="0" * 64)
    with pytest.raises(BareboatError) as e:
        restore((other,), project.request(), HostRoom(tmp_path / "third"))
    assert e.value.code == "lock.rebuilt-differs"
    project.write("mine/code.py", "X = 9\n")
    with pytest.raises(BareboatError) as e:
        restore(wheels, project.request(), HostRoom(tmp_path / "fourth"))
    assert e.value.code == "lock.source-changed"


def test_a_wheel_linked_with_another_c_library_does_not_stand(project: Folder) -> None:
    request = project.request()
    linked = replace(WHEEL, filename="x-1-cp313-cp313-linux_x86_64.whl")
    assert stands(WHEEL, request)
    assert not stands(linked, request)
    assert stands(replace(linked, built_with="setuptools==80.0 on glibc 2.41"), request)
    assert not stands(replace(linked, built_with="setuptools==80.0 on glibc 2.31"), request)
    assert not stands(replace(linked, filename="x-1-cp311-cp311-linux_x86_64.whl", built_with="on glibc 2.41"), request)


def test_built_from_reads_back_as_a_requirement() -> None:
    for text, kind in (
        ("./pkg/#sha256=aa", "directory"),
        ("git+https://git.example/x@" + "c" * 40, "vcs"),
        ("https://files.example/x-1.tar.gz#sha256=aa", "archive"),
        ("./x-1-py3-none-any.whl#sha256=aa", "wheel"),
    ):
        assert source_line(replace(WHEEL, built_from=text)).kind == kind

from __future__ import annotations

import pytest

from bareboat.errors import BareboatError
from bareboat.resolve.python.locking import lock_wheels
from bareboat.resolve.python.uvsources import with_sources

from .conftest import TARGET, Folder, HostRoom, Index, source_files


def document(**sources: object) -> dict[str, object]:
    return {"tool": {"uv": {"sources": sources}}}


def test_paths_commits_and_urls_become_direct_references() -> None:
    said = document(
        near={"path": "libs/near"},
        far={"git": "https://git.example/far", "tag": "v1", "subdirectory": "py"},
        file={"url": "https://files.example/file-1.0.tar.gz"},
        pinned={"index": "own"},
    )
    texts = ("Near[b,a]>=1; python_version > '3'", "far", "file", "pinned==1", "plain")
    assert with_sources(said, texts, TARGET) == (
        'Near[a,b] @ ./libs/near ; python_version > "3"',
        "far @ git+https://git.example/far@v1#subdirectory=py",
        "file @ https://files.example/file-1.0.tar.gz",
        "pinned==1",
        "plain",
    )
    assert with_sources({"tool": 3}, texts, TARGET) == texts


def test_the_targets_markers_choose_among_entries() -> None:
    entries = [{"path": "win", "marker": "sys_platform == 'win32'"}, {"path": "lin", "marker": "os_name == 'posix'"}]
    assert with_sources(document(a=entries), ("a",), TARGET) == ("a @ ./lin",)
    assert with_sources(document(a=entries[:1]), ("a",), TARGET) == ("a",)


def test_a_workspace_member_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(BareboatError) as e:
        with_sources(document(a={"workspace": True}), ("a",), TARGET)
    assert e.value.code == "python.workspace"


def test_a_path_source_is_built_and_locked(project: Folder, index: Index, room: HostRoom) -> None:
    for name, text in source_files("near", "1.0").items():
        project.write(f"libs/near/{name}", text)
    index.wheel("lib", "1.0")
    project.write(
        "pyproject.toml",
        '[project]\nname = "me"\nversion = "1"\ndependencies = ["near", "lib"]\n'
        '[tool.uv.sources]\nnear = {path = "libs/near"}\n',
    )
    locked = lock_wheels(project.request("pyproject.toml", source="pyproject"), room)
    assert [w.name for w in locked.wheels] == ["lib", "near"]
    assert locked.wheels[1].built_from.startswith("./libs/near/#")


def test_a_git_source_is_pinned(project: Folder, room: HostRoom, git_repository) -> None:
    url, commit = git_repository("inrepo", "1.0")
    project.write(
        "pyproject.toml",
        '[project]\nname = "me"\nversion = "1"\ndependencies = ["inrepo"]\n'
        f'[tool.uv.sources]\ninrepo = {{git = "{url}", branch = "main"}}\n',
    )
    locked = lock_wheels(project.request("pyproject.toml", source="pyproject"), room)
    assert locked.wheels[0].built_from == f"git+{url}@{commit}"

from __future__ import annotations

import os

import pytest

from bareboat.store.codewalk import CodeRules, walk


@pytest.fixture
def project(tmp_path):
    for name in (
        "src/a.py",
        "src/__pycache__/a.pyc",
        "data/x",
        "results/y",
        ".git/HEAD",
        "venv/pyvenv.cfg",
        "venv/lib/z.py",
        "nb/.ipynb_checkpoints/n",
        "nb/n.ipynb",
        "rerun-0a1b2c/results/r",
        "rerun-notes/n",
        "src/rerun-0a1b2c/kept",
        "build/out.o",
        "requirements.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def paths(root, **rules):
    return [f.path for f in walk(root, CodeRules(**rules))[0]]


def test_never_data_environments_caches_and_repetitions(project):
    assert paths(project, exclude=("data", "results")) == [
        "build/out.o",
        "nb/n.ipynb",
        "requirements.txt",
        "rerun-notes/n",
        "src/a.py",
        "src/rerun-0a1b2c/kept",
    ]


def test_only_what_is_named(project):
    assert paths(project, only=("src", "requirements.txt", "absent.toml")) == [
        "requirements.txt",
        "src/a.py",
        "src/rerun-0a1b2c/kept",
    ]
    assert paths(project, only=("src", "src/a.py")).count("src/a.py") == 1


def test_git_knows_best(project):
    (project / ".gitignore").write_text("src/\n")  # not asked when git answered
    assert "src/a.py" in paths(project, ignored=("build/", "nb/n.ipynb"))
    assert "build/out.o" not in paths(project, ignored=("build/", "nb/n.ipynb"))


def test_ignore_files_count_without_git(project):
    (project / ".gitignore").write_text("*.o\n/nb/\n!src/\n")
    (project / "src/.gitignore").write_text("kept\n")
    (project / "src/deep").mkdir()
    (project / "src/deep/x.o").write_text("")
    (project / "src/deep/y.py").write_text("")
    found = paths(project, exclude=("data", "results"))
    assert "build/out.o" not in found and "nb/n.ipynb" not in found and "src/deep/x.o" not in found
    assert "src/deep/y.py" in found and "src/rerun-0a1b2c/kept" not in found
    assert "src/deep/x.o" not in paths(project, only=("src/deep",))


def test_bareboatignore_counts_beside_git(project):
    (project / ".bareboatignore").write_text("nb\n")
    assert "nb/n.ipynb" not in paths(project, ignored=())


def test_deeper_rules_win(project):
    (project / ".gitignore").write_text("*.py\n")
    (project / "src/.gitignore").write_text("!a.py\n")
    assert "src/a.py" in paths(project)


def test_links_are_never_followed_and_order_is_of_bytes(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "p/loop").symlink_to("..")
    for name in (b"\xff", "é".encode(), b"a", b"B"):
        open(os.fsencode(tmp_path / "p") + b"/" + name, "w").close()
    found = walk(tmp_path / "p", CodeRules())[0]
    assert [os.fsencode(f.path) for f in found] == [b"B", b"a", b"loop", "é".encode(), b"\xff"]
    assert found[2].kind == "l" and found[2].target == ".."


def test_an_unreadable_folder_is_named(project, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("/nb"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, unreadable = walk(project, CodeRules())
    assert unreadable == ("nb",) and "src/a.py" in [f.path for f in found]


def test_ignore_files_that_are_no_text_are_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".bareboatignore")
    (tmp_path / ".gitignore").symlink_to("/dev/zero")
    (tmp_path / "a.py").write_text("")
    found, _ = walk(tmp_path, CodeRules())
    assert [f.path for f in found if f.kind == "f"] == ["a.py"]


@pytest.mark.parametrize("bad", ["\\", "x\\", "!", "[", "\x00", "//", "\udcff\\"])
def test_a_line_that_is_no_pattern_ignores_nothing(tmp_path, bad):
    (tmp_path / ".bareboatignore").write_bytes(f"{bad}\n*.pyc\n".encode("utf-8", "surrogateescape"))
    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.pyc").write_text("")
    found, _ = walk(tmp_path, CodeRules())
    assert [f.path for f in found] == [".bareboatignore", "a.py"]

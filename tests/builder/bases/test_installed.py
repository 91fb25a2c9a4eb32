from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builder.bases import tree_kit
from tests.builder.bases.test_pythons import python
from tests.builder.bases.tree_kit import SITE, Tree

from bareboat.builder.bases.inside import Inside
from bareboat.builder.bases.installed import Found, find_installed
from bareboat.resolve.python.installed import Installed


def found(tree: Tree, **said: object) -> Found:
    return find_installed(Inside(tree.root), python(tree, **said))


def one(tree: Tree, name: str, **said: object) -> Installed:
    return next(p for p in found(tree, **said).packages if p.name == name)


def test_a_package_owns_its_record_and_whole_directories_as_one(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).file(f"{SITE}/pip/__pycache__/__init__.cpython-312.pyc")
    assert one(tree, "pip").owned == ("usr/local/bin/pip", f"{SITE[1:]}/pip", f"{SITE[1:]}/pip-24.2.dist-info")


def test_what_another_package_has_as_well_is_nobodys(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path)
    tree.package(SITE, "a", "1", ("nvidia/__init__.py", "nvidia/a.so"))
    tree.package(SITE, "b", "1", ("nvidia/__init__.py", "nvidia/b.so"))
    assert one(tree, "a").owned == (f"{SITE[1:]}/a-1.dist-info", f"{SITE[1:]}/nvidia/a.so")


@pytest.mark.parametrize("row", ["../../../../bin/sh", "/bin/sh", "../../../../../../../bin/sh", "../../../lib/libc.so",
                                 "../os.py", "../../../bin/python3.12", "linked/sh", "a/../../../../../../bin/sh", "",
                                 "../../../bin/", "bin\0"])
def test_a_record_owns_nothing_outside_of_its_scheme(row: str, tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).file("/bin/sh").file("/usr/local/lib/libc.so")
    tree.link(f"{SITE}/linked", "/bin")
    tree.package(SITE, "evil", "1", ("evil.py",), record=f"evil.py,,\n{row},,\n")
    assert one(tree, "evil").owned == (f"{SITE[1:]}/evil-1.dist-info", f"{SITE[1:]}/evil.py")


@pytest.mark.parametrize("metadata", ["", "Name: x\n", "Name: x\nVersion: not a version\n", "\0\xff"])
def test_broken_metadata_does_not_count_and_is_noted(metadata: str, tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).file(f"{SITE}/x.dist-info/METADATA", metadata)
    answer = found(tree)
    assert [p.name for p in answer.packages] == ["pip"]
    assert answer.notes == (f"{SITE}/x.dist-info has no name and version that can be read, and does not count",)


def test_metadata_without_a_version_is_read_from_its_name(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).file(f"{SITE}/x_y-1.5.dist-info/METADATA", "Summary: no\n")
    assert one(tree, "x-y").version == "1.5"


def test_of_two_versions_the_newer_counts_and_both_are_owned(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).package(SITE, "a", "1.9", ("a.py",)).package(SITE, "a", "1.10", ("a.py",))
    answer = found(tree)
    a = next(p for p in answer.packages if p.name == "a")
    assert a.version == "1.10"
    assert a.owned == (f"{SITE[1:]}/a-1.10.dist-info", f"{SITE[1:]}/a-1.9.dist-info", f"{SITE[1:]}/a.py")
    assert answer.notes == ("a is there more than once: 1.10 counts, beside 1.9",)


def test_the_first_site_on_the_way_wins(tmp_path: Path) -> None:
    tree = tree_kit.debian(tmp_path)
    tree.package("/usr/local/lib/python3.11/dist-packages", "six", "1.15", ("six.py",))
    assert one(tree, "six").version == "1.15"


def test_debians_packages_have_their_files_from_dpkg(tmp_path: Path) -> None:
    six = one(tree_kit.debian(tmp_path), "six")
    site = "usr/lib/python3/dist-packages"
    assert six.recorded and not six.compiled
    assert six.owned == (f"{site}/six-1.16.0.egg-info", f"{site}/six.py")


def test_a_package_that_lists_no_files_owns_its_metadata_alone(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).file(f"{SITE}/old-1.egg-info/PKG-INFO", "Name: old\nVersion: 1\n")
    tree.file(f"{SITE}/old/core.cpython-312.so")
    old = one(tree, "old")
    assert (old.recorded, old.compiled, old.owned) == (False, True, (f"{SITE[1:]}/old-1.egg-info",))


def test_what_is_compiled_and_what_it_asks_for(tmp_path: Path) -> None:
    torch = one(tree_kit.conda(tmp_path), "torch", env=(("PATH", "/opt/conda/bin"),))
    assert (torch.compiled, torch.requires) == (True, ("filelock",))
    assert not one(tree_kit.docker_python(tmp_path / "x"), "pip").compiled


def test_packages_of_a_pth_are_packages_too(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).file(f"{SITE}/e.pth", "/workspace/src\nimport os; os.abort()\n")
    tree.file("/workspace/src/e.egg-info/PKG-INFO", "Name: e\nVersion: 0.1\n")
    assert one(tree, "e").version == "0.1"


PARTS = st.sampled_from(["..", ".", "", "bin", "sh", "lib", "python3.12", "os.py", "evil.py", "linked",
                         "/", "\0", '"', "a"])
ROWS = st.lists(st.lists(PARTS, max_size=9).map("/".join), max_size=8)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_no_record_reaches_out_of_its_scheme(rows: list[str], tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    if not (tmp_path / "bin/sh").exists():
        tree_kit.docker_python(tmp_path).file("/bin/sh").file("/usr/local/lib/sh").file("/usr/local/bin/sh")
        tree.link(f"{SITE}/linked", "/bin").link(f"{SITE}/a", "../../..")
    (tmp_path / f"{SITE[1:]}/evil-1.dist-info").mkdir(exist_ok=True)
    tree.package(SITE, "evil", "1", ("evil.py",), record="".join(f"{r},,\n" for r in rows))
    allowed = (f"{SITE[1:]}/evil", f"{SITE[1:]}/linked", f"{SITE[1:]}/a", "usr/local/bin/sh")
    assert all(path.startswith(allowed) for path in one(tree, "evil").owned)

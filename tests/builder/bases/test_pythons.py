from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.bases import tree_kit
from tests.builder.bases.tree_kit import Tree, elf

from bareboat.builder.bases.elf import read_program
from bareboat.builder.bases.inside import Inside
from bareboat.builder.bases.pythons import Python, Wanted, find_python
from bareboat.errors import LockError
from bareboat.resolve.python.target import Target, tags, uv_platform

AMD64 = Wanted("linux/amd64", where="example.org/base:1")


def python(tree: Tree, **said: object) -> Python:
    return find_python(Inside(tree.root), Wanted(**{**AMD64.__dict__, **said}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("make", "expected"), [
    (tree_kit.docker_python, ("3.12.7", "/usr/local/bin/python3.12", tree_kit.SITE, "glibc 2.36")),
    (tree_kit.debian, ("3.11.2", "/usr/bin/python3.11", "/usr/lib/python3/dist-packages", "glibc 2.36")),
    (tree_kit.alpine, ("3.12.11", "/usr/bin/python3.12", "/usr/lib/python3.12/site-packages", "musl 1.2")),
    (tree_kit.fedora, ("3.9.18", "/usr/bin/python3.9", "/usr/lib/python3.9/site-packages", "glibc 2.34")),
])
def test_the_python_of_each_kind_of_system_is_found_without_running_it(
        make: Callable[[Path], Tree], expected: tuple[str, ...], tmp_path: Path) -> None:
    p = python(make(tmp_path))
    assert (p.full, p.executable, p.site, p.libc) == expected
    assert not p.environment and p.system


def test_the_configs_own_path_comes_first(tmp_path: Path) -> None:
    tree = tree_kit.conda(tmp_path)
    p = python(tree, env=(("PATH", "/opt/conda/bin:/usr/bin"),))
    assert (p.full, p.executable, p.prefix) == ("3.10.14", "/opt/conda/bin/python3.10", "/opt/conda")
    assert python(tree, env=(("PATH", "/usr/bin"),)).full == "3.11.2"


def test_the_projects_specifier_chooses_among_them(tmp_path: Path) -> None:
    tree = tree_kit.conda(tmp_path)
    assert python(tree, specifier=">=3.10,<3.11").full == "3.10.14"
    with pytest.raises(LockError) as e:
        python(tree, specifier="3.13", source="bareboat.toml: python")
    assert e.value.code == "base.python-version"
    assert "3.10.14" in str(e.value) and "3.11.2" in str(e.value)


def test_rpm_systems_keep_compiled_packages_apart_and_both_are_looked_in(tmp_path: Path) -> None:
    p = python(tree_kit.fedora(tmp_path))
    assert p.sites == ("/usr/lib64/python3.9/site-packages", "/usr/lib/python3.9/site-packages")


def test_an_environment_on_the_path_is_used_as_one(tmp_path: Path) -> None:
    tree = tree_kit.debian(tmp_path).link("/opt/venv/bin/python", "/usr/bin/python3")
    tree.file("/opt/venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    tree.file("/opt/venv/lib/python3.11/site-packages/x.py")
    p = python(tree, env=(("PATH", "/opt/venv/bin:/usr/bin"),))
    assert (p.environment, p.system, p.executable) == ("/opt/venv", False, "/usr/bin/python3.11")
    assert p.sites == ("/opt/venv/lib/python3.11/site-packages",) and p.site == p.sites[0]


def test_a_script_in_front_of_python_is_passed_over(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path).file("/shims/python3", "#!/usr/bin/env bash\nexec pyenv exec\n")
    assert python(tree, env=(("PATH", "/shims:/usr/local/bin"),)).executable == "/usr/local/bin/python3.12"


def test_a_version_that_nothing_tells_is_asked_for(tmp_path: Path) -> None:
    tree = tree_kit.docker_python(tmp_path)
    (tmp_path / "usr/local/include/python3.12/patchlevel.h").unlink()
    asked: list[tuple[str, ...]] = []
    p = python(tree, ask=lambda argv: asked.append(argv) or "3.12.9\n")  # type: ignore[func-returns-value]
    assert p.full == "3.12.9" and asked[0][0] == "/usr/local/bin/python3.12"
    assert python(tree, ask=lambda argv: "rubbish").full == "3.12.0"


@pytest.mark.parametrize(("make", "code"), [
    (lambda t: t.file("/bin/sh", elf("/lib/ld.so")), "base.no-python"),
    (lambda t: t.file("/usr/bin/python2.7", elf("/lib/l")).file("/usr/lib/python2.7/os.py"), "base.python-version"),
    (lambda t: t.file("/usr/bin/python3.5", elf("/lib/l")).file("/usr/lib/python3.5/os.py"), "base.python-version"),
    (lambda t: t.file("/usr/bin/python3.12", elf("/lib/l", 183)).file("/usr/lib/python3.12/os.py"),
     "base.architecture"),
    (lambda t: t.file("/usr/bin/python3.12", elf("/lib/ld-x")).file("/usr/lib/python3.12/os.py"), "base.libc"),
    (lambda t: t.file("/usr/bin/python3.12", b"\x7fELF" + b"\xff" * 100), "base.no-python"),
    (lambda t: t.link("/usr/bin/python3", "/usr/bin/python").link("/usr/bin/python", "python3"), "base.no-python"),
])
def test_a_base_that_cannot_be_used_is_refused(make: Callable[[Tree], Tree], code: str, tmp_path: Path) -> None:
    with pytest.raises(LockError) as e:
        python(make(Tree(tmp_path)))
    assert (e.value.code, e.value.where) == (code, "example.org/base:1")


def test_links_never_lead_out_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    tree = Tree(tmp_path / "root").link("/a", "../secret").link("/b", "/../secret").link("/c", str(tmp_path))
    tree.file("/d/e").link("/up", "d/../../..")
    inside = Inside(tree.root)
    assert [inside.read(p, 100) for p in ("/a", "/b", "/c/secret", "/../secret", "/up/../secret")] == [None] * 5
    assert (tree.root / "a").read_text() == "secret"  # the broken control: opening it plainly does


@pytest.mark.parametrize("data", [b"", b"\x7fELF", elf("/x")[:100], elf("/x", 9999)])
def test_what_is_no_program_for_us_is_none_or_of_no_platform(data: bytes) -> None:
    program = read_program(data)
    assert program is None or program.platform == ""


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_a_program_or_none(data: bytes, at: int) -> None:
    whole = elf("/lib/ld-musl-x86_64.so.1")
    for each in (b"\x7fELF" + data, whole[:at] + data + whole[at:]):
        program = read_program(each)
        assert program is None or len(program.loader) <= 256


def test_musl_takes_musllinux_wheels_and_no_others() -> None:
    target = Target("3.12.11", "musl 1.2", "linux/amd64")
    assert uv_platform(target) == "x86_64-unknown-linux-musl"
    platforms = list(dict.fromkeys(t.platform for t in tags(target)))
    assert platforms == ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64", "musllinux_1_0_x86_64", "linux_x86_64", "any"]

"""What was installed goes into the file the project has; a file that cannot be edited so is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ProjectError
from bareboat.project import load
from bareboat.sessions.installed import Distribution
from bareboat.sessions.keeping import edit_toml, keep

RICH = Distribution("rich", "13.9.4", True)
PYPROJECT = """\
[project]
name = "x" # the name
version = "1"
dependencies = [
    "numpy>=1",  # arrays
    "rich[jupyter]>=12; python_version > '3.8'",
]

[tool.ruff]
line-length = 100
"""


def kept(root: Path, *distributions: Distribution, apt: tuple[str, ...] = ()) -> str:
    return "\n".join(keep(load(root), distributions or (RICH,), apt))


def test_requirements_are_written_where_the_name_stands(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r more.txt\nsix\n")
    (tmp_path / "more.txt").write_text("rich # here\n")
    said = kept(tmp_path, RICH, Distribution("idna", "3.0", True))
    assert (tmp_path / "more.txt").read_text() == "rich==13.9.4 # here\n"
    assert (tmp_path / "requirements.txt").read_text() == "-r more.txt\nsix\nidna==3.0\n"
    assert "more.txt now has rich==13.9.4" in said and "requirements.txt now has idna==3.0" in said
    assert said.endswith("the next run locks and has them")


def test_a_project_without_packages_gets_a_file(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    kept(tmp_path)
    assert (tmp_path / "requirements.txt").read_text() == "rich==13.9.4\n"


def test_pyproject_keeps_its_looks(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    kept(tmp_path, RICH, Distribution("idna", "3.0", True))
    assert (tmp_path / "pyproject.toml").read_text() == PYPROJECT.replace(
        "rich[jupyter]>=12; python", "rich[jupyter]==13.9.4; python").replace(
        "'3.8'\",\n", "'3.8'\",\n    \"idna==3.0\",\n")


def test_packages_of_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "bareboat.toml").write_text('# mine\npython = { packages = ["rich"] }\napt = ["git"]\n')
    kept(tmp_path, RICH, apt=("ffmpeg",))
    assert (tmp_path / "bareboat.toml").read_text() == \
        '# mine\npython = { packages = ["rich==13.9.4"] }\napt = ["git", "ffmpeg"]\n'


def test_apt_txt_where_nothing_else_lists_system_packages(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    kept(tmp_path, RICH, apt=("sl",))
    assert (tmp_path / "apt.txt").read_text() == "sl\n"


def test_a_lock_of_the_users_own_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "uv.lock").write_text("version = 1\n")
    with pytest.raises(ProjectError) as caught:
        kept(tmp_path)
    assert caught.value.code == "session.not-ours" and "uv add 'rich==13.9.4'" in caught.value.hint
    assert (tmp_path / "pyproject.toml").read_text() == PYPROJECT


def test_links_and_folders_of_this_machine_are_said_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("six\n")
    (tmp_path / "requirements.txt").symlink_to(tmp_path / "elsewhere")
    said = kept(tmp_path, RICH, Distribution("mine", "1", True, "", True))
    assert (tmp_path / "elsewhere").read_text() == "six\n"
    assert "cannot be edited here; add to it: rich==13.9.4" in said and "mine is installed from a folder" in said


@pytest.mark.parametrize("text", ['[project]\ndependencies = "rich"\n', "[project\n", "project = 1\n",
                                  '[project]\ndependencies = ["rich==1; a", "rich==2; b"]\n'])
def test_what_cannot_be_edited_is_nothing(text: str) -> None:
    assert edit_toml(text, ("project", "dependencies"), {"rich": "rich==2"}) is None


REQUIREMENTS = st.sampled_from(["rich", "rich>=1", "six", "numpy>=1,<2", "a[b]; python_version>'3'"])
COMMENTS = st.sampled_from(["", " # why", "  #"])


@given(st.lists(st.tuples(REQUIREMENTS, COMMENTS), max_size=5, unique_by=lambda r: r[0][:4]), st.booleans())
def test_nothing_else_changes(items: list[tuple[str, str]], multiline: bool) -> None:
    array = "[\n" + "".join(f'  "{r}",{c}\n' for r, c in items) + "]" if multiline else \
        "[" + ", ".join(f'"{r}"' for r, _ in items) + "]"
    text = f'# top\n[project]\nname = "x"\ndependencies = {array} # list\n\n[tool.x]\ny = {{ a = 1 }}\n'
    changed = edit_toml(text, ("project", "dependencies"), {"rich": "rich==9"})
    assert changed is not None
    before, after = tomlkit.parse(text).unwrap(), tomlkit.parse(changed).unwrap()
    old, new = before["project"].pop("dependencies"), after["project"].pop("dependencies")
    assert before == after and [r for r in new if r[:4] != "rich"] == [r for r in old if r[:4] != "rich"]
    assert [r for r in new if r[:4] == "rich"] == ["rich==9"]
    for _, comment in items if multiline else ():
        assert comment.strip() in changed
    assert edit_toml(changed, ("project", "dependencies"), {"rich": "rich==9"}) == changed

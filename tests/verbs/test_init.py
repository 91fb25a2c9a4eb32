"""init: what it writes holds as it stands, and with every line uncommented."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bareboat.errors import ProjectError
from bareboat.project import load
from bareboat.project.values import Project
from bareboat.verbs.init import init, text, understand


def folder(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(content)
    return root


def bare(project: Project) -> Project:
    """What a project means, without where it was said."""
    python = replace(project.python, source="")
    return replace(project, file=None, python=python, apt_source="", notes=())


def uncommented(lines: str, found: int) -> str:
    """The first `found` commented keys, as a user would take their # away."""
    out, left = [], found
    for line in lines.splitlines():
        if left and line.startswith("#") and line[1:2].isalpha():
            line, left = line[1:], left - 1
        out.append(line)
    assert not left
    return "\n".join(out)


PIECES = {
    "src/run.py": "",
    "data/": "",
    "results/": "",
    "requirements.txt": "numpy\n",
    "apt.txt": "ffmpeg\n",
    ".python-version": "3.11\n",
    "runtime.txt": "python-3.11.4\n",
    "Dockerfile": "FROM python\n",
    "pyproject.toml": '[build-system]\nrequires = []\n[project]\nname = "digits"\nversion = "1"\n'
    'dependencies = []\nrequires-python = ">=3.9"\n',
    "pylock.toml": "lock-version = '1.0'\n",
    "uv.lock": "",
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(sorted(PIECES))), st.sampled_from(["digits", "a b", "x\ny", 'q"\\', "é", "#"]))
def test_what_init_writes_says_what_convention_says(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], name: str
) -> None:
    if "uv.lock" in names:
        names = names | {"pyproject.toml"}
    root = tmp_path_factory.mktemp("init") / name
    root.mkdir()
    folder(root, {piece: PIECES[piece] for piece in names})
    before = understand(root).project
    path, found = init(root)
    assert bare(load(root)) == bare(before), "as it stands"
    path.write_text(uncommented(path.read_text(), len(found.lines)))
    assert bare(load(root)) == bare(before), "with every found line uncommented"


def test_every_example_line_can_be_uncommented_alone(tmp_path: Path) -> None:
    path, _ = init(
        folder(
            tmp_path,
            {
                "requirements.txt": "",
                "startup.sh": "",
                ".env": "",
                "pyproject.toml": '[dependency-groups]\ntrain = []\n[project]\nname = "a"\n'
                "optional-dependencies = {plot = []}\n",
            },
        )
    )
    lines = path.read_text().splitlines()
    keys = [at for at, line in enumerate(lines) if line.startswith("#") and line[1:2].isalpha()]
    assert len(keys) > 20
    for at in keys:
        if "groups" in lines[at] or "extras" in lines[at]:
            continue  # contradict requirements.txt, and say so
        path.write_text("\n".join(line[1:] if number == at else line for number, line in enumerate(lines)))
        assert load(tmp_path).file == "bareboat.toml", lines[at]


def test_the_first_line_names_a_schema_that_is_there(tmp_path: Path) -> None:
    from urllib.parse import unquote

    first = text(understand(tmp_path)).splitlines()[0]
    assert first.startswith("#:schema file:///")
    assert Path(unquote(first.removeprefix("#:schema file://"))).is_file()


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "bareboat.toml"
    path.write_text("broken [")
    with pytest.raises(ProjectError) as caught:
        init(tmp_path)
    assert caught.value.code == "project.exists" and path.read_text() == "broken ["
    init(tmp_path, force=True)
    assert path.read_text().startswith("#:schema")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bareboat.toml"], "nothing else is left"


def test_a_dangling_link_counts_as_a_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "bareboat.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProjectError):
        init(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_tool_bareboat_is_a_project_file_too(tmp_path: Path) -> None:
    folder(tmp_path, {"pyproject.toml": "[tool.bareboat]\n"})
    with pytest.raises(ProjectError) as caught:
        init(tmp_path, force=True)
    assert caught.value.code == "project.exists" and not (tmp_path / "bareboat.toml").exists()


def test_a_dockerfile_alone_gets_a_note_instead_of_an_error(tmp_path: Path) -> None:
    found = understand(folder(tmp_path, {"Dockerfile": "FROM python\n"}))
    assert any("Dockerfile is not read" in note for note in found.notes)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError):
        init(tmp_path / "none")

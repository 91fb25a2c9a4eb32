"""Where the Python packages come from, and which files that takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.errors import ProjectError
from bareboat.project import load
from bareboat.project.requirements import included_files, lines

PROJECT = '[project]\nname = "a"\nversion = "1"\n'
LISTED = PROJECT + 'dependencies = ["numpy"]\n'
GROUPS = (
    LISTED
    + '[project.optional-dependencies]\nPlot_It = ["matplotlib"]\n[dependency-groups]\ntrain = ["torch"]\n'
)


def source(root: Path) -> tuple[str, tuple[str, ...]]:
    found = load(root).dependencies
    return found.source, found.files


def error(root: Path, code: str) -> ProjectError:
    with pytest.raises(ProjectError) as caught:
        load(root)
    assert caught.value.code == code, str(caught.value)
    return caught.value


def test_the_first_source_there_is_wins(make) -> None:
    assert source(make({"requirements.txt": "numpy"})) == ("requirements", ("requirements.txt",))
    assert source(make({"pyproject.toml": LISTED})) == ("pyproject", ("pyproject.toml",))
    assert "not read" in load(make()).notes[0], "a requirements.txt that loses is worth a word"
    assert source(make({"pylock.toml": "lock-version = '1.0'\n"})) == ("pylock", ("pylock.toml",))
    assert source(make({"uv.lock": ""})) == ("uv.lock", ("uv.lock", "pyproject.toml"))
    named = make({"bareboat.toml": 'python.requirements = "requirements.txt"'})
    assert source(named) == ("requirements", ("requirements.txt",))


def test_a_pylock_of_our_own_is_no_source(make) -> None:
    root = make({"pylock.toml": "# made by bareboat; do not edit\n", "requirements.txt": ""})
    assert source(root) == ("requirements", ("requirements.txt",))


@pytest.mark.parametrize(
    "text",
    [PROJECT, "[tool.ruff]\n", PROJECT + 'dynamic = ["version"]\n', PROJECT + 'dynamic = ["dependencies"]\n'],
)
def test_a_pyproject_that_lists_nothing_leaves_it_to_requirements(make, text: str) -> None:
    assert source(make({"pyproject.toml": text, "requirements.txt": ""}))[0] == "requirements"


def test_requirements_that_setuptools_reads_are_read_from_there(make) -> None:
    text = (
        PROJECT
        + 'dynamic = ["dependencies"]\n[tool.setuptools.dynamic]\ndependencies = {file = ["a.in", "b.in"]}\n'
    )
    found = load(make({"pyproject.toml": text, "a.in": "-r c.in", "b.in": "", "c.in": ""})).dependencies
    assert (found.source, found.files, found.named) == (
        "requirements",
        ("a.in", "c.in", "b.in"),
        ("a.in", "b.in"),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pyproject.toml", "pyproject"),
        ("uv.lock", "uv.lock"),
        ("pylock.gpu.toml", "pylock"),
        ("r.in", "requirements"),
    ],
)
def test_the_project_file_chooses_any_source(make, name: str, expected: str) -> None:
    root = make(
        {
            "pyproject.toml": GROUPS,
            "uv.lock": "",
            "pylock.gpu.toml": "",
            "r.in": "",
            "bareboat.toml": f'python.requirements = "{name}"',
        }
    )
    found = load(root).dependencies
    assert (found.source, found.files[0], found.named) == (expected, name, (name,))


def test_packages_are_added_or_stand_alone(make) -> None:
    root = make({"bareboat.toml": 'python.packages = ["numpy>=2"]'})
    found = load(root).dependencies
    assert (found.source, found.requirements, found.named) == ("inline", ("numpy>=2",), ())
    make({"requirements.txt": "scipy"})
    assert load(root).dependencies.source == "requirements" and load(root).dependencies.requirements == (
        "numpy>=2",
    )
    make({"bareboat.toml": 'python.packages = ["numpy>=2"]\npython.requirements = []'})
    assert source(root) == ("inline", ())
    make({"bareboat.toml": "python.requirements = []"})
    assert source(root) == ("none", ())


@pytest.mark.parametrize(
    ("text", "code", "where", "words"),
    [
        (
            'python.requirements = "none.txt"',
            "project.missing-file",
            "python.requirements",
            "none.txt does not exist",
        ),
        ('python.requirements = "src"', "project.missing-file", "python.requirements", "not a file"),
        (
            'python.requirements = ["a.txt", "pyproject.toml"]',
            "project.contradiction",
            "python.requirements",
            "one source",
        ),
        (
            'python.requirements = ["pylock.toml", "pylock.b.toml"]',
            "project.contradiction",
            "python.requirements",
            "",
        ),
        ('python.packages = ["-e ."]', "project.value", "python.packages", "option"),
        ('python.groups = ["trian"]', "project.unknown-name", "python.groups", "'train'"),
        ('python.extras = ["none"]', "project.unknown-name", "python.extras", "Plot_It"),
        (
            'python = {groups = ["train"], requirements = "a.txt"}',
            "project.contradiction",
            "python.groups",
            "pyproject.toml",
        ),
    ],
)
def test_contradictions_name_the_key(make, text: str, code: str, where: str, words: str) -> None:
    root = make(
        {"bareboat.toml": text, "pyproject.toml": GROUPS, "a.txt": "", "src/": "", "pylock.b.toml": ""}
    )
    wrong = error(root, code)
    assert wrong.where == f"bareboat.toml: {where}" and words in f"{wrong.what} {wrong.hint}"


def test_packages_cannot_be_added_to_a_lock(make) -> None:
    error(make({"bareboat.toml": 'python.packages = ["a"]', "pylock.toml": ""}), "project.contradiction")


def test_extras_and_groups_compare_as_the_standards_say(make) -> None:
    root = make(
        {"bareboat.toml": 'python = {extras = ["plot-it"], groups = ["Train"]}', "pyproject.toml": GROUPS}
    )
    assert load(root).dependencies.extras == ("plot-it",)


def test_groups_alone_make_pyproject_the_source(make) -> None:
    root = make(
        {"bareboat.toml": 'python.groups = ["a"]', "pyproject.toml": '[dependency-groups]\na = ["b"]'}
    )
    assert source(root) == ("pyproject", ("pyproject.toml",))


def test_a_uv_lock_alone_is_an_error(make) -> None:
    error(make({"uv.lock": ""}), "project.missing-file")


@pytest.mark.parametrize(
    "text",
    [
        PROJECT + 'dependencies = "numpy"',
        PROJECT + "dependencies = [1]",
        "[project\n",
        PROJECT + "requires-python = 3",
    ],
)
def test_a_wrong_pyproject_is_an_error(make, text: str) -> None:
    with pytest.raises(ProjectError) as caught:
        load(make({"pyproject.toml": text}))
    assert caught.value.where.startswith("pyproject.toml")


def test_what_is_there_but_not_read_is_said(make) -> None:
    root = make({"Pipfile": "", "pyproject.toml": '[tool.poetry.dependencies]\nnumpy = "*"\n'})
    assert any("Pipfile" in note and "poetry" in note for note in load(root).notes)


def test_a_setup_py_alone_is_named_as_not_read(make) -> None:
    assert any("setup.py is not read" in note for note in load(make({"setup.py": ""})).notes)


def test_a_setup_py_beside_a_build_system_is_not_complained_about(make) -> None:
    root = make({"setup.py": "", "pyproject.toml": '[project]\nname = "a"\nversion = "1"\n'})
    assert not any("setup.py" in note for note in load(root).notes)


def test_included_files_by_every_spelling(make) -> None:
    root = make(
        {
            "a.txt": "-r b.txt # why\n-rc.txt\n--requirement=sub/d.txt\n--constraint e.txt\n  -c\tf.txt\n"
            "-r https://index.example/r.txt\nnumpy # -r no.txt\n# -r no.txt\n-r \\\n  g.txt\n"
            "--require-hashes\n-cfoo/../h.txt\n-r 'i j.txt'\n",
            "sub/d.txt": "-r ../b.txt\n-r x.txt",
            "sub/x.txt": "-r ../a.txt",
            **{f"{n}.txt": "" for n in ("b", "c", "e", "f", "g", "h", "i j")},
        }
    )
    assert included_files(root, "./a.txt") == (
        "a.txt",
        "b.txt",
        "c.txt",
        "sub/d.txt",
        "sub/x.txt",
        "e.txt",
        "f.txt",
        "g.txt",
        "h.txt",
        "i j.txt",
    )


def test_variables_in_names_are_expanded_as_pip_does(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "sub")
    root = make({"a.txt": "-r ${WHERE}/b.txt", "sub/b.txt": ""})
    assert included_files(root, "a.txt") == ("a.txt", "sub/b.txt")


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("numpy\n-r none.txt", "project.missing-file", "a.txt:2"),
        ("-r", "project.requirements", "a.txt:1"),
        ("-r .", "project.unreadable", "a.txt:1"),
        ("-c\n", "project.requirements", "a.txt:1"),
        ("-r a\0b", "project.missing-file", "a.txt:1"),
    ],
)
def test_an_include_that_cannot_be_is_said_with_its_line(make, text: str, code: str, where: str) -> None:
    with pytest.raises(ProjectError) as caught:
        included_files(make({"a.txt": text}), "a.txt")
    assert (caught.value.code, caught.value.where) == (code, where)


def test_a_requirements_file_must_be_utf8_and_may_have_a_mark(make) -> None:
    assert included_files(make({"a.txt": b"\xef\xbb\xbf-r b.txt\r\n", "b.txt": ""}), "a.txt") == (
        "a.txt",
        "b.txt",
    )
    wrong = error(make({"requirements.txt": "numpy\n".encode("utf-16")}), "project.encoding")
    assert "UTF-16" in wrong.what


def test_logical_lines_as_pip_joins_them() -> None:
    text = "a \\\n  --hash=x\n# c \\\nb # d\n\nhttps://x.example/#egg=y\nlast \\"
    assert list(lines(text)) == [(1, "a   --hash=x"), (4, "b"), (6, "https://x.example/#egg=y"), (7, "last")]

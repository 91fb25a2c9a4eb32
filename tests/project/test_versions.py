"""The Python version: every place that says so, brought together or told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from bareboat.errors import ProjectError
from bareboat.project import load
from bareboat.project.versions import KNOWN, PATCHES, allows, from_version_file, pinned, request


def python(make, own: str = "", file: str = "", runtime: str = "", requires: str = ""):
    files = {}
    if own:
        files["bareboat.toml"] = f'python = "{own}"\n'
    if file:
        files[".python-version"] = file + "\n"
    if runtime:
        files["runtime.txt"] = runtime + "\n"
    if requires:
        files["pyproject.toml"] = f'[project]\nname = "a"\nversion = "1"\nrequires-python = "{requires}"\n'
    return load(make(files)).python


@pytest.mark.parametrize(
    ("says", "specifier", "source"),
    [
        ({}, "", ""),
        ({"own": "3.12"}, "3.12", "bareboat.toml: python.version"),
        ({"own": "3.12.4"}, "3.12", "bareboat.toml: python.version"),
        ({"own": "3.12.*"}, "3.12", "bareboat.toml: python.version"),
        ({"own": ">=3.10, <3.13"}, ">=3.10,<3.13", "bareboat.toml: python.version"),
        ({"file": "3.11.4"}, "3.11", ".python-version"),
        ({"file": "# ours\n\n3.11"}, "3.11", ".python-version"),
        ({"file": "cpython-3.12.1-linux-x86_64-gnu"}, "3.12", ".python-version"),
        ({"file": "3.13-dev"}, "3.13", ".python-version"),
        ({"file": ">=3.11"}, ">=3.11", ".python-version"),
        ({"runtime": "python-3.11.4"}, "3.11", "runtime.txt"),
        ({"requires": ">=3.9"}, ">=3.9", "pyproject.toml: project.requires-python"),
        ({"file": "3.11", "requires": ">=3.9"}, "3.11", ".python-version"),
        ({"file": "3.11.2", "requires": ">=3.11.5"}, "3.11", ".python-version"),
        ({"own": ">=3.10", "file": "3.12"}, "3.12", ".python-version"),
        (
            {"own": ">=3.10", "requires": "<3.13"},
            ">=3.10,<3.13",
            "bareboat.toml: python.version and pyproject.toml: project.requires-python",
        ),
        ({"own": "2.7"}, "2.7", "bareboat.toml: python.version"),
        ({"file": "my-env"}, "", ""),
        ({"file": "system"}, "", ""),
    ],
)
def test_all_places_count(make, says: dict[str, str], specifier: str, source: str) -> None:
    found = python(make, **says)
    assert (found.specifier, found.source) == (specifier, source)


@pytest.mark.parametrize(
    ("says", "names"),
    [
        ({"file": "3.9", "requires": ">=3.11"}, (".python-version", "requires-python")),
        ({"own": "3.12", "file": "3.11"}, ("bareboat.toml", ".python-version")),
        ({"file": "3.12", "runtime": "python-3.11"}, (".python-version", "runtime.txt")),
        ({"own": ">=3.12", "requires": "<3.10"}, ("bareboat.toml", "requires-python")),
        ({"own": "3.13", "requires": "~=3.10.0"}, ("bareboat.toml", "requires-python")),
    ],
)
def test_contradictions_name_both_places(make, says: dict[str, str], names: tuple[str, str]) -> None:
    with pytest.raises(ProjectError) as caught:
        python(make, **says)
    assert caught.value.code == "project.python-contradiction"
    assert all(name in caught.value.what for name in names)


@pytest.mark.parametrize(
    "says",
    [
        {"file": "pypy3.9-7.3"},
        {"file": "3.13t"},
        {"file": "3"},
        {"requires": ">=x"},
        {"requires": "3.x"},
        {"own": "=>3.10"},
        {"own": "~=3"},
    ],
)
def test_what_is_no_version_is_an_error(make, says: dict[str, str]) -> None:
    with pytest.raises(ProjectError) as caught:
        python(make, **says)
    assert caught.value.code == "project.python-version"


def test_what_says_less_is_noted() -> None:
    assert from_version_file("3.11.4", "f")[1] == "f says 3.11.4: only 3.11 counts"
    assert from_version_file("", "f") == (None, "f is empty")
    assert "names no version" in from_version_file("my-env", "f")[1]


CLAUSES = st.builds(
    lambda operator, version: operator + version,
    st.sampled_from(["==", "!=", ">=", "<=", ">", "<", "~="]),
    st.builds(
        lambda minor, rest: f"3.{minor}{rest}", st.integers(0, 14), st.sampled_from(["", ".0", ".4", ".12"])
    ),
) | st.sampled_from(
    ["==3.11.*", "!=3.12.*", ">=3", "<4", "!=3.9.0,!=3.9.1", ">=3.10.0rc1", "==3.*", ">3.9.0"]
)


@given(st.lists(CLAUSES, min_size=1, max_size=3), st.sampled_from(KNOWN))
def test_allows_says_what_the_packaging_library_says(clauses: list[str], version: str) -> None:
    text = ",".join(clauses)
    expected = any(f"{version}.{patch}" in SpecifierSet(text) for patch in range(PATCHES))
    assert allows(request(text, "x").specifier, version) == expected


@given(st.text(alphabet="0123456789.*<>=!~, abcrt-", max_size=14))
def test_any_text_is_a_request_or_a_project_error(text: str) -> None:
    try:
        found = request(text, "x")
    except ProjectError:
        return
    assert pinned(found.specifier) or all(clause[0] in "<>=!~" for clause in found.specifier.split(","))
    allows(found.specifier, "3.12")

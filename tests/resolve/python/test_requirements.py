from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.resolve.python.pyproject import is_dynamic, required, stated
from bareboat.resolve.python.requirements import kind_of, location, name_of, read
from bareboat.resolve.python.rewriting import extras_of


@pytest.mark.parametrize(
    ("text", "kind", "where", "name"),
    [
        ("numpy", "named", "", "numpy"),
        ("Foo.Bar_baz[x,y]>=1; python_version > '3'", "named", "", "foo-bar-baz"),
        ("x @ https://files.example/x-1.0.tar.gz", "archive", "https://files.example/x-1.0.tar.gz", "x"),
        (
            "x @ https://files.example/x-1.0-py3-none-any.whl#sha256=aa ; os_name == 'posix'",
            "wheel",
            "https://files.example/x-1.0-py3-none-any.whl#sha256=aa",
            "x",
        ),
        (
            "x[a] @ git+https://git.example/x@v1#subdirectory=y",
            "vcs",
            "git+https://git.example/x@v1#subdirectory=y",
            "x",
        ),
        ("git+ssh://git@git.example/x.git", "vcs", "git+ssh://git@git.example/x.git", ""),
        ("./pkg", "directory", "./pkg", ""),
        ("-e ./pkg[dev]", "directory", "./pkg[dev]", ""),
        ("--editable=.", "directory", ".", ""),
        ("vendor/x-1.0.zip", "archive", "vendor/x-1.0.zip", ""),
        ("x-1.0-py3-none-any.whl", "wheel", "x-1.0-py3-none-any.whl", ""),
        ("--index-url https://index.example/simple", "option", "", ""),
    ],
)
def test_kinds_of_lines(text: str, kind: str, where: str, name: str) -> None:
    assert kind_of(text) == kind
    if kind != "option":
        assert (location(text), name_of(text)) == (where, name)


def test_files_include_files_and_each_is_read_once() -> None:
    files = {
        "requirements.txt": "-r sub/base.txt\n--constraint=limits.txt\n"
        "numpy==1.0 \\\n  --hash=sha256:AA \\\n  --hash sha256:bb\n",
        "sub/base.txt": "# comment\nsix  # why\n-r ../requirements.txt\n-rdeep.txt\n",
        "sub/deep.txt": "rich\n-r https://files.example/more.txt\n",
        "limits.txt": "six<2\n",
    }
    lines = read("requirements.txt", files.__getitem__)
    assert [(i.text, i.file, i.constraint) for i in lines] == [
        ("six", "sub/base.txt", False),
        ("rich", "sub/deep.txt", False),
        ("-r https://files.example/more.txt", "sub/deep.txt", False),
        ("six<2", "limits.txt", True),
        ("numpy==1.0", "requirements.txt", False),
    ]
    assert lines[-1].hashes == ("sha256:aa", "sha256:bb")


@given(st.text(max_size=100))
def test_any_text_can_be_read(text: str) -> None:
    for line in read("r.txt", lambda name: text if name == "r.txt" else ""):
        location(line.text), name_of(line.text), extras_of(line.text)


@pytest.mark.parametrize(
    ("text", "extras"),
    [
        ("x[a, b] @ https://e.example/x.zip", ("a", "b")),
        ("-e .[dev]", ("dev",)),
        ("./pkg", ()),
        ("x @ https://e.example/[v]/x.zip", ()),
    ],
)
def test_extras_of_direct_requirements(text: str, extras: tuple[str, ...]) -> None:
    assert extras_of(text) == extras


def test_what_pyproject_states() -> None:
    document = {
        "project": {
            "name": "Me",
            "dependencies": ["a"],
            "optional-dependencies": {"All": ["me[x,Y]"], "x": ["b"], "y": ["c @ git+https://git.example/c"]},
        },
        "dependency-groups": {"dev": ["d", {"include-group": "Test"}], "test": ["e"]},
    }
    assert stated(document, ("all",), ("dev",)) == ("a", "b", "c @ git+https://git.example/c", "d", "e")
    assert not is_dynamic(document, ())
    assert is_dynamic({"project": {"dynamic": ["dependencies"]}}, ())
    assert is_dynamic({}, ())


def test_what_metadata_requires() -> None:
    text = (
        "Name: x\nRequires-Dist: a>=1\nRequires-Dist: b; extra == 'dev'\n"
        "Requires-Dist: c; python_version < '3.11' and extra == 'dev'\n"
        "Requires-Dist: d; extra == 'no'\n\nBody\n"
    )
    assert required(text, ()) == ("a>=1",)
    assert required(text, ("dev",)) == ("a>=1", "b", 'c ; python_version < "3.11"')

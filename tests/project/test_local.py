"""Requirements that are directories or files of this machine."""

from __future__ import annotations

import pytest

from bareboat.project import inputs, load, lock_inputs
from bareboat.project.local import digest, local_requirements


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("./libs/a", "libs/a"),
        ("-e ./libs/a", "libs/a"),
        ("--editable=../a", "../a"),
        ("./libs/a[x,y] ; python_version > '3'", "libs/a"),
        ("a @ file:///opt/a%20b#egg=a", "/opt/a b"),
        ("a @ ./libs/a", "libs/a"),
        ("wheels/a-1-py3-none-any.whl --hash=sha256:00", "wheels/a-1-py3-none-any.whl"),
        ("/abs/a.tar.gz", "/abs/a.tar.gz"),
        ("-e .", None),
        ("numpy", None),
        ("numpy==1 ; extra == 'a.zip'", None),
        ("a @ https://index.example/a.whl", None),
        ("https://index.example/a.zip", None),
        ("a @ git+https://index.example/a.git", None),
        ("-r ./other.txt", None),
        ("--find-links ./wheels", None),
    ],
)
def test_what_of_a_line_is_local(make, line: str, path: str | None) -> None:
    root = make({"requirements.txt": line, "other.txt": ""})
    assert local_requirements(load(root)) == ((path,) if path else ())


def test_what_of_pyproject_and_uv_lock_is_local(make) -> None:
    text = (
        '[project]\nname = "a"\ndependencies = ["b", "c @ file:///c"]\n'
        '[tool.uv.sources]\nb = {path = "../b", editable = true}\n'
    )
    root = make({"pyproject.toml": text})
    assert local_requirements(load(root)) == ("../b", "/c")
    lock = (
        '[[package]]\nname = "b"\nsource = { editable = "../b" }\n[[package]]\nsource = { virtual = "." }\n'
    )
    make({"uv.lock": lock})
    assert "../b" in local_requirements(load(root))


def test_editing_a_local_package_changes_the_inputs(make) -> None:
    root = make({"requirements.txt": "./libs/a\n", "libs/a/pyproject.toml": "", "libs/a/a.py": "1"})
    before = inputs(load(root))
    assert "libs/a" in dict(before) and "libs/a" in dict(lock_inputs(load(root)))
    make({"libs/a/__pycache__/a.pyc": "x", "libs/a/.git/x": "", "libs/a/build/x": ""})
    assert inputs(load(root)) == before, "what tools make beside it is no source"
    make({"libs/a/a.py": "2"})
    assert inputs(load(root)) != before


def test_the_digest_tells_names_from_contents(make) -> None:
    one, two = make({"a": "bc", "d": ""}, name="one"), make({"a": "b", "cd": ""}, name="two")
    assert digest(one) != digest(two)
    assert digest(one / "none") is None

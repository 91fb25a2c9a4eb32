"""What a wheel installs: schemes, scripts, RECORD."""

from __future__ import annotations

import csv
import hashlib
from base64 import urlsafe_b64encode
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from tests.corpus.wheels.zipforge import FILENAME, INFO, Archive, wheel_parts
from tests.image.test_wheel_corpus import Memory

from bareboat.image.entrypoints import console_scripts, interpreter_line, reserved, script_text
from bareboat.image.plan import interpreter
from bareboat.image.wheel import chunks, find_conflict, normal, read_layout, wheel_tree_key
from bareboat.lock import Wheel

DATA = "demo-1.0.data"
P3, P2 = interpreter("3.13", "3.13.5"), interpreter("2.7", "2.7.18")
LOCKED = Wheel("demo", "1.0", FILENAME, "", "0" * 64, 0)


def install(files: dict[str, bytes], python=P3, wheel=LOCKED) -> dict[str, tuple[int, bytes]]:
    source = Memory(Archive(wheel_parts(files)).build())
    layout = read_layout(source, wheel, python)
    return {e.path: (e.mode, b"".join(chunks(source, e, FILENAME))) for e in layout.entries}


def test_schemes() -> None:
    files = {f"{DATA}/{k}/x{i}": b"" for i, k in enumerate(("purelib", "platlib", "scripts", "headers", "data"))}
    site = "opt/venv/lib/python3.13/site-packages"
    found = install(files)
    assert {p for p in found if "/x" in p} == {
        f"{site}/x0",
        f"{site}/x1",
        "opt/venv/bin/x2",
        "opt/venv/include/site/python3.13/demo/x3",
        "opt/venv/x4",
    }
    old = install(files, P2)
    assert "usr/local/lib/python2.7/dist-packages/x0" in old and "usr/local/bin/x2" in old
    assert "usr/local/include/site/python2.7/demo/x3" in old


def test_scripts_are_rewritten_only_for_the_placeholder() -> None:
    found = install(
        {
            f"{DATA}/scripts/a": b"#!python\nx\n",
            f"{DATA}/scripts/b": b"#!pythonw -u\r\nx\n",
            f"{DATA}/scripts/c": b"#!/usr/bin/env python\n",
            f"{DATA}/scripts/d": b"#!python-config\n",
        }
    )
    assert found["opt/venv/bin/a"] == (0o755, b"#!/opt/venv/bin/python\nx\n")
    assert found["opt/venv/bin/b"] == (0o755, b"#!/opt/venv/bin/python -u\nx\n")
    assert found["opt/venv/bin/c"] == (0o755, b"#!/usr/bin/env python\n")
    assert found["opt/venv/bin/d"] == (0o755, b"#!python-config\n")


def test_record_is_right_sorted_and_complete() -> None:
    points = b"[console_scripts]\ndemo = demo:main\n"
    wheel = replace(LOCKED, direct_url='{"url": "https://host.example/demo"}', requested=True)
    found = install(
        {
            f"{INFO}/entry_points.txt": points,
            f"{DATA}/scripts/demo": b"#!python\nold\n",
            "demo/a,b.txt": b"1",
            "demo/__pycache__/x.pyc": b"0",
            f"{INFO}/INSTALLER": b"other\n",
        },
        wheel=wheel,
    )
    site = PurePosixPath("opt/venv/lib/python3.13/site-packages")
    raw = found[f"{site}/{INFO}/RECORD"][1].decode()
    rows = list(csv.reader(raw.splitlines()))
    assert raw.splitlines() == sorted(raw.splitlines())
    listed = {}
    for path, digest, size in rows:
        parts: list[str] = []
        for part in (site / path).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        listed["/".join(parts)] = (digest, size)
    assert listed.keys() == found.keys()
    for path, (_, content) in found.items():
        if not path.endswith("/RECORD"):
            coded = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert listed[path] == (f"sha256={coded}", str(len(content)))
    assert found[f"{site}/{INFO}/INSTALLER"][1] == b"bareboat\n"
    assert found[f"{site}/{INFO}/REQUESTED"][1] == b""
    assert b"from demo import main" in found["opt/venv/bin/demo"][1]
    assert not any("__pycache__" in p for p in found)


def test_long_and_spaced_interpreters_start_by_the_shell() -> None:
    assert interpreter_line("/opt/venv/bin/python") == "#!/opt/venv/bin/python\n"
    for path in ("/opt/my venv/bin/python", "/" + "x" * 130):
        line = interpreter_line(path)
        assert line.startswith("#!/bin/sh\n") and f'"{path}"' in line
        compile(line + "import sys\n", "script", "exec")
    assert len(interpreter_line("/" + "x" * 124).rstrip()) == 127


def test_script_text_is_python_of_any_age() -> None:
    text = script_text("demo.sub:C.run", "/opt/venv/bin/python")
    compile(text, "script", "exec")
    assert "from demo.sub import C\n" in text and "sys.exit(C.run())" in text
    with pytest.raises(ValueError):
        script_text("demo", "/x")


def test_names_of_the_interpreter_are_reserved() -> None:
    for name in ("python", "python3", "python3.13", "python3.13t", "pythonw", "python2.7", "python3-config"):
        assert reserved(name)
    for name in ("python-argcomplete-check-easy-install-script", "pythonic", "ipython", "python-dotenv"):
        assert not reserved(name)


def test_entry_points_are_sorted() -> None:
    found = console_scripts("[console_scripts]\nz = a:b\n; comment\na = a:c\n[gui_scripts]\nm = a:d\n")
    assert [s.name for s in found] == ["a", "m", "z"]


def test_conflicts() -> None:
    a, b = ("a.whl", {"x/y": [1, "sha256:1"]}), ("b.whl", {"x/y": [1, "sha256:1"]})
    assert find_conflict([a, b]) is None
    assert find_conflict([a, ("b.whl", {"x/y": [1, "sha256:2"]})]) == ("a.whl", "b.whl", "x/y")
    assert find_conflict([a, ("b.whl", {"x": [1, "sha256:2"]})]) == ("b.whl", "a.whl", "x")
    assert find_conflict([("b.whl", {"x": [1, "sha256:2"]}), a]) == ("b.whl", "a.whl", "x")


def test_keys_say_what_they_are_of() -> None:
    key = wheel_tree_key(LOCKED, P3)
    assert key.startswith("wheel-demo-1.0-")
    others = [replace(LOCKED, sha256="1" * 64), replace(LOCKED, requested=True), replace(LOCKED, direct_url="{}")]
    assert len({key, wheel_tree_key(LOCKED, P2), *(wheel_tree_key(w, P3) for w in others)}) == 5
    local = wheel_tree_key(replace(LOCKED, version="1!2.0+Cpu_x"), P3)
    assert all(c.islower() or c.isdigit() or c in ".-" for c in local)


@pytest.mark.parametrize(("name", "expected"), [("A_b.C", "a-b-c"), ("a--b", "a-b"), ("a-_.b", "a-b")])
def test_normal(name: str, expected: str) -> None:
    assert normal(name) == expected

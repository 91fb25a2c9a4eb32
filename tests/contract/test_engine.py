"""One suite for every engine: each program is a function for the fake and a script for the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests import sandbox_kit as kit

from bareboat.engine.base import Engine
from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.engine.memory import Guest, MemoryEngine
from bareboat.errors import EngineError, ProgramError, UsageError
from bareboat.workload import Mount


def _both(g: Guest) -> int:
    g.streams.stdout(b"to out\n")
    g.streams.stderr(b"to err\n")
    return 7


def _args(g: Guest) -> int:
    for word in g.workload.argv[1:]:
        g.streams.stdout(f"<{word}>\n".encode())
    return 0


def _env(g: Guest) -> int:
    g.streams.stdout("".join(f"{k}={v}\n" for k, v in sorted(g.env.items())).encode())
    return 0


def _result(g: Guest) -> int:
    g.write("/results/out.txt", b"kept\n")
    return 0


def _relative(g: Guest) -> int:
    g.write("here.txt", b"kept\n")
    return 0


def _code(g: Guest) -> int:
    g.write("/code/new", b"x")
    return 0


def _elsewhere(g: Guest) -> int:
    for name in "abcdefg":
        g.write(f"/var/lib/{name}", b"12345")
    g.write("/tmp/t", b"x")
    g.write("/home/user/h", b"x")
    return 0


def _cat(g: Guest) -> int:
    g.streams.stdout(g.stdin())
    return 0


def _layer(g: Guest) -> int:
    g.streams.stdout(g.read("/opt/which"))
    return 0


PROGRAMS: dict[str, tuple[Callable[[Guest], int], str]] = {
    "both": (_both, "echo to out; echo to err >&2; exit 7"),
    "args": (_args, 'for w in "$@"; do printf "<%s>\\n" "$w"; done'),
    "environment": (_env, "exec python3 -c 'import os\n"
                          "for k in sorted(os.environ): print(k + chr(61) + os.environ[k])'"),
    "result": (_result, "echo kept > /results/out.txt"),
    "relative": (_relative, "echo kept > here.txt"),
    "code": (_code, "touch /code/new"),
    "elsewhere": (_elsewhere, "mkdir -p /var/lib; for n in a b c d e f g; do printf 12345 > /var/lib/$n; done;"
                              "echo x > /tmp/t; echo x > /home/user/h"),
    "copy": (_cat, "cat"),
    "layer": (_layer, "cat /opt/which"),
}


class Harness:
    """An engine with the programs above in it."""

    def __init__(self, engine: Engine, tree: Path) -> None:
        self.engine, self.tree = engine, tree

    def run(self, *argv: str, stdin: int | None = None, **more: object) -> kit.Heard:
        heard = kit.Heard()
        load = kit.workload(self.tree, *argv, **more)
        heard.outcome = self.engine.run(load, heard.streams(stdin=stdin))
        return heard


@pytest.fixture(params=["memory", "bubblewrap", "bubblewrap-without-overlay"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    tree = kit.skeleton(tmp_path / "tree")
    if request.param == "memory":
        return Harness(MemoryEngine({name: function for name, (function, _) in PROGRAMS.items()}), tree)
    kit.need_sandbox()
    for name, (_, text) in PROGRAMS.items():
        kit.script(tree, name, f"#!/bin/sh\n{text}\n")
    (tree / "var").mkdir()
    return Harness(Bubblewrap(tmp_path, overlay=request.param == "bubblewrap"), tree)


def test_streams_apart_and_the_programs_own_code(harness: Harness) -> None:
    heard = harness.run("both")
    assert (heard.out, heard.err, heard.outcome.code) == (b"to out\n", b"to err\n", 7)
    assert heard.outcome.reason == "" and heard.started == 1


def test_argv_arrives_to_the_letter(harness: Harness) -> None:
    words = ("--bind", "", "a b", "'\"", "$HOME", "*", "-", "ü", "a\nb")
    assert harness.run("args", *words).text == "".join(f"<{word}>\n" for word in words)


def test_environment_is_the_workloads_and_nothing_else(
        harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAREBOAT_CANARY", "leaked")
    heard = harness.run("environment", env=(("EMPTY", ""), ("WORDS", "a b=c")))
    shells = ("PWD=", "LC_CTYPE=", "_=", "SHLVL=", "OLDPWD=")
    seen = {line for line in heard.text.splitlines() if not line.startswith(shells)}
    assert seen == {"EMPTY=", "WORDS=a b=c", "HOME=/home/user", "PATH=/opt/bin:/usr/bin:/bin"}


def test_a_writable_mount_keeps_what_is_written(harness: Harness, tmp_path: Path) -> None:
    results = tmp_path / "re sul,ts:1"
    results.mkdir()
    heard = harness.run("result", mounts=(Mount(results, "/results"),))
    assert (results / "out.txt").read_text() == "kept\n"
    assert (results / "out.txt").stat().st_uid == os.getuid()
    assert heard.outcome.lost.count == 0


def test_relative_paths_start_in_the_working_directory(harness: Harness, tmp_path: Path) -> None:
    harness.run("relative", cwd="/work/dir", mounts=(Mount(tmp_path, "/work/dir"),))
    assert (tmp_path / "here.txt").read_text() == "kept\n"


def test_a_read_only_mount_cannot_be_written(harness: Harness, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    assert harness.run("code", mounts=(Mount(code, "/code", True),)).outcome.code != 0
    assert not list(code.iterdir())


def test_what_is_written_elsewhere_is_lost_and_said(harness: Harness) -> None:
    if getattr(harness.engine, "_overlay", True) is False:
        pytest.skip("without overlay there is nowhere else to write")
    lost = harness.run("elsewhere").outcome.lost
    assert (lost.count, lost.bytes) == (7, 35)
    assert lost.first == tuple(f"/var/lib/{name}" for name in "abcde")


def test_stdin_from_a_pipe(harness: Harness) -> None:
    read, write = os.pipe()
    os.write(write, b"through\n")
    os.close(write)
    assert harness.run("copy", stdin=read).text == "through\n"
    os.close(read)


def test_stdin_from_a_file_and_from_nothing(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file")
    with (tmp_path / "in").open("rb") as file:
        assert harness.run("copy", stdin=file.fileno()).text == "from a file"
    assert harness.run("copy").text == ""


def test_upper_trees_hide_lower_ones(harness: Harness, tmp_path: Path) -> None:
    if getattr(harness.engine, "_overlay", True) is False:
        pytest.skip("one tree only without overlay")
    trees = []
    for number in range(3):
        (tmp_path / f"t{number}/opt").mkdir(parents=True)
        (tmp_path / f"t{number}/opt/which").write_text(str(number))
        trees.append(tmp_path / f"t{number}")
    assert harness.run("layer", trees=trees).text == "2"


def test_a_program_that_is_not_there(harness: Harness) -> None:
    with pytest.raises(ProgramError) as caught:
        harness.run("nothing-of-that-name")
    assert (caught.value.exit_code, caught.value.code) == (127, "program.not-found")


def test_a_mount_that_is_not_there(harness: Harness, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        harness.run("both", mounts=(Mount(tmp_path / "missing", "/x"),))
    assert caught.value.code == "engine.source"
    assert "missing" in caught.value.where


def test_no_command(harness: Harness) -> None:
    load = kit.workload(harness.tree, "x")
    with pytest.raises(UsageError):
        harness.engine.run(replace(load, argv=()), kit.Heard().streams())


def test_explain_and_checks_say_something(harness: Harness) -> None:
    assert "both" in harness.engine.explain(kit.workload(harness.tree, "both"))
    assert all(check.name for check in harness.engine.checks())

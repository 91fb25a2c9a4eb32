"""docs/mounts.md: its commands are commands, its example is a project, and its tables have what the code has."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from bareboat.cli.dispatch import parser_of
from bareboat.cli.run import parse, request_of
from bareboat.host import gitfetch
from bareboat.project import load
from bareboat.project.coderef import parse_code
from bareboat.project.mounts import _KEYS, _TMPFS_FLAGS, parse_mount, parse_tmpfs
from bareboat.project.volumes import PROPAGATIONS, WITHOUT_EFFECT, parse_volume
from bareboat.verbs.caches import TARGET, VARIABLES

PAGE = (Path(__file__).parents[2] / "docs/mounts.md").read_text()
COMMANDS = [line.strip().removeprefix("$ ") for line in PAGE.splitlines() if line.strip().startswith(
    ("$ bareboat ", "bareboat ")) and line.startswith(("$", "    "))]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_one(line: str) -> None:
    _, verb, *words = shlex.split(line.replace("[--json | -q]", ""))
    if verb != "run":
        parser_of(verb).parse_args(words)
        return
    request = request_of(parse(words))
    for text in request.volumes:
        parse_volume(text, Path("/x"))
    for text in request.mounts:
        parse_mount(text, Path("/x"))
    for text in request.tmpfs:
        parse_tmpfs(text)
    if request.code:
        parse_code(request.code)
    assert request.program


def test_the_example_is_a_project(tmp_path: Path) -> None:
    (tmp_path / "bareboat.toml").write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    kinds = [m.kind for m in load(tmp_path).mounts if m.kind not in ("code", "results")]
    assert sorted(kinds) == ["anonymous", "mount", "tmpfs", "volume", "volume"] and load(tmp_path).cache


def test_every_word_of_the_grammars_is_told() -> None:
    for word in (*_KEYS, *PROPAGATIONS, *WITHOUT_EFFECT, *_TMPFS_FLAGS, *(name for name, _ in VARIABLES), TARGET):
        if word not in ("bind-nonrecursive", "image-subpath"):  # older names of what is told
            assert word in PAGE, word


def test_every_error_of_the_page_is_one() -> None:
    assert gitfetch.CodeError.__doc__ is not None
    source = "".join(path.read_text() for path in (Path(__file__).parents[2] / "src/bareboat").rglob("*.py"))
    for code in ("code.ref", "code.commit", "code.subdir", "code.unreachable", "code.offline", "project.outside"):
        assert f"`{code}`" in PAGE and f'"{code}"' in source


@pytest.mark.parametrize("verb", ["run", "create", "shell", "notebook", "ssh"])
def test_every_verb_that_starts_a_container_takes_them(verb: str) -> None:
    words = ["--volume", "a:/a", "--mount", "target=/b", "--tmpfs", "/c", "--cache"]
    found = parser_of(verb).parse_args(words)
    assert (found.volume, found.mount, found.tmpfs, found.cache) == (["a:/a"], ["target=/b"], ["/c"], True)
    assert parser_of(verb).parse_args(["--no-cache"]).cache is False and parser_of(verb).parse_args([]).volume == []

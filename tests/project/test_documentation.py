"""The page of the project file: its example holds, and it has every key."""

from __future__ import annotations

from pathlib import Path

from bareboat.project import load

PAGE = Path(__file__).parents[2] / "docs/project-file.md"


def test_the_example_of_the_page_is_a_project(make) -> None:
    example = PAGE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    project = load(make({"bareboat.toml": example, "src/run.py": ""}))
    assert project.python.specifier == "3.12" and project.resources.memory == 8 << 30
    assert dict(project.commands)["report"][:2] == ("/bin/sh", "-c")


def test_the_page_has_every_key() -> None:
    from bareboat.project.keys import PROJECT

    text = PAGE.read_text("utf-8")
    assert all(f"| `{key.name}`" in text for key in PROJECT.keys)

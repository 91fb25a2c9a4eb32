"""The JSON Schema and the reference of the project file, made from the table of keys.

bareboat.schema.json ships beside this module; docs/generate.py writes it, and a test holds it current.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bareboat.project.keys import PROJECT
from bareboat.project.kinds import Either, Key, Kind, ListOf, Table

SCHEMA_FILE = Path(__file__).with_name("bareboat.schema.json")


def schema() -> dict[str, Any]:
    """The schema of bareboat.toml and of [tool.bareboat] (JSON Schema, draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bareboat.toml",
        "description": "A bareboat project; all of it is optional.",
    } | PROJECT.schema()


def schema_text() -> str:
    """The schema as the file that ships."""
    import json

    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def reference() -> str:
    """The reference of the keys as Markdown: a table for the file, and one for each table in it."""
    parts = [_table("Top level", PROJECT.keys)]
    for key in PROJECT.keys:
        for inner in _tables(key.kind):
            parts.append(_table(f"`{key.name}` as a table", inner.keys))
    return "\n".join(parts)


def _tables(kind: Kind) -> Iterator[Table]:
    if isinstance(kind, Table):
        yield kind
    elif isinstance(kind, Either):
        for each in kind.kinds:
            yield from _tables(each)
    elif isinstance(kind, ListOf):
        yield from _tables(kind.kind)


def _table(title: str, keys: tuple[Key, ...]) -> str:
    lines = [f"### {title}", "", "| key | what | may be | without it | example |", "|---|---|---|---|---|"]
    for key in keys:
        needed = " (required)" if key.required else ""
        cells = (f"`{key.name}`{needed}", key.help, key.kind.allowed, key.default, f"`{key.example}`")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"

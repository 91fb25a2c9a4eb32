"""Write what is generated from tables in the code: the JSON Schema, docs/settings.md, the key reference.

    python docs/generate.py

A test holds the results current.
"""

from __future__ import annotations

from pathlib import Path

from bareboat import settings
from bareboat.project import schema

DOCS = Path(__file__).parent
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"


def pages() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    return {
        schema.SCHEMA_FILE: schema.schema_text(),
        DOCS / "project-file.md": _inside(DOCS / "project-file.md", schema.reference()),
        DOCS / "settings.md": _inside(DOCS / "settings.md", _settings()),
    }


def _inside(page: Path, text: str) -> str:
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    return before + BEGIN + "\n" + text + "\n" + END + rest.partition(END)[2]


def _settings() -> str:
    lines = ["| setting | variable | what | may be | default |", "|---|---|---|---|---|"]
    for name, (_, row) in settings.rows().items():
        variable = "none: for administrators" if row.administrator else f"`{row.variable}`"
        lines.append(f"| `{name}` | {variable} | {row.help} | {row.allowed} | {row.default} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")

"""Write what is generated from tables in the code: the JSON Schema, docs/settings.md, the key reference, and the
table of engines.

    python docs/generate.py

A test holds the results current.
"""

from __future__ import annotations

from pathlib import Path

from bareboat import settings
from bareboat.engine.base import Capabilities
from bareboat.engine.bubblewrap import CAPABILITIES as BUBBLEWRAP
from bareboat.engine.oci_command import Client
from bareboat.engine.oci_facts import Facts, capabilities
from bareboat.project import schema
from bareboat.values import fields

DOCS = Path(__file__).parent
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"


def pages() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    return {
        schema.SCHEMA_FILE: schema.schema_text(),
        DOCS / "project-file.md": _inside(DOCS / "project-file.md", schema.reference()),
        DOCS / "settings.md": _inside(DOCS / "settings.md", _settings()),
        DOCS / "engines.md": _inside(DOCS / "engines.md", _engines()),
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


def _engines() -> str:
    """What each engine can do: a row for each of its Capabilities."""
    columns = {
        "bubblewrap": BUBBLEWRAP,
        "docker": capabilities(Facts(Client("docker", "docker"), "")),
        "podman of root's": capabilities(Facts(Client("podman", "podman"), "")),
        "rootless podman": capabilities(Facts(Client("podman", "podman", rootless=True), "")),
        "rootless podman, cgroup v1": capabilities(
            Facts(Client("podman", "podman", rootless=True), "", memory=False, cpus=False, pids=False)),
    }
    lines = ["| what | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in fields(Capabilities):
        cells = [_word(getattr(able, row.name)) for able in columns.values()]
        lines.append(f"| {row.metadata['help']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _word(value: object) -> str:
    return {True: "yes", False: "–", "": "–", "kernel": "yes"}.get(value, str(value))  # type: ignore[call-overload]


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")

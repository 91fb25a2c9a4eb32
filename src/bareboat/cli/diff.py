"""bareboat diff."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bareboat.cli.plain import plain
from bareboat.cli.term import style
from bareboat.cli.verdict import add_tolerance, tolerance, verdict_document, verdict_lines

if TYPE_CHECKING:
    from bareboat.verbs.diff import Change, Difference

SUMMARY = "What differs between two runs: packages, code as a patch, command, variables, data, results."
EXAMPLES = """\
  bareboat diff 3f9a1c last
  bareboat diff 3f9a1c 77b0e2 --rtol 1e-3
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Two runs."""
    parser.add_argument("old", metavar="A", help='id or its beginning, a name, or "last"')
    parser.add_argument("new", metavar="B", help="the other")
    add_tolerance(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """0 nothing differs, 1 something does, 125 it could not be said."""
    from bareboat.verbs.diff import diff
    from bareboat.wiring import store

    found = diff(store(), options.old, options.new, tolerance(options))
    if options.json:
        print(json.dumps(document(found), indent=2))
    else:
        for line in lines(found):
            print(line)
    return 0 if found.same else 1


def document(found: Difference) -> dict[str, object]:
    """The difference for programs."""

    def changes(items: tuple[Change, ...]) -> list[dict[str, str]]:
        return [{"name": name, "old": old, "new": new} for name, old, new in items]

    return {
        "old": found.old.id, "new": found.new.id, "same": found.same, "packages": changes(found.packages),
        "settings": changes(found.settings), "env": changes(found.env), "machine": changes(found.machine),
        "data": [{"target": t, "answer": a.answer, "detail": a.detail} for t, a in found.data],
        "code": list(found.code), "results": verdict_document(found.results),
        "problems": list(found.problems),
    }  # fmt: skip


def lines(found: Difference) -> Iterator[str]:
    """The difference for people; sections without a difference are named at the end."""
    yield f"{found.old.id} → {found.new.id}"
    equal = []
    sections = (
        ("packages", found.packages),
        ("settings", found.settings),
        ("variables", found.env),
        ("machine", found.machine),
    )
    for title, items in sections:
        if items:
            yield style(title, "bold", 1)
            yield from map(_change, items)
        else:
            equal.append(title)
    if found.data and any(a.answer != "same" for _, a in found.data):
        yield style("data", "bold", 1)
        yield from (f"  {plain(t)}: {a.answer}: {plain(a.detail)}" for t, a in found.data)
    else:
        equal.append("data")
    if found.code:
        yield style("code", "bold", 1)
        yield from map(_patch, found.code)
    else:
        equal.append("code")
    yield style("results", "bold", 1)
    yield from verdict_lines(found.results)
    yield from (f"{style('note', 'yellow', 1)} {plain(problem)}" for problem in found.problems)
    if equal:
        yield f"no difference in: {', '.join(equal)}"


def _change(item: Change) -> str:
    name, old, new = map(plain, item)
    if not old:
        return f"  {style('+', 'green', 1)} {name} {new}"
    return f"  {style('-', 'red', 1)} {name} {old}" if not new else f"  {name}: {old} → {new}"


def _patch(line: str) -> str:
    text = plain(line.replace("\t", "    "))
    if line.startswith(("+", "-")) and not line.startswith(("+++", "---")):
        return "  " + style(text, "green" if line[0] == "+" else "red", 1)
    return "  " + text

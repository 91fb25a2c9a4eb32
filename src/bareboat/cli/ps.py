"""bareboat ps."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from bareboat.values import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bareboat.verbs.containers import Seen

SUMMARY = "List containers: those that run, or all."
EXAMPLES = """\
  bareboat ps
  bareboat ps -a --filter label=sweep=lr
  bareboat ps -aq --filter status=exited | xargs bareboat rm
"""
COMMAND = 30  # characters of a command that are shown
FILTERS = ("id", "name", "label", "status", "exited", "health", "project", "engine")


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("-a", "--all", action="store_true", help="those that do not run too")
    parser.add_argument("--ids", action="store_true", help="ids only; -q behind ps means the same")
    parser.add_argument("-f", "--filter", action="append", default=[], metavar="KEY=VALUE",
                        help=f"only such: {', '.join(FILTERS)}")
    parser.add_argument("-n", "--last", type=int, default=0, metavar="N", help="the newest N, of all")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids and commands")
    parser.add_argument("--json", action="store_true", help="for programs")


def parse(words: list[str]) -> argparse.Namespace:
    """-q means ids only, as Docker's; -aq too."""
    from bareboat.cli.dispatch import parser_of

    words = [{"-q": "--ids", "--quiet": "--ids", "-aq": "-a", "-qa": "-a"}.get(word, word) for word in (
        w for word in words for w in ([word, "-q"] if word in ("-aq", "-qa") else [word]))]
    parsed: argparse.Namespace = parser_of("ps").parse_args(words)
    return parsed


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.plain import clip, width
    from bareboat.cli.term import table
    from bareboat.verbs.containers import listed
    from bareboat.wiring import store

    tests = [_test(word) for word in options.filter]
    every = options.all or options.last or any(word.startswith(("status=", "exited=")) for word in options.filter)
    found = [seen for seen in listed(store()) if (every or seen.running) and all(test(seen) for test in tests)]
    found = found[: options.last] if options.last else found
    if options.json:
        print(json.dumps([document(seen) for seen in found], indent=2))
    elif options.ids:
        for seen in found:
            print(seen.container.id if options.no_trunc else seen.container.id[:12])
    else:
        rows: list[tuple[str, ...]] = [("CONTAINER", "NAME", "IMAGE", "STATUS", "COMMAND", "PORTS")]
        for seen in found:
            c = seen.container
            words = " ".join(c.argv)
            rows.append((c.id, c.name, c.image or c.project, status(seen),
                         words if options.no_trunc else clip(words, COMMAND), ", ".join(ports(seen))))
        text = table(rows if any(row[5] for row in rows[1:]) else [row[:5] for row in rows])
        print(text if options.no_trunc else "\n".join(clip(line, width()) for line in text.splitlines()))
    return 0


def status(seen: Seen) -> str:
    """As docker ps says it."""
    record, told = seen.record, seen.told
    if seen.state == "created":
        return "created"
    if seen.state == "dead":
        return f"dead: {record.reason}"
    if seen.running:
        health = f", {told['health']}" if told.get("health") else ""
        if seen.state == "restarting":
            return f"restarting ({record.reason})" if record.reason else "restarting"
        base = "running" if not told else f"up {ago(float(told.get('seconds', 0)))}"
        return f"{base}{' (paused)' if seen.state == 'paused' else ''}{health}"
    why = f" {record.reason}" if record.reason else ""
    return f"exited ({record.exit_code}){why}, {ago(time.time() - _epoch(record.ended))} ago"


def ports(seen: Seen) -> list[str]:
    """As its supervisor says, who knows those that were chosen."""
    return list(seen.told.get("ports") or seen.container.ports)


def _epoch(text: str) -> float:
    import calendar

    try:
        return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return time.time()


def ago(seconds: float) -> str:
    """A stretch of time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def document(seen: Seen) -> dict[str, Any]:
    """A container for programs."""
    c, r = seen.container, seen.record
    return {"id": c.id, "name": c.name, "image": c.image, "project": c.project, "engine": c.engine,
            "command": list(c.argv), "state": seen.state, "status": status(seen), "exit_code": r.exit_code,
            "reason": r.reason, "health": seen.told.get("health", ""), "attempt": r.attempt, "created": c.created,
            "started": r.started, "ended": r.ended, "labels": dict(c.labels), "ports": ports(seen),
            "foreground": seen.foreground, "supervisor": seen.told.get("pid")}


def _test(word: str) -> Callable[[Seen], bool]:
    """A filter as a function. Raises UsageError "usage.filter"."""
    from bareboat.errors import UsageError

    key, equals, value = word.partition("=")
    if key not in FILTERS or not equals:
        raise UsageError("usage.filter", f"{word!r} is no filter", where="--filter",
                         hint=f"KEY=VALUE with one of {', '.join(FILTERS)}")
    name, has, wanted = value.partition("=")
    tests: dict[str, Callable[[Seen], bool]] = {
        "id": lambda s: s.container.id.startswith(value),
        "name": lambda s: value in s.container.name,
        "label": lambda s: (dict(s.container.labels).get(name) == wanted) if has else name in dict(s.container.labels),
        "status": lambda s: s.state == value,
        "exited": lambda s: s.state == "exited" and str(s.record.exit_code) == value,
        "health": lambda s: s.told.get("health", "") == value,
        "project": lambda s: s.container.project == value,
        "engine": lambda s: s.container.engine == value,
    }
    return tests[key]

"""bareboat why."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

SUMMARY = "Why a package is in the environment: the ways to it from what the project asks for, and where it came from."
EXAMPLES = "  bareboat why scipy\n  bareboat why libssl3t64\n  bareboat why torch --image seg:1 --json\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", metavar="PACKAGE", help="a Python or system package")
    parser.add_argument("--image", metavar="IMAGE", help="of an image instead of the project")
    parser.add_argument("--project", metavar="DIR", help="the project's folder (default: this one)")
    parser.add_argument("--locked", action="store_true", help="refuse when the lock is not up to date")
    parser.add_argument("--offline", action="store_true", default=None, help="use only what is on this machine")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """The ways, one a line, shortest first."""
    from bareboat.cli.plain import plain
    from bareboat.cli.term import Reporter, size
    from bareboat.errors import UsageError
    from bareboat.verbs.subject import subject
    from bareboat.verbs.why import why
    from bareboat.wiring import work

    if options.image and options.project:
        raise UsageError("usage.both", "an image and a project were named", hint="name one of them")
    collaborators = work(Reporter(options.level), offline=options.offline)
    of = subject(options.image, Path(options.project).absolute() if options.project else None, collaborators,
                 locked=options.locked)
    reasons = why(options.package, of, collaborators)
    if options.json:
        print(json.dumps({"plan": of.plan.digest, "packages": [asdict(r) for r in reasons]}, indent=2))
        return 0
    for number, r in enumerate(reasons):
        rooms = [f"{size(r.size)} packed"] * bool(r.size) + [f"{size(r.unpacked)} unpacked"] * bool(r.unpacked)
        lines = [f"{r.name} {r.version}", *([f"  size    {', '.join(rooms)}"] if rooms else []),
                 *([f"  from    {r.source}"] if r.source else []), *([f"  layer   {r.layer}"] if r.layer else [])]
        lines += [f"  {'because' if not n else '       '} {' → '.join(way)}" for n, way in enumerate(r.chains)]
        shown = " ".join(word for way in r.chains for word in way)
        others = [name for name in r.needed_by if name not in shown]
        if others:
            lines.append(f"  needed  by {', '.join(others)}")
        print(("\n" if number else "") + "\n".join(plain(line) for line in lines))
    return 0

"""bareboat build."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "Make the project's image without running it."
EXAMPLES = ("  bareboat build\n  bareboat build -t seg:1 ./project\n"
            "  bareboat build -t seg:1 --platform linux/amd64,linux/arm64\n"
            "  bareboat build --no-code -t env:1        the environment, without the project's code\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("context", nargs="?", metavar="CONTEXT", help="the project's folder (default: this one)")
    parser.add_argument("-t", "--tag", action="append", default=[], metavar="NAME[:TAG]", help="a name for the image")
    parser.add_argument("--no-code", action="store_true", help="leave the project's code out: the environment alone")
    parser.add_argument("--platform", action="append", default=[], metavar="OS/ARCH[,…]",
                        help="what for (default: the platforms of the project file, else this machine); nothing of "
                        "another platform is executed")
    parser.add_argument("--locked", action="store_true", help="refuse when the lock is not up to date")
    parser.add_argument("--replace", action="append", default=[], metavar="PACKAGE",
                        help="a compiled package of the base image that may be replaced")
    parser.add_argument("--offline", action="store_true", default=None, help="use only what is on this machine")


def command(options: argparse.Namespace) -> int:
    """Prints the plan digest on standard output, of several platforms a line each, this machine's first."""
    from bareboat.cli.term import Reporter
    from bareboat.image.platforms import parse_platforms
    from bareboat.project import find_root
    from bareboat.verbs.build import build
    from bareboat.verbs.lock_mode import LockMode
    from bareboat.wiring import work

    folder = Path(options.context).absolute() if options.context else find_root(Path.cwd())
    mode = LockMode(options.locked, replace=tuple(options.replace), platforms=parse_platforms(options.platform))
    made = build(folder, tuple(options.tag), mode, work(Reporter(options.level), offline=options.offline),
                 code=not options.no_code)
    print("\n".join(m.plan for m in made))
    return 0

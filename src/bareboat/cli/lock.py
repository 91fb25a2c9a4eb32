"""bareboat lock."""

from __future__ import annotations

import argparse
from pathlib import Path

SUMMARY = "Bring pylock.toml and bareboat.lock up to date with the project."
EXAMPLES = """\
  bareboat lock                      resolve what changed, keep every other version
  bareboat lock --upgrade            the newest of everything, the base included
  bareboat lock --upgrade numpy      the newest numpy
  bareboat lock --locked             only check: fails when the lock is stale
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--upgrade", "-U", nargs="*", metavar="PACKAGE", default=None,
                        help="newer versions, of everything or of these packages")
    parser.add_argument("--locked", action="store_true", help="change nothing; fail when the lock is stale")
    parser.add_argument("--replace", action="append", default=[], metavar="PACKAGE",
                        help="a compiled package of the base image that may be replaced")
    parser.add_argument("--offline", action="store_true", default=None, help="use only what is on this machine")
    parser.add_argument("--project", metavar="DIR", help="the project's folder, when it is not this one")


def command(options: argparse.Namespace) -> int:
    """0 when the lock is up to date afterwards."""
    from bareboat.cli.term import Reporter
    from bareboat.project import find_root, load, lock_inputs
    from bareboat.verbs.lock import lock
    from bareboat.verbs.lock_mode import LockMode
    from bareboat.wiring import work

    project = load(Path(options.project).absolute() if options.project else find_root(Path.cwd()))
    upgrade = False if options.upgrade is None else tuple(options.upgrade) or True
    at_work = work(Reporter(options.level), offline=options.offline)
    made = lock(project, lock_inputs(project), LockMode(options.locked, upgrade, tuple(options.replace)), at_work)
    if not made.made:
        at_work.tell.say("the lock is up to date")
    return 0

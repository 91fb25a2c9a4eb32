"""bareboat start."""

from __future__ import annotations

import argparse

SUMMARY = "Start containers that were created or have ended, each on a fresh writable layer."
EXAMPLES = """\
  bareboat start sweep
  bareboat start -a sweep        attached: its output here, its exit code
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Names, and whether to stay."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="names, ids, or the beginnings of ids")
    parser.add_argument("-a", "--attach", action="store_true", help="show its output from the start, and wait")


def command(options: argparse.Namespace) -> int:
    """0, or the program's own with -a."""
    from bareboat.cli.life import each
    from bareboat.cli.term import Reporter
    from bareboat.errors import UsageError
    from bareboat.verbs import containers, launch
    from bareboat.wiring import work

    def one(name: str) -> None:
        seen = containers.find(at_work.store, name)
        launch.start(seen, for_engine(seen.container.engine))

    def for_engine(engine: str):  # type: ignore[no-untyped-def]  # Work, imported late
        return at_work if at_work.engine.name == engine else work(Reporter(options.level), engine=engine)

    at_work = work(Reporter(options.level))
    if not options.attach:
        return each(options.names, one)
    if len(options.names) > 1:
        raise UsageError("usage.one", "one container at a time can be attached to", where="-a")
    import time

    from bareboat.cli.logs import show

    since = time.time()
    one(options.names[0])
    return show(at_work.store, options.names[0], follow=True, since=since)

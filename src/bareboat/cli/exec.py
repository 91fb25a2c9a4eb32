"""bareboat exec."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bareboat.engine.base import Streams
    from bareboat.store import Store
    from bareboat.verbs.enter import ExecRequest

SUMMARY = "Run a program more in a container or a queued run that runs; exits with its code."
EXAMPLES = """\
  bareboat exec sweep nvidia-smi
  bareboat exec -it sweep bash
  bareboat exec -e DEBUG=1 -w /app sweep python -c 'import torch'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    add = parser.add_argument
    add("-i", "--interactive", action="store_true", help="keep standard input open")
    add("-t", "--tty", action="store_true", help="a terminal")
    add("-d", "--detach", action="store_true", help="do not wait for its end")
    add("-e", "--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable")
    add("--env-file", action="append", default=[], metavar="FILE", help="variables from a file")
    add("-w", "--workdir", metavar="DIR", help="working directory inside")
    add("-u", "--user", metavar="UID", help="the user the container has; another cannot be had")
    add("name", metavar="NAME", help="a container or a queued run that runs")
    add("argv", nargs="...", metavar="PROGRAM …", help="what to run")


def command(options: argparse.Namespace) -> int:
    """The program's own code; 126 cannot be run, 127 not found, 125 bareboat failed."""
    from bareboat.cli.term import Reporter
    from bareboat.errors import EngineError, UsageError
    from bareboat.verbs import containers
    from bareboat.verbs.enter import ExecRequest, execute_in
    from bareboat.verbs.prepare import env_file, env_words
    from bareboat.wiring import work

    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if options.tty and not os.isatty(0):
        raise UsageError("usage.no-terminal", "-t was asked for, but standard input is no terminal",
                         hint="leave out -t")
    env = [pair for file in options.env_file for pair in env_file(Path(file))]
    at_work = work(Reporter(options.level))
    try:
        seen = containers.running(at_work.store, options.name)
    except UsageError as error:
        away = _elsewhere(options, at_work.store) if error.code.startswith("container.") else None
        if away is None:
            raise
        return away(ExecRequest(tuple(argv), (*env, *env_words(tuple(options.env))), options.workdir, options.tty))
    if seen.container.engine not in ("", at_work.engine.name):
        at_work = work(Reporter(options.level), engine=seen.container.engine)
    if options.user is not None and options.user.split(":")[0] != str(seen.record.uid):
        raise UsageError("exec.user", f"the container has one user, {seen.record.uid}, and not {options.user[:40]!r}",
                         where="--user", hint="start it as another with run -u")
    if options.detach:
        return _detached(options, argv)
    request = ExecRequest(tuple(argv), (*env, *env_words(tuple(options.env))), options.workdir, options.tty)
    try:
        return execute_in(options.name, request, at_work, _streams(options)).code
    except EngineError as error:
        if error.code == "container.gone":
            _elsewhere(options, at_work.store)  # which says so where it runs on another machine
        raise


def _streams(options: argparse.Namespace) -> Streams:
    from bareboat.engine.base import Streams

    return Streams(_to(1), _to(2), 0 if options.interactive else None, 0 if options.tty else None)


def _elsewhere(options: argparse.Namespace, store: Store) -> Callable[[ExecRequest], int] | None:
    """How a queued run is entered that a cluster has; None where no queued run is meant. Raises UsageError."""
    from bareboat.errors import UsageError
    from bareboat.verbs.enter_queued import elsewhere, execute_elsewhere
    from bareboat.wiring import queue_of

    entry = elsewhere(store, options.name)
    if entry is None:
        return None
    if options.user is not None or options.detach:
        raise UsageError("exec.cluster", "of a run on a cluster the user is its own, and its end is waited for",
                         where="--user" if options.user is not None else "--detach", hint="leave it out")
    queue = queue_of(store)
    assert queue is not None
    return lambda request: execute_elsewhere(entry, request, queue, _streams(options)).code


def _detached(options: argparse.Namespace, argv: list[str]) -> int:
    """The same in a process of its own, without the caller's streams."""
    import sys

    from bareboat.host.background import start_detached

    words = [w for e in options.env for w in ("-e", e)] + [w for f in options.env_file for w in ("--env-file", f)]
    words += ["-w", options.workdir] if options.workdir else []
    start_detached((sys.executable, "-m", "bareboat", "-q", "exec", *words, "--", options.name, *argv), os.environ)
    return 0


def _to(stream: int):  # type: ignore[no-untyped-def]
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(stream, view):]

    return write

"""bareboat notebook."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from bareboat.cli import mounts
from bareboat.errors import UsageError

SUMMARY = "JupyterLab on the project's environment, in the browser; it is not among the project's requirements."
EXAMPLES = """\
  bareboat notebook                        the URL is printed, and opened where there is a browser
  bareboat notebook --idle-stop 2h         ends when nothing happened for two hours
  bareboat notebook --port 9000 --no-browser
"""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def configure(parser: argparse.ArgumentParser) -> None:
    """The server's own; the rest as run's."""
    add = parser.add_argument
    add("--port", type=int, metavar="N", help="a port of 127.0.0.1 (a free one, from 8888 on)")
    add("--idle-stop", metavar="TIME", default="0",
        help="end after so long without activity, as 30m or 2h; 0: never (0)")
    add("--no-browser", action="store_true", help="print the URL and open nothing")
    add("--upgrade", action="store_true", help="lock the newest JupyterLab")
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument("--keep", action="store_true", default=None,
                      help="put what was installed by hand into the project")
    keep.add_argument("--no-keep", dest="keep", action="store_false", help="say what was installed, and do not ask")
    mounts.configure(parser)
    add("-e", "--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable")
    add("-g", "--gpus", metavar="GPUS", help="all, a number, device=0,1 (indexes, UUIDs, MIG instances) or none")
    add("--cpus", metavar="N", help="CPUs, a decimal number")
    add("-m", "--memory", metavar="SIZE", help="memory limit, as 8g")
    add("--shm-size", metavar="SIZE", help="size of /dev/shm")
    add("--network", choices=("host", "none"), help="host (the default) or none")
    add("--name", metavar="NAME", help="a name for the session, to find it by")
    add("--project", metavar="DIR", help="the project's folder, when it is not this one")
    add("--scratch", choices=("tmpfs", "disk"), help="where what you install lives until the end")
    add("--locked", action="store_true", help="refuse when the lock is not up to date")
    add("--offline", action="store_true", default=None, help="use only what is on this machine")


def command(options: argparse.Namespace) -> int:
    """0 when it was stopped or idle; else the server's own code."""
    from bareboat.cli.run import DEFAULTS, engine_of, request_of
    from bareboat.cli.shell import ask
    from bareboat.cli.term import Reporter
    from bareboat.verbs.notebook import Caller, NotebookRequest, notebook
    from bareboat.wiring import work

    said = {name: value for name, value in vars(options).items() if name in DEFAULTS}
    run = request_of(argparse.Namespace(**{**DEFAULTS, **said, "words": [], "program": [], "project_run": True}))
    request = NotebookRequest(run, options.port, seconds(options.idle_stop), options.upgrade, options.keep)
    caller = Caller(show, None if options.no_browser else browser(), ask, os.environ)
    code = notebook(request, work(Reporter(options.level), offline=options.offline, scratch=options.scratch,
                   engine=engine_of(argparse.Namespace(**{**DEFAULTS, **said}))),
                    caller).exit_code
    return 125 if code is None else code


def seconds(text: str) -> int:
    """A time as people write it: 90, 30s, 30m, 2h, 1.5d. Raises UsageError "usage.time"."""
    number, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value * unit < 1e9:
        raise UsageError("usage.time", f"{text!r} is no time", where="--idle-stop", hint="as 30m or 2h; 0 for never")
    return int(value * unit)


def show(url: str) -> None:
    """The URL, on standard output."""
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def browser() -> Callable[[Path], None] | None:
    """What opens a file in the person's browser; None without a screen, or over SSH."""
    import shutil

    if os.environ.get("SSH_CONNECTION"):
        return None
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    program = shutil.which("open" if sys.platform == "darwin" else "xdg-open") if screen else None
    if program is None:
        return None

    def opened(page: Path) -> None:
        from bareboat.host.background import start_detached

        try:
            start_detached((program, os.fspath(page)), os.environ)
        except OSError:
            pass  # the URL is there to be clicked

    return opened

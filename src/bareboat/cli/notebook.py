"""bareboat notebook."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from bareboat.cli.shell import session_options
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
    session_options(parser)


def command(options: argparse.Namespace) -> int:
    """0 when it was stopped or idle; else the server's own code."""
    from bareboat.cli.run import request_of, work_of
    from bareboat.cli.shell import ask, with_defaults
    from bareboat.verbs.notebook import Caller, NotebookRequest, notebook

    run = with_defaults(options, [])
    request = NotebookRequest(request_of(run), options.port, seconds(options.idle_stop), options.upgrade, options.keep)
    caller = Caller(show, None if options.no_browser else browser(), ask, os.environ)
    code = notebook(request, work_of(run), caller).exit_code
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

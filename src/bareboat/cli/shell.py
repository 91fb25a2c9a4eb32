"""bareboat shell."""

from __future__ import annotations

import argparse
import sys

from bareboat.cli import mounts

SUMMARY = "Work inside the project's environment: the code is live and writable, your home is kept."
EXAMPLES = """\
  bareboat shell                           bash in the environment; pip install works as anywhere
  bareboat shell --keep                    what you pip install goes into requirements.txt when you leave
  bareboat shell -- python -i src/run.py   something else than a shell
  bareboat shell --root                    root of the user namespace, for apt-get
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """As run's, where it is the same."""
    add = parser.add_argument
    add("program", nargs="...", metavar="[--] [CMD …]", help="what to start instead of a shell")
    add("--root", action="store_true", help="root of the user namespace, for apt-get; nothing outside changes")
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument("--keep", action="store_true", default=None,
                      help="put what was installed by hand into the project")
    keep.add_argument("--no-keep", dest="keep", action="store_false", help="say what was installed, and do not ask")
    add("--fresh-home", action="store_true", help="begin with an empty home; the old one is removed")
    session_options(parser)


def session_options(parser: argparse.ArgumentParser) -> None:
    """What every kind of session takes, as run does."""
    add = parser.add_argument
    mounts.configure(parser)
    add("-e", "--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable")
    add("-w", "--workdir", metavar="DIR", help="working directory inside")
    add("-g", "--gpus", metavar="GPUS", help="all, a number, a share of one as 0.5, device=0,1 (indexes, UUIDs, "
        "MIG instances) or none")
    add("--cpus", metavar="N", help="CPUs, a decimal number")
    add("-m", "--memory", metavar="SIZE", help="memory limit, as 8g")
    add("--shm-size", metavar="SIZE", help="size of /dev/shm")
    add("--network", choices=("host", "none"), help="host (the default) or none")
    add("--name", metavar="NAME", help="a name for the session, to find it by")
    add("--project", metavar="DIR", help="the project's folder, when it is not this one")
    add("--scratch", choices=("tmpfs", "disk"), help="where what you install lives until the end")
    add("--engine", choices=("bubblewrap", "docker", "podman"), help="what runs the container (bubblewrap)")
    add("--locked", action="store_true", help="refuse when the lock is not up to date")
    add("--offline", action="store_true", default=None, help="use only what is on this machine")


def with_defaults(options: argparse.Namespace, program: list[str]) -> argparse.Namespace:
    """The options as those of a run, for cli.run."""
    from bareboat.cli.run import DEFAULTS, LIFE

    said = {name: value for name, value in vars(options).items() if name in DEFAULTS and name not in LIFE}
    return argparse.Namespace(**{**DEFAULTS, **said, "words": [], "program": program, "project_run": True})


def command(options: argparse.Namespace) -> int:
    """The shell's own exit code."""
    from bareboat.cli.run import request_of, work_of
    from bareboat.verbs.shell import ShellRequest, shell

    run = with_defaults(options, options.program[1:] if options.program[:1] == ["--"] else options.program)
    code = shell(ShellRequest(request_of(run), options.keep, options.fresh_home), work_of(run), ask).exit_code
    return 125 if code is None else code


def ask(question: str) -> bool:
    """A yes or no from the terminal; no where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except (OSError, KeyboardInterrupt):
        return False

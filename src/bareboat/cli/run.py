"""bareboat run: the words of the command line to a run request, and what is said about it."""

from __future__ import annotations

from types import SimpleNamespace

from bareboat.errors import UsageError
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from bareboat.verbs.collaborators import Work
    from bareboat.verbs.launch import Life
    from bareboat.verbs.prepare import RunRequest
    from bareboat.workload import Port

SUMMARY = "Run a program in the project's environment: locked, assembled, recorded, and thrown away."
EXAMPLES = """\
  bareboat run -- python src/run.py              the folder's own environment
  bareboat run -e LR=0.1 -- python src/run.py    with a variable
  bareboat run --results out/a -- python src/run.py
  bareboat run --explain -- python src/run.py    the plan and the exact sandbox
  bareboat run train                             a command named in bareboat.toml
  bareboat run --param lr=0.1 fit.ipynb          a notebook; executed, it is results/fit.ipynb
  bareboat run -v ./more:/more IMAGE ls /more    an image, mounts only by -v
"""
LIFE: dict[str, object] = {  # cli/life.py reads these
    "detach": False, "label": [], "restart": None, "health_cmd": None, "health_interval": None,
    "health_timeout": None, "health_retries": None, "health_start_period": None, "stop_signal": None,
    "stop_timeout": None, "publish": [], "max_time": None, "idle_stop": None,
}
DEFAULTS: dict[str, object] = {
    "volume": [], "mount": [], "tmpfs": [], "cache": None, "code": None, "startup": None, "refresh": False,
    "env": [], "env_file": [], "workdir": None, "user": None, "root": False, "entrypoint": None,
    "interactive": None, "tty": None, "gpus": None, "cpus": None, "memory": None, "pids_limit": None, "shm_size": None,
    "network": None, "rm": False, "name": None, "results": None, "locked": False, "offline": None, "explain": False,
    "scratch": None, "scratch_size": None, "project": None, "data": None, "replace": [], "json": False, "level": None,
    "platform": None, "engine": None, "param": [], **LIFE,
}


def parse(words: list[str], verb: str = "run") -> argparse.Namespace | SimpleNamespace:
    """Everything after -- is the program; before it, options and then an image or a named command, whose words it is
    then (run [IMAGE] [--] [CMD…]).

    Without options argparse is not even imported: that is the common case, and its start counts.
    """
    at = words.index("--") if "--" in words else None
    options, program = (words, []) if at is None else (words[:at], words[at + 1:])
    if not options:
        return SimpleNamespace(**DEFAULTS, words=[], program=program, project_run=at is not None)
    from bareboat.cli.dispatch import parser_of

    parsed: argparse.Namespace = parser_of(verb).parse_args(options)
    if parsed.words and at is not None:  # behind an image's own words -- is one of them
        parsed.words, program = [*parsed.words, *(["--"] if len(parsed.words) > 1 else []), *program], []
    parsed.program, parsed.project_run = program, not parsed.words
    for flag in ("volume", "mount", "tmpfs", "env", "env_file", "replace", "label", "publish", "param"):
        setattr(parsed, flag, getattr(parsed, flag) or [])
    return parsed


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words where Docker has them."""
    from bareboat.cli.life import configure as configure_life

    add = parser.add_argument
    configure_workload(parser)
    add("-i", "--interactive", action="store_true", default=None, help="keep standard input open")
    add("-t", "--tty", action="store_true", default=None, help="a terminal inside (by itself when there is one)")
    add("--rm", action="store_true", help="with -d: list it no more when it ends; without, that is always so")
    add("--engine", choices=("bubblewrap", "docker", "podman"), help="what runs the container (bubblewrap)")
    add("--param", action="append", metavar="NAME=VALUE", help="a parameter of a notebook that is run")
    add("--explain", action="store_true", help="print plan and sandbox, run nothing")
    add("--json", action="store_true", help="with --explain: for programs")
    configure_life(parser)


def configure_workload(parser: argparse.ArgumentParser) -> None:
    """What is run and what it gets: the words that `train` has too."""
    from bareboat.cli import mounts

    add = parser.add_argument
    add("words", nargs="...", metavar="[IMAGE | NAMED COMMAND] [ARGS] [-- PROGRAM …]",
        help="an image, or a command named in the project file; -- and a program for the project's own environment")
    mounts.configure(parser, "-v")
    add("-e", "--env", action="append", metavar="NAME[=VALUE]", help="variable; without a value the caller's")
    add("--env-file", action="append", metavar="FILE", help="variables from a file, NAME=VALUE a line")
    add("-w", "--workdir", metavar="DIR", help="working directory inside")
    add("-u", "--user", metavar="UID[:GID]", help="user inside; 0 is root of the user namespace only")
    add("--root", action="store_true", help="the same as -u 0")
    add("--entrypoint", metavar="PROGRAM", help="put before the program's words")
    add("-g", "--gpus", metavar="GPUS", help="all, a number, a share of one as 0.5, device=0,1 (indexes, UUIDs, "
        "MIG instances) or none")
    add("--cpus", metavar="N", help="CPUs, a decimal number")
    add("-m", "--memory", metavar="SIZE", help="memory limit, as 8g")
    add("--pids-limit", "--pids", metavar="N", help="limit of processes")
    add("--shm-size", metavar="SIZE", help="size of /dev/shm")
    add("--network", choices=("host", "none"), help="host (the default) or none")
    add("--name", metavar="NAME", help="a name for the run, to find it by")
    add("--results", metavar="DIR", help="another results folder")
    add("--data", metavar="DIR", help="another data folder")
    add("--project", metavar="DIR", help="the project's folder, when it is not this one")
    add("--code", metavar="git+URL[@REF][#subdir=DIR]", help="the project of a git repository (https, ssh or file), "
        "read-only; results and data are of this folder")
    add("--startup", metavar="SCRIPT", help="a script that /bin/sh reads before the command, in place of the "
        "project's; '' for none")
    add("--refresh", action="store_true", help="with --code: ask again where its branch or tag is")
    add("--scratch", choices=("tmpfs", "disk"), help="where files outside results live until the end")
    add("--scratch-size", metavar="SIZE", help="bound of that layer in memory")
    add("--platform", metavar="OS/ARCH", help="as linux/arm64; of another architecture than this machine's it is "
        "emulated by qemu")
    add("--locked", action="store_true", help="refuse when the lock is not up to date")
    add("--replace", action="append", metavar="PACKAGE", help="a compiled package of the base that may be replaced")
    add("--offline", action="store_true", default=None, help="use only what is on this machine")


def command(options: argparse.Namespace | SimpleNamespace) -> int:
    """Run, and exit with the program's own code."""
    from bareboat.verbs.run import explain, run

    request = request_of(options)
    at_work = work_of(options)
    if options.explain:
        from bareboat.cli.plain import plain

        text = explain(request, at_work)
        print(_document(text) if options.json else "\n".join(map(plain, text.splitlines())))
        return 0
    if options.detach:
        from bareboat.cli.life import life_of
        from bareboat.verbs.launch import create, launch

        made, kept = create(request, life_of(options), at_work)
        launch(made, kept, at_work)
        print(made.id)
        at_work.tell.say(f"{made.name} runs: bareboat logs -f {made.name}; bareboat stop {made.name}")
        return 0
    code = run(request, at_work, _life(options)).exit_code
    return 125 if code is None else code


def _life(options: argparse.Namespace | SimpleNamespace) -> Life | None:
    if all(getattr(options, name) == value for name, value in LIFE.items()):
        return None
    from bareboat.cli.life import life_of

    return life_of(options)


def work_of(options: argparse.Namespace | SimpleNamespace) -> Work:
    """The collaborators, with what the options say of settings."""
    from bareboat.cli.term import Reporter
    from bareboat.wiring import work

    return work(Reporter(options.level), offline=options.offline, scratch=options.scratch, engine=engine_of(options),
                scratch_size=_size(options.scratch_size, "--scratch-size"))


def engine_of(options: argparse.Namespace | SimpleNamespace) -> str | None:
    """As typed, else the project's; an image on its own has none."""
    import os
    from pathlib import Path

    from bareboat.verbs.run import engine_of_project

    if options.engine:
        return str(options.engine)
    return engine_of_project(Path(options.project).absolute() if options.project else None, dict(os.environ))


def request_of(options: argparse.Namespace | SimpleNamespace) -> RunRequest:
    """The options as a request; sizes and counts checked."""
    from pathlib import Path

    from bareboat.project.values import Resources
    from bareboat.verbs.prepare import RunRequest

    o = options
    return RunRequest(
        words=tuple(o.words), program=tuple(o.program), project_run=o.project_run or not o.words,
        project=Path(o.project).absolute() if o.project else None,
        volumes=tuple(o.volume), mounts=tuple(o.mount), tmpfs=tuple(o.tmpfs), cache=o.cache,
        code=o.code or "", refresh=o.refresh, startup=o.startup,
        env=tuple(o.env), env_files=tuple(o.env_file), workdir=o.workdir,
        user="0" if o.root else o.user, entrypoint=o.entrypoint, interactive=o.interactive, tty=o.tty,
        resources=Resources(_size(o.memory, "--memory"), _number(o.cpus, "--cpus"), _count(o.pids_limit, "--pids"),
                            _size(o.shm_size, "--shm-size"), _gpus(o.gpus)),
        network=o.network, ports=_ports(o.publish), name=o.name or "",
        results=Path(o.results).absolute() if o.results else None,
        data=Path(o.data).absolute() if o.data else None, locked=o.locked, platform=_platform(o.platform),
        replace=tuple(o.replace), parameters=tuple(o.param))


def _ports(words: list[str]) -> tuple[Port, ...]:
    if not words:
        return ()
    from bareboat.verbs.publish import parse_publish

    return tuple(port for word in words for port in parse_publish(word))


def _gpus(text: str | None) -> str | None:
    if text is None:
        return None
    from bareboat.project.gpus import parse_gpus

    return str(parse_gpus(text))


def _platform(text: str | None) -> str:
    if not text:
        return ""
    from bareboat.image.platforms import parse_platform

    return parse_platform(text)


def _document(text: str) -> str:
    """The explanation for programs: heading → its lines."""
    import json

    found: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        name, _, rest = line.partition("  ")
        heading = name if name else heading
        if line.strip():
            found.setdefault(heading, []).append(rest.strip())
    return json.dumps(found, indent=2)


def _size(text: str | None, flag: str) -> int | None:
    if text is None:
        return None
    from bareboat.units import parse_size

    try:
        return parse_size(text)
    except ValueError as e:
        raise UsageError("usage.size", f"{text!r} is no size: {e}", where=flag, hint="write it as 512m or 8g") from None


def _number(text: str | None, flag: str) -> float | None:
    try:
        value = None if text is None else float(text)
    except ValueError:
        value = -1.0
    if value is not None and not 0 < value < 1e6:
        raise UsageError("usage.number", f"{text!r} is not above 0", where=flag, hint="as 2 or 0.5")
    return value


def _count(text: str | None, flag: str) -> int | None:
    value = _number(text, flag)
    if value is not None and value != int(value):
        raise UsageError("usage.number", f"{text!r} is no whole number", where=flag)
    return None if value is None else int(value)

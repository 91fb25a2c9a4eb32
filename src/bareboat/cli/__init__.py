"""The command line: one file per verb, same name, imported only when its verb is typed.

Each verb's module has SUMMARY, EXAMPLES, configure(parser) and command(options) -> exit code.
"""

from __future__ import annotations

import gc as garbage  # the package has a module gc of its own, the verb
import sys

VERBS: dict[str, dict[str, str]] = {
    "environment": {
        "init": "write a commented bareboat.toml that says what convention already gave",
        "lock": "resolve packages and write pylock.toml and bareboat.lock",
        "build": "make the image without running it",
        "why": "why a package is in the environment, and where it came from",
        "sbom": "every package of an image, as SPDX or CycloneDX",
    },
    "run once": {
        "run": "run a program in the project's environment",
    },
    "interactive": {
        "shell": "work inside the project's environment, with the code writable and a home that is kept",
        "notebook": "JupyterLab on the project's environment, in the browser",
        "ssh": "a host entry for the project's session: ssh, VS Code, PyCharm, rsync, sftp",
    },
    "containers": {
        "ps": "list containers",
        "logs": "what a container or a run wrote",
        "exec": "run a program more in a container",
        "attach": "join the streams of a container",
        "stop": "ask containers to end, and kill those that do not",
        "kill": "send a signal to containers",
        "pause": "stop every process of containers",
        "unpause": "let them go on",
        "wait": "wait for the end of containers",
        "cp": "copy files between a container and this machine",
        "top": "what runs in a container",
        "stats": "what containers use",
        "create": "make a container without starting it",
        "start": "start containers that were created or have ended",
        "rename": "give a container another name",
        "rm": "remove containers from the list",
    },
    "unattended": {
        "train": "send a run for execution: queued, interrupted, resumed",
        "resume": "one more attempt of a run that is over, from its newest checkpoint",
        "queue": "unattended runs: whose, what they wait for, what they hold",
        "gpus": "GPUs of this machine, and who uses them",
    },
    "records": {
        "runs": "list runs",
        "show": "the account of a run: image, code, data, results, log",
        "diff": "what differs between two runs",
        "rerun": "repeat a run from its record, with a verdict",
    },
    "images": {
        "images": "list images",
        "pull": "bring an image here from a registry",
        "push": "bring an image to a registry",
        "inspect": "layers, packages, and where the size goes",
        "login": "log in to a registry, for Docker and Podman too",
        "logout": "forget the login to a registry",
        "save": "write an image as an OCI layout or archive",
        "load": "take the images of an archive",
        "archive": "everything an environment is made of, to be made again without a network",
        "tag": "give an image a name",
        "rmi": "remove a name, or an image",
        "volume": "directories that outlive containers: ls, create, inspect, rm, prune",
        "df": "what takes space in the store, and who shares it",
        "share": "let the other users of this machine use this store's images",
        "gc": "free what was not used for a while",
        "check": "find what rotted on the disk, and take it away to be made again",
    },
    "help": {
        "doctor": "can this machine run bareboat, and if not, what to do",
        "config": "every setting, its value and where it came from",
        "completion": "shell completion for bash, zsh and fish",
    },
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code is the program's own for run, 125 where bareboat failed.

    Without argv this is the process's own command, and ends the process.
    """
    if argv is not None:
        return _main(argv)
    try:
        code = _main(sys.argv[1:])
    except OSError as error:  # of a verb it is said where it happens; what is left are the pages written here
        code = _unwritten(error, 0)
    _leave(code)
    return code


def _leave(code: int) -> None:
    """At once: taking a whole interpreter apart before the end costs every start 5 ms (decision 0001)."""
    import os

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        code = _unwritten(error, code)
    os._exit(code)


def _unwritten(error: OSError, code: int) -> int:
    """The exit code where standard output did not take everything; a failure that was said is not said again."""
    import os

    if isinstance(error, BrokenPipeError):  # | head: not an error
        return code or 141
    if not code:
        try:
            os.write(2, f"bareboat: error: standard output: {error.strerror} [io.failed]\n".encode())
        except OSError:
            pass  # nobody to tell
    return code or 125


def _main(argv: list[str]) -> int:
    garbage.set_threshold(100_000)  # what a start imports stays: looking for garbage in it took 4 ms (decision 0001)
    _three_streams()
    words = list(argv)
    level = 1
    while words and words[0] in ("-q", "--quiet", "-v", "--verbose"):
        level = 0 if words.pop(0) in ("-q", "--quiet") else 2
    if not words or words[0] in ("-h", "--help", "help"):
        if len(words) > 1 and words[0] == "help":
            words = [words[1], "--help"]
        else:
            sys.stdout.write(overview())
            return 0
    if words[0] in ("-V", "--version"):
        from bareboat import __version__

        sys.stdout.write(f"bareboat {__version__}\n")
        return 0
    verb, rest = words[0], words[1:]
    if not any(verb in group for group in VERBS.values()):
        return unknown(verb)
    from bareboat.cli.dispatch import call

    return call(verb, rest, level)


def _three_streams() -> None:
    """Give 0, 1 and 2 to /dev/null where the caller closed them (<&-): the next file opened would be taken for one."""
    import os

    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def overview() -> str:
    """The help page: every verb in one line, and the examples people start from."""
    lines = ["bareboat: your code, your data, your results; everything else is an image made in seconds", "",
             "  bareboat run -- python src/run.py      run in the environment the folder describes",
             "  bareboat runs                          what ran, and how it ended",
             "  bareboat rerun ID                      the same again, with a verdict", ""]
    for group, verbs in VERBS.items():
        lines.append(group)
        lines += [f"  {name:11} {summary}" for name, summary in verbs.items()]
        lines.append("")
    lines += ["-q, -v before the verb: say less, say more.  bareboat VERB --help: its options and examples.", ""]
    return "\n".join(lines)


def unknown(verb: str) -> int:
    """125 and the nearest verb."""
    import difflib

    names = [name for group in VERBS.values() for name in group]
    near = difflib.get_close_matches(verb, names, 1)
    hint = f"did you mean `bareboat {near[0]}`?" if near else "see `bareboat --help`"
    if (not near and verb.endswith((".py", ".sh"))) or verb in ("python", "python3"):
        hint = f"to run a program: bareboat run -- {verb} …"
    sys.stderr.write(f"bareboat: there is no verb {verb!r}: {hint}\n")
    return 125

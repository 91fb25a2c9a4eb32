"""Other programs, started here and nowhere else: a command is a value, running it is one function.

The one exception is sandbox/enter.py, which forks to build namespaces and becomes bwrap: subprocess cannot unshare.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bareboat.errors import BareboatError
from bareboat.values import dataclass

NOT_STARTED = 127


@dataclass(frozen=True)
class Command:
    """A program to run. env: complete, or None for the caller's; timeout in seconds, None for no end."""

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    stdin: bytes | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class Completed:
    """How it ended: code as a shell says it (128+n by signal), and everything it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


class ProcessError(BareboatError):
    """A helper program could not be started ("process.start") or took too long ("process.timeout")."""


def run(command: Command) -> Completed:
    """Run a command to its end, its output captured; a code other than 0 is not an error here.

    No descriptor but 0, 1, 2 is inherited; stdin is /dev/null unless bytes are given. Raises ProcessError.
    """
    import subprocess  # 6 ms that a run without git or systemd need not pay

    program = command.argv[0]
    try:
        done = subprocess.run(
            command.argv,
            env=None if command.env is None else dict(command.env),
            cwd=command.cwd,
            input=command.stdin,
            stdin=subprocess.DEVNULL if command.stdin is None else None,
            capture_output=True,
            timeout=command.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProcessError("process.timeout", f"took longer than {command.timeout:g} s and was killed",
                           where=program) from None
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ProcessError("process.start", f"cannot be started: {text}", where=program,
                           hint=f"Install {program}, or put it on PATH.") from error
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Completed(code, done.stdout, done.stderr)

"""Other programs, started here and nowhere else: a command is a value, running it is one function.

The one exception is sandbox/enter.py, which forks to build namespaces and becomes bwrap: subprocess cannot unshare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bareboat.errors import SIGNALLED, BareboatError
from bareboat.values import TYPE_CHECKING, Any, dataclass

if TYPE_CHECKING:
    from subprocess import Popen
    from typing import IO, TypeVar

    T = TypeVar("T")

NOT_STARTED = 127


@dataclass(frozen=True)
class Command:
    """A program to run. env: complete, or None for the caller's; timeout in seconds, None for no end; most: bytes
    that it may write to each stream, None for any number.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    stdin: bytes | None = None
    timeout: float | None = None
    most: int | None = None


@dataclass(frozen=True)
class Completed:
    """How it ended: code as a shell says it (128+n by signal), and everything it wrote."""

    code: int
    stdout: bytes
    stderr: bytes


class ProcessError(BareboatError):
    """A helper program could not be started ("process.start"), took too long ("process.timeout") or wrote too much
    ("process.output").
    """


def run(command: Command) -> Completed:
    """Run a command to its end, its output captured; a code other than 0 is not an error here.

    No descriptor but 0, 1, 2 is inherited; stdin is /dev/null unless bytes are given. Raises ProcessError.
    """
    import subprocess  # 6 ms that a run without git or systemd need not pay

    program = command.argv[0]
    if command.most is not None:
        return _bounded(command, command.most)
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
        raise _too_long(command) from None
    except (OSError, ValueError) as error:
        raise _not_started(program, error) from error
    return Completed(_code(done.returncode), done.stdout, done.stderr)


def _bounded(command: Command, most: int) -> Completed:
    """As run, but it ends with what it wrote too much, and with its time, whoever else holds its pipes."""
    import os
    import selectors
    import subprocess
    import time

    program = command.argv[0]
    end = None if command.timeout is None else time.monotonic() + command.timeout
    try:
        child = subprocess.Popen(command.argv, env=None if command.env is None else dict(command.env), cwd=command.cwd,
                                 stdin=subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    except (OSError, ValueError) as error:
        raise _not_started(program, error) from error
    found: dict[int, bytearray] = {}
    with child, selectors.DefaultSelector() as selector:
        try:
            left = memoryview(command.stdin or b"")
            if child.stdin is not None:
                os.set_blocking(child.stdin.fileno(), False)
                selector.register(child.stdin, selectors.EVENT_WRITE)
            assert child.stdout is not None and child.stderr is not None
            for stream in (child.stdout, child.stderr):
                found[stream.fileno()] = bytearray()
                selector.register(stream, selectors.EVENT_READ)
            out, err = found.values()
            while selector.get_map():
                ready = selector.select(None if end is None else max(end - time.monotonic(), 0))
                if not ready:
                    raise _too_long(command)
                for key, _ in ready:
                    if key.fileobj is child.stdin:
                        try:
                            left = left[os.write(key.fd, left):] if left else left
                        except BrokenPipeError:
                            left = left[:0]
                        if not left:
                            selector.unregister(key.fileobj)
                            child.stdin.close()
                        continue
                    data = os.read(key.fd, 65536)
                    found[key.fd] += data
                    if len(found[key.fd]) > most:
                        raise ProcessError("process.output", f"wrote more than {most:,} bytes and was killed",
                                           where=program)
                    if not data:
                        selector.unregister(key.fileobj)
            child.wait(None if end is None else max(end - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            raise _too_long(command) from None
        finally:
            child.kill()  # no more than a no-op for one that ended
    return Completed(_code(child.returncode), bytes(out), bytes(err))


def _too_long(command: Command) -> ProcessError:
    return ProcessError("process.timeout", f"took longer than {command.timeout:g} s and was killed",
                        where=command.argv[0])


def _not_started(program: str, error: OSError | ValueError) -> ProcessError:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ProcessError("process.start", f"cannot be started: {text}", where=program,
                        hint=f"Install {program}, or put it on PATH.")


def _code(returncode: int) -> int:
    return returncode if returncode >= 0 else SIGNALLED - returncode


def read_from(command: Command, take: Callable[[IO[bytes]], T]) -> tuple[T | None, BaseException | None, Completed]:
    """Start a command and give its output to `take` as it comes, without holding it; stdin is the command's bytes.

    Returns what `take` returned or raised, and how the command ended (without its output): when it failed, that is
    the reason why what was read is broken. Where more was still to come, it is not: the command is killed, and what
    `take` raised is raised. Raises ProcessError.
    """
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as given:
        given.write(command.stdin or b"")
        given.seek(0)
        with _running(command, stdin=given, stdout=subprocess.PIPE, stderr=said) as started:
            assert started.stdout is not None
            found, failure = None, None
            with started.stdout as output:
                try:
                    found = take(output)
                except Exception as error:
                    failure = error
                while output.read(1 << 16):  # to its end, so that it does not die of a closed pipe
                    if failure is not None:
                        raise failure
            code = started.wait()
            said.seek(0)
            return found, failure, Completed(_code(code), b"", said.read(1 << 16))


def write_to(command: Command, chunks: Iterable[bytes]) -> Completed:
    """Start a command and write to its standard input as it takes it; its output is captured. Raises ProcessError."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said, _running(
            command, stdin=subprocess.PIPE, stdout=out, stderr=said) as started:
        assert started.stdin is not None
        try:
            for chunk in chunks:
                started.stdin.write(chunk)
            started.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had all: its code says why
        code = started.wait()
        out.seek(0)
        said.seek(0)
        return Completed(_code(code), out.read(1 << 16), said.read(1 << 16))


@contextmanager
def _running(command: Command, **streams: Any) -> Iterator[Popen[bytes]]:
    """A command that was started; killed where what is done with it fails, before it is told that its input ended."""
    import subprocess

    try:
        started = subprocess.Popen(command.argv, env=None if command.env is None else dict(command.env),
                                   cwd=command.cwd, **streams)
    except (OSError, ValueError) as error:
        raise _not_started(command.argv[0], error) from error
    try:
        yield started
    except BaseException:
        started.kill()
        started.wait()
        raise
    finally:
        if started.stdin is not None:
            try:
                started.stdin.close()
            except BrokenPipeError:
                pass  # nobody is there to take the rest


class Child:
    """A program that was started with streams of the caller's, in a session of its own: no terminal signals it."""

    def __init__(self, started: Popen[bytes]) -> None:
        self._started, self.pid = started, started.pid

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it ended."""
        self._started.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self._started.kill()

    def ended(self) -> bool:
        """Whether it has ended; never waits."""
        return self._started.poll() is not None

    def wait(self) -> int:
        """Its exit code, as a shell says it."""
        return _code(self._started.wait())

    def status(self) -> int:
        """As wait, where a signal's number is below 0: an exit code above 128 is not taken for one."""
        return self._started.wait()


def start(command: Command, streams: tuple[int, int, int]) -> Child:
    """Start a command with these descriptors as 0, 1 and 2, which stay the caller's; -1 is /dev/null, and no other
    descriptor is inherited. Raises ProcessError.
    """
    import subprocess

    stdin, stdout, stderr = (subprocess.DEVNULL if fd < 0 else fd for fd in streams)
    try:
        return Child(subprocess.Popen(command.argv, env=None if command.env is None else dict(command.env),
                                      cwd=command.cwd, stdin=stdin, stdout=stdout, stderr=stderr,
                                      start_new_session=True))
    except (OSError, ValueError) as error:
        raise _not_started(command.argv[0], error) from error


class Begun:
    """A command that runs while something else is done, its output captured. Killed at the end of its block where it
    was not finished.
    """

    def __init__(self, command: Command) -> None:
        import subprocess
        import tempfile

        self._command = command
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - until finish
        try:
            self._started = subprocess.Popen(
                command.argv, env=None if command.env is None else dict(command.env), cwd=command.cwd,
                stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err)
        except (OSError, ValueError) as error:
            self._close()
            raise _not_started(command.argv[0], error) from error

    def finish(self) -> Completed:
        """Wait for its end. Once only. Raises ProcessError "process.timeout", and it is killed."""
        import subprocess

        try:
            code = self._started.wait(self._command.timeout)
            self._out.seek(0)
            self._err.seek(0)
            return Completed(_code(code), self._out.read(), self._err.read())
        except subprocess.TimeoutExpired:
            raise _too_long(self._command) from None
        finally:
            self._started.kill()
            self._started.wait()
            self._close()

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.kill()
        self._started.wait()
        self._close()

    def _close(self) -> None:
        self._out.close()
        self._err.close()


def begin(command: Command) -> Begun:
    """Start a command and go on; stdin is empty. Raises ProcessError "process.start"."""
    return Begun(command)

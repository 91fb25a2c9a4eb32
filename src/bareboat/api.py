"""The Python API, for notebooks and scripts: the same verbs, quiet unless told otherwise, returning values.

    import bareboat
    record = bareboat.run("python", "src/run.py", project="experiments/seg", env={"LR": "0.1"})
    record.exit_code, record.results.files
    sweep = bareboat.create("python", "src/run.py", name="sweep")
    sweep.start(); sweep.wait(); sweep.remove()
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import UsageError
from bareboat.verbs.collaborators import Quiet, Tell

if TYPE_CHECKING:
    from bareboat.record.values import RunRecord
    from bareboat.verbs.collaborators import Work


def run(*program: str, project: str | os.PathLike[str] = ".", env: Mapping[str, str] | None = None,
        results: str | os.PathLike[str] | None = None, gpus: str | None = None, tell: Tell | None = None) -> RunRecord:
    """Run a program in a project's environment and return its record; the output goes to this process's streams.

    A program that fails is no exception: see record.exit_code. results: another results folder. gpus: as --gpus has
    it ("all", "2", "device=0,1", "none"); None: as the project says. tell: who hears what bareboat does, nobody by
    default. Call from the main thread: the sandbox dies with the thread that made it.
    Raises BareboatError (project, lock, archive, store, engine).
    """
    from bareboat.project.values import Resources
    from bareboat.verbs.prepare import RunRequest
    from bareboat.verbs.run import run as run_verb
    from bareboat.wiring import work

    if not program or not all(isinstance(word, str) for word in program):
        raise UsageError("usage.no-program", "run takes the program and its words as strings",
                         hint='bareboat.run("python", "src/run.py")')
    request = RunRequest(
        program=program, project=Path(project).absolute(), env=tuple(f"{k}={v}" for k, v in (env or {}).items()),
        results=Path(results).absolute() if results is not None else None, interactive=False, tty=False,
        resources=Resources(gpus=gpus))
    return run_verb(request, work(tell or Quiet()))


def record(run_id: str) -> RunRecord:
    """The record of a run by its id or the beginning of one. Raises RecordError record.missing, record.ambiguous."""
    from bareboat.verbs.runs import find
    from bareboat.wiring import store

    return find(store(), run_id)


class Container:
    """A container beside a supervisor of its own; made by create() and container(). It outlives this process.

    id and name are as the command line shows them. Methods raise BareboatError.
    """

    def __init__(self, run_id: str, name: str, work: Work) -> None:
        self.id, self.name, self._work = run_id, name, work

    def start(self) -> None:
        """Start it, on a fresh writable layer; returns when the program has started."""
        from bareboat.verbs.containers import find
        from bareboat.verbs.launch import start

        start(find(self._work.store, self.id), self._work)

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        from bareboat.verbs.enter import wait

        return wait(self.id, self._work.store)

    def stop(self, seconds: float | None = None) -> int | None:
        """Ask it to end, and kill it after so many seconds; its exit code, None when it was not running."""
        from bareboat.verbs.enter import stop

        return stop(self.id, self._work.store, seconds)

    def remove(self, *, force: bool = False) -> None:
        """List it no more; its record, log and results stay."""
        from bareboat.verbs.enter import remove

        remove(self.id, self._work.store, force=force)

    def exec(self, *program: str) -> tuple[int, bytes, bytes]:
        """Run a program more in it: exit code, output and errors."""
        from bareboat.engine.base import Streams
        from bareboat.verbs.enter import ExecRequest, execute_in

        out, err = bytearray(), bytearray()
        ended = execute_in(self.id, ExecRequest(program), self._work, Streams(out.extend, err.extend))
        return ended.code, bytes(out), bytes(err)

    def logs(self) -> bytes:
        """Everything it wrote so far, both streams in order."""
        from bareboat.store.runlog import pieces

        return b"".join(piece.data for piece in pieces(self._work.store.runs.path(self.id)))

    def record(self) -> RunRecord:
        """The record of its run, as it is now."""
        from bareboat.verbs.runs import load

        return load(self._work.store, self.id)


def create(*program: str, project: str | os.PathLike[str] = ".", env: Mapping[str, str] | None = None,
           name: str = "", results: str | os.PathLike[str] | None = None) -> Container:
    """Make a container of a project's environment without starting it. Raises BareboatError, as run does, and
    UsageError "container.name-taken".
    """
    from bareboat.verbs.launch import Life
    from bareboat.verbs.launch import create as create_verb
    from bareboat.verbs.prepare import RunRequest
    from bareboat.wiring import work

    request = RunRequest(
        program=program, project=Path(project).absolute(), env=tuple(f"{k}={v}" for k, v in (env or {}).items()),
        name=name, results=Path(results).absolute() if results is not None else None, interactive=False, tty=False)
    at_work = work(Quiet())
    made, _ = create_verb(request, Life(), at_work)
    return Container(made.id, made.name, at_work)


def container(name: str) -> Container:
    """A container by name, id, or the beginning of one. Raises UsageError "container.unknown"."""
    from bareboat.verbs.containers import find
    from bareboat.wiring import work

    at_work = work(Quiet())
    seen = find(at_work.store, name)
    if seen.container.engine not in ("", at_work.engine.name):
        at_work = work(Quiet(), engine=seen.container.engine)
    return Container(seen.container.id, seen.container.name, at_work)

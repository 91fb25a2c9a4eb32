"""The Python API, for notebooks and scripts: the same verbs, quiet unless told otherwise, returning values.

    import bareboat
    record = bareboat.run("python", "src/run.py", project="experiments/seg", env={"LR": "0.1"})
    record.exit_code, record.results.files
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

"""run: a program in the project's environment, or in an image; recorded, and thrown away."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.builder.stacking import owes_bytecode
from bareboat.errors import BareboatError, UsageError
from bareboat.host.kernel import foreign
from bareboat.project.values import Overrides, Project, ProjectMount
from bareboat.record.values import SESSION, RunRecord
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, environment
from bareboat.verbs.execute import Prepared
from bareboat.verbs.foreground import in_foreground
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.prepare import RunRequest, cache_wanted, check_request, prepare, with_overlays, workload

if TYPE_CHECKING:
    from bareboat.verbs.code import Fetched
    from bareboat.verbs.launch import Life

SHOWN = 4  # names in a line


def run(request: RunRequest, work: Work, life: Life | None = None) -> RunRecord:
    """Lock, assemble, start, stream, record. The record says how it ended; record.exit_code is the program's. While it
    runs it is a container like any other, for ps, exec and stop. life: labels and rules.

    Raises what the steps raise: ProjectError, LockError, ArchiveError, StoreError, EngineError, ProgramError.
    """
    prepared, made = prepare_run(request, work)
    load = prepared.workload
    limits = work.engine.limits(load.limits)
    count = len(load.root.trees)
    work.tell.say(f"engine {work.engine.name}, {count} layer{'s' if count != 1 else ''}, network {load.network}"
                  + (f"; {limits}" if limits else ""))
    say_emulated(load.platform, work)
    record = in_foreground(prepared, request, work, life)
    say_end(record, work)
    after(made, work)
    return record


def explain(request: RunRequest, work: Work) -> str:
    """The plan and the exact sandbox as text; locks and assembles, runs nothing."""
    prepared, made = prepare_run(request, work)
    head = [f"plan      {made.plan}", f"layers    {len(made.trees)}, and {len(made.bytecode)} of bytecode",
            f"command   {' '.join(prepared.workload.argv)}"]
    return "\n".join(head) + "\n" + work.engine.explain(prepared.workload)


def prepare_run(request: RunRequest, work: Work) -> tuple[Prepared, Environment]:
    """Everything up to the start."""
    from bareboat.project import check, find_root, load

    code: Fetched | None = None
    image = None if request.project_run or not request.words else request.words[0]
    if image is not None and image.endswith(".ipynb"):
        if request.code or request.startup:
            raise UsageError("usage.notebook", "a notebook is run with the project that it lies in",
                             where="--code" if request.code else "--startup",
                             hint="write startup = \"…\" into the project file, or run a program: run -- PROGRAM")
        from bareboat.verbs.run_notebook import prepare_notebook

        return prepare_notebook(request, work)
    if request.parameters:
        raise UsageError("notebook.parameter", "only a notebook has parameters", where="--param",
                         hint="bareboat run --param lr=0.1 notebook.ipynb")
    if request.code:
        from bareboat.verbs.code import check_words, of_stranger, with_code

        request, code = with_code(request, work)
    project: Project | None = None
    named, broken = _commands(request) if image is not None else ({}, None)
    if code is not None:
        check_words(image, named)
    if image is None or image in named:
        given = _volumes(request)
        overrides = Overrides(results=request.results, data=request.data, mounts=given)
        project = load(request.project or find_root(Path.cwd()), overrides)
        if code is not None:
            project = of_stranger(project, given, request, code)
        own, script = _startup(request, project, work)
        project = project if own == project.startup else replace(project, startup=own)
        check_request(request, project)
        check(project)
        platform = foreign(request.platform)
        made = environment(project, LockMode(locked=request.locked, replace=request.replace), work, platform)
        mounts: tuple[ProjectMount, ...] = project.mounts
    else:
        _, script = _startup(request, None, work)
        made = of_image(image, work, tuple(named), broken, request.platform)
        mounts = _volumes(request)
    cache = cache_wanted(request, project, work)
    if cache or any(m.kind == "volume" for m in mounts):
        from bareboat.verbs.mounting import placed

        mounts = placed(mounts, made, work, cache=cache)
    mounts = (*mounts, *script)
    stacked = workload(request, mounts, made, project, work)
    prepared = prepare(request, project, made, stacked, work, mounts)
    if code is not None:
        prepared = replace(prepared, record=replace(prepared.record, git=code.facts), keys=(*prepared.keys, code.key))
    if project is not None and project.package is not None and project.package.native:
        from bareboat.verbs.extensions import extensions

        prepared = with_overlays(prepared, extensions(project, made, work), work)
    return prepared, made


def _startup(request: RunRequest, project: Project | None,
             work: Work) -> tuple[str | None, tuple[ProjectMount, ...]]:
    """The project's startup for this run, and the mount of one from elsewhere."""
    if request.startup is None:
        return project.startup if project else None, ()
    from bareboat.verbs.startup import given

    return given(request.startup, project, work)


def of_image(name: str, work: Work, commands: tuple[str, ...] = (), broken: BareboatError | None = None,
             platform: str = "") -> Environment:
    """The environment of a local image by name or plan digest. Raises UsageError "image.unknown", "image.platform".

    commands: what the word could have been besides; broken: why the project's commands are not known, which is what
    to tell when there is no such image.
    """
    from bareboat.verbs.images import find

    found = find(name, work, platform)
    if found is None:
        import shutil

        if broken is not None:
            raise broken

        program = "/" in name or name.endswith((".py", ".sh")) or shutil.which(name) or name in ("python", "python3")
        hint = (f"to run a program in the project's environment write -- before it: bareboat run -- {name} …"
                if program else
                f"the project's commands are: {', '.join(commands)}" if commands else
                "see `bareboat images`; make one with `bareboat build -t NAME`")
        raise UsageError("image.unknown", f"there is no image {name!r} here", hint=hint)
    return found


def say_emulated(platform: str, work: Work) -> None:
    """That a run is emulated, and what to expect: nothing else would tell why it is slow."""
    if platform:
        work.tell.say(f"the image is for {platform}: its programs are emulated by qemu, several times slower than on "
                      "such a machine")


def say_end(record: RunRecord, work: Work) -> None:
    """The last lines: exit code, results, what is lost, and how to repeat it."""
    from bareboat.units import format_size as size

    files = record.results.files
    names = [f"{f.path} ({size(f.size)})" for f in files[:SHOWN]]
    more = len(files) + record.results.more - len(names)
    left = f"; results: {', '.join(names)}" + (f" and {more} more" if more else "") if names else ""
    reason = f" ({record.reason})" if record.reason else ""
    work.tell.say(f"exit {record.exit_code}{reason} after {record.seconds:.1f} s{left}")
    if record.lost.count:
        lost = record.lost
        shown = ", ".join(lost.first[:SHOWN]) + (" …" if lost.count > SHOWN else "")
        work.tell.say(f"lost with the container: {lost.count} files, {size(lost.bytes)}: {shown}; "
                      "write to results/ what you want to keep, or mount a folder with -v")
    if record.kind != SESSION:
        work.tell.say(f"run {record.id}; repeat it with: bareboat rerun {record.id[:6]}")


def after(made: Environment, work: Work) -> None:
    """What nobody waits for: bytecode for later starts, trees made durable; by a process of its own."""
    from bareboat.host.background import start_detached

    if _owed(made, work):
        import sys

        from bareboat.record.secrets import without_secrets

        start_detached((sys.executable, "-m", "bareboat.entry.afterwards", made.plan_blob),
                       {**without_secrets(os.environ), "BAREBOAT_HOME": os.fspath(work.store.home)})


def _owed(made: Environment, work: Work) -> bool:
    return owes_bytecode(work.store, made.bytecode) or bool(work.store.unsettled())


def _commands(request: RunRequest) -> tuple[dict[str, tuple[str, ...]], BareboatError | None]:
    """The project's named commands; none where there is no project or its file is wrong, and then why."""
    from bareboat.project import find_root, load

    root = Path()
    try:
        root = request.project or find_root(Path.cwd())
        return dict(load(root).commands), None
    except OSError:
        return {}, None
    except BareboatError as error:
        return {}, error if (root / "bareboat.toml").is_file() else None


def _volumes(request: RunRequest) -> tuple[ProjectMount, ...]:
    if not (request.volumes or request.mounts or request.tmpfs):
        return ()
    from bareboat.verbs.mounting import asked

    return asked(request)


def engine_of_project(folder: Path | None, environ: dict[str, str]) -> str | None:
    """The key engine of the project that a command is about; None where it has none, or the environment says another.

    A start must not read the file twice for a key that hardly any has, so that its bytes are asked first. What is
    wrong with the file is told by who reads it.
    """
    if environ.get("BAREBOAT_ENGINE"):
        return None
    from bareboat.errors import BareboatError
    from bareboat.project import find_root, load

    try:
        root = folder or find_root(Path.cwd())
        if not any(b"engine" in _content(root / name) for name in ("bareboat.toml", "pyproject.toml")):
            return None
        return load(root).engine
    except (BareboatError, OSError):
        return None


def _content(file: Path) -> bytes:
    try:
        with open(os.fspath(file), "rb") as opened:
            return opened.read(1 << 20)
    except OSError:
        return b""

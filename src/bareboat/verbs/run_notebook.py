"""run NOTEBOOK.ipynb: a notebook from top to bottom as a recorded run, with its output notebook among the results."""

from __future__ import annotations

import json
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.host.kernel import foreign
from bareboat.project.values import Overrides, Project, ProjectMount
from bareboat.record.values import RunRecord
from bareboat.sessions import notebook as lab
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, environment
from bareboat.verbs.execute import Prepared
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.notebook import lab_tools
from bareboat.verbs.prepare import RunRequest, cache_wanted, check_request, prepare, with_overlays, workload
from bareboat.workload import Mount, Workload

APP = "/app"


def prepare_notebook(request: RunRequest, work: Work) -> tuple[Prepared, Environment]:
    """Everything up to the start. request.words: the notebook's path on this machine, then parameters as NAME=VALUE.

    Raises UsageError "notebook.*" and what the steps raise.
    """
    from bareboat.project import check, find_root, load
    from bareboat.verbs.images import plan_of
    from bareboat.verbs.mounting import asked, placed

    file = Path(request.words[0]).absolute()
    given = parameters((*request.parameters, *_words(request.words[1:])))
    if not file.is_file():
        raise UsageError("notebook.missing", "there is no such notebook", where=request.words[0],
                         hint="name it by its path from here")
    more = asked(request) if request.volumes or request.mounts or request.tmpfs else ()
    project = load(request.project or find_root(Path.cwd()), Overrides(results=request.results, data=request.data,
                                                                       mounts=more))
    described = project
    project, inside = _placed(project, file)
    results = next((m.target for m in project.mounts if m.kind == "results"), None)
    if results is None:
        raise UsageError("notebook.results", "the project keeps no results, and the output notebook is one",
                         where=str(project.root), hint="take results = false out of the project file")
    folder = inside.rpartition("/")[0] or "/"
    argv = lab.execute_argv(inside, f"{results}/{file.name}", folder, given)
    request = replace(request, words=(), program=argv, project_run=True, tty=False, interactive=False)
    check_request(request, project)
    check(described)
    made = environment(project, LockMode(locked=request.locked, replace=request.replace), work,
                       foreign(request.platform))
    plan = plan_of(made.plan_blob, work)
    tools = lab_tools(plan, project.name, work)
    mounts = placed(project.mounts, made, work, cache=cache_wanted(request, project, work))
    load_ = workload(request, mounts, made, project, work)
    env = {**dict(load_.env), **lab.execute_environment()}
    load_ = replace(load_, env=tuple(sorted(env.items())), argv=argv)
    prepared = prepare(request, project, made, load_, work, mounts)
    keys = tuple(key for tool in tools for key in tool.keys)
    prepared = replace(prepared, workload=replace(load_, mounts=(*load_.mounts, *_mounts(tools, work))),
                       keys=(*prepared.keys, *keys))
    if project.package is not None and project.package.native:
        from bareboat.verbs.extensions import extensions

        prepared = with_overlays(prepared, extensions(project, made, work), work)
    return prepared, made


def _mounts(tools: tuple[object, ...], work: Work) -> tuple[Mount, ...]:
    from bareboat.verbs.tools import Made, mounted

    return tuple(mount for tool in tools if isinstance(tool, Made) for mount in mounted(tool, work))


def again(load: Workload, old: RunRecord, work: Work) -> Workload:
    """The workload of a repetition with the tools that its notebook is executed by; as it is for other runs.

    They are this machine's: what a cell computes is its kernel's, which is the run's own environment.
    """
    if old.argv[:1] != lab.execute_argv("", "", "", {})[:1] or not old.plan_blob:
        return load
    from bareboat.verbs.images import plan_of

    tools = lab_tools(plan_of(old.plan_blob, work), old.project, work)
    return replace(load, mounts=(*load.mounts, *_mounts(tools, work)))


def parameters(texts: tuple[str, ...]) -> dict[str, object]:
    """NAME=VALUE as values: JSON where it is such (0.1, true, [1, 2], null), else the text itself.

    Raises UsageError "notebook.parameter".
    """
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError("notebook.parameter", f"{text!r} is no parameter", where="--param",
                             hint="write NAME=VALUE, as --param lr=0.1")
        try:
            found[name] = json.loads(value, parse_constant=_refuse)
        except ValueError:
            found[name] = {"True": True, "False": False, "None": None}.get(value, value)
    return found


def _refuse(text: str) -> object:
    raise ValueError(text)  # NaN and Infinity are no JSON, and no Python either


def _words(words: tuple[str, ...]) -> tuple[str, ...]:
    """What stands behind the notebook: NAME=VALUE, or --param NAME=VALUE."""
    return tuple(word.removeprefix("--param=") for word in words if word != "--param")


def _placed(project: Project, file: Path) -> tuple[Project, str]:
    """The project with the notebook's folder mounted, where its code is not there already; and its path inside."""
    real = file.parent.resolve() / file.name
    for mount in project.mounts:
        if mount.kind in ("code", "mount") and mount.source.exists() and real.is_relative_to(mount.source.resolve()):
            return project, f"{mount.target}/{real.relative_to(mount.source.resolve()).as_posix()}"
    root = project.root.resolve()
    if not real.is_relative_to(root):
        raise UsageError("notebook.outside", "lies outside of the project", where=str(file),
                         hint=f"put it into {project.root}, or name its project: --project DIR")
    within = real.relative_to(root)
    if within.parent == Path():
        mount = ProjectMount(project.root / within, f"{APP}/{within}", True, "code")
    else:
        mount = ProjectMount(project.root / within.parent, f"{APP}/{within.parent.as_posix()}", True, "code")
    return replace(project, mounts=(*project.mounts, mount)), f"{APP}/{within.as_posix()}"

"""shell: work inside the project's environment, with the code writable and a home that is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bareboat.errors import BareboatError
from bareboat.image.plan import Plan
from bareboat.project.values import Project, ProjectMount
from bareboat.record.values import SESSION, RunRecord
from bareboat.sessions.home import furnish, home_name
from bareboat.sessions.tools import PIP
from bareboat.values import dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, environment
from bareboat.verbs.execute import Prepared
from bareboat.verbs.foreground import in_foreground
from bareboat.verbs.lock_mode import LockMode
from bareboat.verbs.mounting import placed
from bareboat.verbs.prepare import HOME, RunRequest, cache_wanted, check_request, prepare, workload
from bareboat.workload import Mount, Workload

# What the caller's pip was told of its index; the rest of its settings name files of the host's.
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX", "UV_INDEX")


@dataclass(frozen=True)
class ShellRequest:
    """What was asked of `shell`. run: as for a run; its program is what to start, () for a shell. keep: what was
    installed by hand goes into the project; None: ask. fresh_home: begin with an empty home.
    """

    run: RunRequest
    keep: bool | None = None
    fresh_home: bool = False


@dataclass(frozen=True)
class Session:
    """A project's session before it starts: its project, plan and environment, and what runs."""

    project: Project
    plan: Plan
    environment: Environment
    prepared: Prepared


def shell(request: ShellRequest, work: Work, ask: Callable[[str], bool]) -> RunRecord:
    """Start a session, wait for its end, and say what was installed in it by hand. ask: a yes or no of the user's.

    Raises what the steps raise, as run does.
    """
    from bareboat.verbs.run import after, say_emulated, say_end
    from bareboat.verbs.session_end import Watch, end

    session = prepare_session(request.run, work, fresh_home=request.fresh_home)
    if not request.run.program:
        session = _with_shell(session)
    load = session.prepared.workload
    say_session(session, work)
    say_emulated(load.platform, work)
    watch = Watch(session.plan)
    record = in_foreground(replace(session.prepared, layer=watch.layer, logged=not load.tty), request.run, work)
    say_end(record, work)
    end(session.project, watch.found, request.keep, work, ask)
    after(session.environment, work)
    return record


def prepare_session(request: RunRequest, work: Work, *, fresh_home: bool = False,
                    more: Callable[[Project], tuple[ProjectMount, ...]] = lambda project: ()) -> Session:
    """Everything up to the start of a session: as a run's, with the code's own directory writable, a home that is kept,
    and pip. It holds no claim on the results folder, so that runs go on beside it. more: mounts besides the project's.
    """
    from bareboat.host.kernel import foreign
    from bareboat.project import Overrides, check, find_root, load
    from bareboat.verbs.images import plan_of

    asked = request if request.program else replace(request, program=("sh",))
    project = load(request.project or find_root(Path.cwd()), Overrides(results=request.results, data=request.data,
                                                                       mounts=_volumes(request)))
    project = replace(project, mounts=(*project.mounts, *more(project)))
    check_request(asked, project)
    check(project)
    made = environment(project, LockMode(locked=request.locked), work, foreign(request.platform))
    plan = plan_of(made.plan_blob, work)
    if request.user == "0":
        from bareboat.verbs.session_root import with_apt

        made, plan = with_apt(project, made, plan, work)
    mounts = tuple(replace(m, read_only=False) if m.kind == "code" else m for m in project.mounts)
    mounts = placed(mounts, made, work, cache=cache_wanted(request, project, work))
    home = work.store.session_home(home_name(project.root, project.name), fresh=fresh_home)
    furnish(home)
    stack = workload(asked, mounts, made, project, work)
    env = {**_session_env(project, plan), **dict(stack.env)}
    stack = replace(stack, env=tuple(sorted(env.items())), mounts=(*stack.mounts, Mount(home, HOME)),
                    hostname=_hostname(project.name))
    stack, keys = _with_pip(stack, plan, work)
    prepared = prepare(asked, project, made, stack, work, mounts)
    if project.package is not None and project.package.native:
        work.tell.say("the project's compiled extensions are not in a session, where its code can be written to: "
                      "build them inside with pip install --no-deps -e .")
    return Session(project, plan, made, replace(
        prepared, results=None, keys=(*prepared.keys, *keys), record=replace(prepared.record, kind=SESSION)))


def say_session(session: Session, work: Work) -> None:
    """Where one is, and what of it stays."""
    load = session.prepared.workload
    code = [m.target for m in session.prepared.record.mounts if m.kind == "code"]
    kept = [*code, *[m.target for m in session.prepared.record.mounts if m.kind == "results"][:1], HOME]
    work.tell.say(f"session in {session.project.name}: engine {work.engine.name}, network {load.network}")
    work.tell.say(f"kept are {', '.join(kept)}; the rest goes when you leave")
    if not work.engine.capabilities().layer:
        work.tell.say(f"with {work.engine.name} what you install cannot be told when you leave: write it down yourself")


def _with_shell(session: Session) -> Session:
    """The session with bash where the image has it, else sh."""
    load = session.prepared.workload
    has = any(os.path.lexists(f"{tree}/{path}") for tree in load.root.trees for path in ("usr/bin/bash", "bin/bash"))
    argv = ("bash",) if has else ("sh",)
    prepared = session.prepared
    return replace(session, prepared=replace(prepared, workload=replace(load, argv=argv),
                                             record=replace(prepared.record, argv=argv)))


def _with_pip(load: Workload, plan: Plan, work: Work) -> tuple[Workload, tuple[str, ...]]:
    """The workload with pip, and the keys of that; as it is where the project has its own."""
    from bareboat.verbs.tools import mounted, stacked, tool

    if not plan.interpreter.version or plan.interpreter.version.startswith("2.") or \
            any(w.name == "pip" for w in plan.wheels):
        return load, ()
    try:
        made = tool(PIP, plan, work)
    except BareboatError as error:
        work.tell.say(f"this session has no pip: {error.what}")
        return load, ()
    if work.engine.capabilities().layer:  # its layers are trees of ours, and what lies over them can be changed
        return replace(load, root=replace(load.root, trees=(*load.root.trees, *stacked(made, work)))), made.keys
    return replace(load, mounts=(*load.mounts, *mounted(made, work))), made.keys


def _session_env(project: Project, plan: Plan) -> dict[str, str]:
    """Variables of a session, below all that is said elsewhere."""
    env = {"BAREBOAT_PROJECT": project.name, "PS1": f"({project.name}) \\w\\$ ", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
           "PIP_ROOT_USER_ACTION": "ignore", "UV_LINK_MODE": "copy", "DEBIAN_FRONTEND": "noninteractive",
           **{name: os.environ[name] for name in INDEXES if os.environ.get(name)}}
    if plan.interpreter.prefix not in ("", "/usr/local"):
        env["VIRTUAL_ENV"] = plan.interpreter.prefix
    return env


def _hostname(name: str) -> str:
    """A project's name as a host may have it (RFC 1123)."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in name).strip("-")[:63] or "bareboat"


def _volumes(request: RunRequest) -> tuple[ProjectMount, ...]:
    if not (request.volumes or request.mounts or request.tmpfs):
        return ()
    from bareboat.verbs.mounting import asked

    return asked(request)



"""From a request and an environment to a prepared run: mounts, variables, user, limits, streams. Starts nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from bareboat import __version__
from bareboat.builder.stacking import lowers
from bareboat.errors import UsageError
from bareboat.host.kernel import foreign
from bareboat.project.values import Project, ProjectMount, Resources
from bareboat.project.volumes import NOWHERE
from bareboat.record.secrets import withhold
from bareboat.record.values import RecordedMount, RunRecord, run_id, timestamp
from bareboat.store.codewalk import CodeRules
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.verbs.execute import Prepared
from bareboat.workload import Limits, Mount, Port, Rootfs, Tmpfs, Workload

if TYPE_CHECKING:
    from bareboat.verbs.grant import Grant

HOME = "/home/user"
STARTUP, IMAGE_STARTUP = "/run/bareboat/startup", "/etc/bareboat/startup"
ORDINARY = 1000  # the user inside when root calls: never 0 unless it is asked for


@dataclass(frozen=True)
class RunRequest:
    """What was asked of `run`, as typed; None and () mean that nothing was said.

    words: what stood before -- (an image or a named command, and its words); program: what stood behind it;
    project_run: there was a --.
    """

    words: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    project_run: bool = True
    project: Path | None = None
    volumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()  # --mount
    tmpfs: tuple[str, ...] = ()
    cache: bool | None = None
    code: str = ""  # a project in a git repository
    startup: str | None = None  # a script of this machine; "" for none
    refresh: bool = False  # ask again which commit its branch or tag is at
    env: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    interactive: bool | None = None
    tty: bool | None = None
    resources: Resources = Resources()
    network: str | None = None
    ports: tuple[Port, ...] = ()
    name: str = ""
    results: Path | None = None
    data: Path | None = None
    locked: bool = False
    platform: str = ""  # "" for this machine's
    replace: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()  # of a notebook


def workload(request: RunRequest, mounts: tuple[ProjectMount, ...], environment: Environment, project: Project | None,
             work: Work) -> Workload:
    """The workload of a request: the image's config, the project's values, the command line's, each over the last."""
    from bareboat.host.env import inherited

    tty = _tty(request)
    resources = _resources(request, project)
    uid, gid = _user(request)
    host_env, host_mounts = inherited(os.environ, tty=tty)
    env = {**_cache_variables(mounts), **dict(environment.env)}
    env.update(host_env)
    env.update({"HOME": HOME, "USER": "root" if uid == 0 else "user"})
    said: dict[str, str] = {}
    if project:
        said.update(env_file(project.root / project.env_file) if project.env_file else ())
        said.update(project.env)
    for file in request.env_files:
        said.update(env_file(Path(file)))
    said.update(env_words(request.env))
    env.update(said)
    trees = lowers(work.store, environment.trees, environment.bytecode)
    gpus = _gpus(request, project, environment, said, work)
    return Workload(
        root=Rootfs(trees, environment.plan_blob),
        argv=_started(argv_of(request, project) if project else argv_of_image(request, environment), request, project,
                      (trees, mounts)),
        env=tuple(sorted(env.items())),
        cwd=request.workdir or (project.workdir if project else environment.workdir),
        mounts=(*host_mounts, *_startup(project), *_bound(mounts)),
        tmpfs=_in_memory(mounts),
        uid=uid, gid=gid, home=HOME,
        network=request.network or (project.network if project else "host"),
        tty=tty,
        limits=Limits(resources.memory, resources.cpus, resources.pids,
                      resources.shm_size or work.settings.shm_size, work.settings.scratch_size),
        scratch=work.settings.scratch,
        platform=foreign(environment.platform),
        ports=request.ports,
        **(gpus.parts if gpus else {}),
    )


def prepare(request: RunRequest, project: Project | None, environment: Environment, load: Workload, work: Work,
            mounts: tuple[ProjectMount, ...]) -> Prepared:
    """The prepared run of a workload: what is recorded of it before it starts.

    Raises UsageError "limits.*" for what the administrator does not allow.
    """
    if work.settings.limited:
        from bareboat.verbs.allowed import within

        load = within(load, work.settings)
    env, withheld = withhold(load.env)
    results = next((m.source for m in mounts if m.kind == "results"), None)
    data = {m.source: m for m in reversed(mounts) if m.kind == "data"}
    record = RunRecord(
        id=load.driver.holder or run_id(os.urandom(6)), name=request.name, created=timestamp(time.time()),
        argv=load.argv, env=env, withheld=withheld, cwd=load.cwd, plan=environment.plan,
        plan_blob=environment.plan_blob, locks=environment.locks, project=project.name if project else "",
        root=os.fspath(project.root) if project else "",
        mounts=(*_recorded_startup(project), *(_recorded(m, project) for m in mounts if m.kind != "tmpfs")),
        tmpfs=load.tmpfs, limits=load.limits,
        gpus=load.driver.granted, network=load.network, uid=load.uid, gid=load.gid, home=load.home, tty=load.tty,
        engine=work.engine.name, version=__version__, platform=load.platform)
    code: tuple[Path, CodeRules] | None = None
    if project is not None:
        from bareboat.host.git import begin

        answer = begin(project.root).finish()
        record = replace(record, git=answer.facts)
        code = project.root, code_rules(project, answer.ignored)
    return Prepared(
        workload=load, record=record, results=results, code=code,
        data=tuple((m.target, m.source) for m in data.values()),
        keys=(*environment.trees, *environment.bytecode, environment.plan_blob,
              *(f"volume:{m.name}" for m in mounts if m.name and m.kind != "startup"),
              *(m.source.name for m in mounts if m.kind == "startup")),
        anonymous=tuple((m.target, m.copy) for m in mounts if m.kind == "anonymous"),
        stdin=None if request.interactive is False else 0, terminal=0 if load.tty else None)


def with_overlays(prepared: Prepared, overlays: tuple[tuple[str, str], ...], work: Work) -> Prepared:
    """The run with trees laid over its code mounts. overlays: target → store key."""
    trees = tuple((target, tree) for target, key in overlays if (tree := work.store.tree(key)) is not None)
    return replace(prepared, workload=replace(prepared.workload, code_overlays=trees),
                   record=replace(prepared.record, overlays=overlays),
                   keys=(*prepared.keys, *(key for _, key in overlays)))


def code_rules(project: Project, ignored: tuple[str, ...] | None) -> CodeRules:
    """The mounted code, and the files that decide project and lock; never data, results and other mounts."""
    from bareboat.project import inputs

    def below(path: Path) -> str | None:
        try:
            return os.fspath(path.relative_to(project.root))
        except ValueError:
            return None

    code = [below(m.source) for m in project.mounts if m.kind == "code"]
    others = [below(m.source) for m in project.mounts if m.kind != "code"]
    if "." in code:
        only: tuple[str, ...] = ()
    else:
        deciding = [name for name, _ in inputs(project)] + ([project.startup] if project.startup else [])
        only = tuple(sorted({*(c for c in code if c), *deciding}))
    return CodeRules(only=only, exclude=tuple(sorted({o for o in others if o and o != "."})), ignored=ignored)


def _recorded(mount: ProjectMount, project: Project | None) -> RecordedMount:
    within = ""
    if mount.kind == "code" and project is not None and mount.source.is_relative_to(project.root):
        within = os.fspath(mount.source.relative_to(project.root))
    if mount.kind == "startup":
        return RecordedMount(mount.name, mount.target, True, mount.kind, mount.source.name)
    source = mount.name or os.fspath(mount.source)
    return RecordedMount("" if mount.kind == "anonymous" else source, mount.target, mount.read_only, mount.kind,
                         "" if within == "." else within)


def argv_of(request: RunRequest, project: Project) -> tuple[str, ...]:
    """What will be started: typed, named or the project's own. Raises UsageError "usage.no-program"."""
    argv = request.program
    if not argv:
        named = dict(project.commands)
        if request.words:
            argv = _with_words(named[request.words[0]], request.words)
        elif project.command:
            argv = project.command
        else:
            known = f"; named commands: {', '.join(named)}" if named else ""
            raise UsageError("usage.no-program", f"there is nothing to run{known}",
                             hint="write it behind --: bareboat run -- python src/run.py")
    if request.entrypoint:
        import shlex

        argv = (*shlex.split(request.entrypoint), *argv)
    return argv


def _started(argv: tuple[str, ...], request: RunRequest, project: Project | None,
             found: tuple[tuple[Path, ...], tuple[ProjectMount, ...]]) -> tuple[str, ...]:
    """argv behind the scripts that are run before it; found: the trees and mounts."""
    trees, mounts = found
    ours = bool(project and project.startup) or any(m.kind == "startup" for m in mounts)
    if request.startup == "" or not (ours or any(os.path.isfile(f"{tree}{IMAGE_STARTUP}") for tree in trees)):
        return argv
    from bareboat.verbs.startup import before

    return before(argv, trees, ours)


def argv_of_image(request: RunRequest, environment: Environment) -> tuple[str, ...]:
    """As Docker has it: the entrypoint and the words, or its cmd without any; --entrypoint takes the place of both.

    Raises UsageError "usage.no-program".
    """
    words = request.words[1:] or request.program
    if request.entrypoint is None:
        argv = (*environment.entrypoint, *(words or environment.cmd))
    else:
        argv = (*((request.entrypoint,) if request.entrypoint else ()), *words)
    if not argv:
        raise UsageError("usage.no-program", "there is nothing to run in this image",
                         hint="write the program behind the image's name")
    return argv


def check_request(request: RunRequest, project: Project | None) -> None:
    """Refuse what is wrong with the request itself before anything is locked, fetched or made for it.

    Raises UsageError "usage.*".
    """
    if project is not None:
        argv_of(request, project)
    if request.refresh and not request.code:
        raise UsageError("usage.refresh", "--refresh is for --code", hint="leave it out, or name the code")
    _user(request)
    _tty(request)
    list(env_words(request.env))
    for file in request.env_files:
        env_file(Path(file))


def _with_words(command: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    """A named command and the words typed behind its name; a command line for the shell gets them at its end."""
    if len(words) > 1 and command[:2] == ("/bin/sh", "-c") and len(command) == 3:
        return ("/bin/sh", "-c", f'{command[2]} "$@"', *words)
    return (*command, *words[1:])


def cache_wanted(request: RunRequest, project: Project | None, work: Work) -> bool:
    """Whether a run has the cache: the command line says, else the project, else the settings."""
    said = request.cache if request.cache is not None or project is None else project.cache
    return work.settings.cache if said is None else said


def _bound(mounts: tuple[ProjectMount, ...]) -> Iterable[Mount]:
    return (Mount(m.source, m.target, m.read_only) for m in mounts if m.source != NOWHERE)


def _cache_variables(mounts: tuple[ProjectMount, ...]) -> dict[str, str]:
    if not any(m.kind == "cache" for m in mounts):
        return {}
    from bareboat.verbs.caches import variables

    return variables(HOME)


def _in_memory(mounts: tuple[ProjectMount, ...]) -> tuple[Tmpfs, ...]:
    return tuple(Tmpfs(m.target, m.size, m.mode, m.read_only, m.programs) for m in mounts if m.kind == "tmpfs")


def _startup(project: Project | None) -> Iterable[Mount]:
    if project is not None and project.startup:
        yield Mount(project.root / project.startup, STARTUP, True)


def _recorded_startup(project: Project | None) -> Iterable[RecordedMount]:
    for mount in _startup(project):
        assert project is not None
        yield RecordedMount(os.fspath(mount.source), mount.target, True, "code", project.startup or "")


def _tty(request: RunRequest) -> bool:
    if request.tty is not None:
        if request.tty and not os.isatty(0):
            raise UsageError("usage.no-terminal", "-t was asked for, but standard input is no terminal",
                             hint="leave out -t")
        return request.tty
    return os.isatty(0) and os.isatty(1) and _in_foreground()


def _in_foreground() -> bool:
    """Whether the terminal is ours now: a run sent to the background by & would be stopped for touching it."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return True  # a terminal that is not the controlling one has no jobs


def _resources(request: RunRequest, project: Project | None) -> Resources:
    mine, said = project.resources if project else Resources(), request.resources
    return Resources(said.memory or mine.memory, said.cpus or mine.cpus, said.pids or mine.pids,
                     said.shm_size or mine.shm_size)


def _gpus(request: RunRequest, project: Project | None, environment: Environment, said: dict[str, str],
          work: Work) -> Grant | None:
    """What is granted of this machine's GPUs; None where none are asked for, which is found without an import."""
    if request.resources.gpus is None and (project is None or not (project.gpu or project.resources.gpus)):
        return None
    from bareboat.lease.values import Holding
    from bareboat.project.gpus import requested
    from bareboat.verbs.grant import grant

    wanted = requested(request.resources.gpus, project)
    if not wanted.wanted:
        return None
    resources = _resources(request, project)
    holding = Holding(0, run_id(os.urandom(6)), request.name or (project.name if project else ""), "session",
                      cpus=resources.cpus or 0.0, memory=resources.memory or 0, started=time.time(), preemptible=False)
    return grant(wanted, environment, said, work, holding)


def _user(request: RunRequest) -> tuple[int, int]:
    """The caller's numbers; an ordinary user's when root calls, unless 0 is asked for."""
    if request.user is None:
        return (os.getuid() or ORDINARY), (os.getgid() or ORDINARY)
    user, _, group = request.user.partition(":")
    try:
        uid, gid = int(user), int(group or user)
    except ValueError:
        uid = gid = -1
    if not (0 <= uid < 2**31 and 0 <= gid < 2**31):
        raise UsageError("usage.user", f"{request.user!r} is no user", where="--user",
                         hint="give numbers, UID or UID:GID; 0 is root of the user namespace")
    return uid, gid


def env_words(words: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    """NAME=VALUE, or NAME for the caller's own value, as variables. Raises UsageError "usage.env"."""
    for word in words:
        name, equals, value = word.partition("=")
        if not name or "\0" in word:
            raise UsageError("usage.env", f"{word!r} is no variable", where="-e", hint="write NAME=VALUE or NAME")
        if equals:
            yield name, value
        elif name in os.environ:
            yield name, os.environ[name]


def env_file(path: Path) -> Iterable[tuple[str, str]]:
    """Docker's format: NAME=VALUE or NAME a line, # comments, no quoting."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError("usage.env-file", f"cannot be read: {getattr(e, 'strerror', None) or 'not UTF-8'}",
                         where=str(path)) from None
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return list(env_words(tuple(line.lstrip() for line in lines)))

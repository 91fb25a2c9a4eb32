"""notebook: JupyterLab on the project's environment, for one person, on the loopback, until nobody uses it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from bareboat.errors import ResolveError
from bareboat.image.plan import Plan
from bareboat.project.values import Project, ProjectMount
from bareboat.record.values import RunRecord
from bareboat.sessions import notebook as lab
from bareboat.sessions.ports import free_port
from bareboat.sessions.tools import Tool
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.shell import Session, prepare_session
from bareboat.workload import Mount, Workload

if TYPE_CHECKING:
    from bareboat.verbs.tools import Made

APP = "/app"
NOTEBOOKS = "notebooks"  # a folder beside src/ that people keep them in


@dataclass(frozen=True)
class NotebookRequest:
    """What was asked of `notebook`. run: as for a run, without a program. port: None chooses a free one; idle: seconds
    without activity until it ends, 0 for never; upgrade: JupyterLab is locked anew; keep: as for a shell.
    """

    run: RunRequest
    port: int | None = None
    idle: int = 0
    upgrade: bool = False
    keep: bool | None = None


@dataclass(frozen=True)
class Caller:
    """Who started it: show is given the URL, to be seen and not to be kept; browse opens a file in a browser, or is
    None where there is none; ask: a yes or no.
    """

    show: Callable[[str], None]
    browse: Callable[[Path], None] | None
    ask: Callable[[str], bool]
    environ: Mapping[str, str]


def notebook(request: NotebookRequest, work: Work, caller: Caller) -> RunRecord:
    """Serve until it is stopped or idle for too long. Raises what the steps raise, as shell does."""
    import secrets

    from bareboat.verbs.foreground import in_foreground
    from bareboat.verbs.run import after
    from bareboat.verbs.session_end import Watch, end

    port = free_port(request.port)
    began = replace(request.run, program=("jupyter-lab",), project_run=True, words=(), tty=False, interactive=False)
    session = prepare_session(began, work, more=_notebooks(request.run))
    tools = lab_tools(session.plan, session.project.name, work, upgrade=request.upgrade)
    with work.store.scratch("notebook") as folder:
        token = secrets.token_hex(32)
        served = lab.Served(port, APP, _first(session), request.idle, _shell(session))
        session = with_lab(session, tools, work)
        load = _served(session.prepared.workload, served, folder, token)
        page = _page(folder, f"http://127.0.0.1:{port}/lab?token={token}")
        heard = Heard(work, lambda: _announce(page, served, work, caller))
        watch = Watch(session.plan)
        for tool in tools:
            after(tool.environment, work)
        work.tell.say(f"notebook in {session.project.name}: engine {work.engine.name}, network {load.network}")
        prepared = replace(session.prepared, workload=load, layer=watch.layer, heard=heard.take,
                           record=replace(session.prepared.record, argv=load.argv))
        record = in_foreground(prepared, request.run, work)
    why = f" after {_time(request.idle)} without activity" if heard.idle else ""
    work.tell.say(f"the notebook ended{why}; exit {record.exit_code}")
    end(session.project, watch.found, request.keep, work, caller.ask)
    after(session.environment, work)
    return record


def lab_tools(plan: Plan, project: str, work: Work, *, upgrade: bool = False) -> tuple[Made, Made]:
    """The server and the kernel. Raises UsageError "notebook.python" for what Jupyter does not run on."""
    from bareboat.errors import UsageError
    from bareboat.verbs.tools import tool

    version = plan.interpreter.version
    if not version or version.startswith("2."):
        raise UsageError("notebook.python", f"JupyterLab does not run on Python {version or '(none)'} of the image",
                         hint="use bareboat shell, or a project with Python 3")
    server = tool(lab.lab_tool(plan, project), plan, work, upgrade=upgrade)
    return server, _kernel(lab.kernel_tool(plan), plan, work, upgrade)


def _kernel(wanted: Tool, plan: Plan, work: Work, upgrade: bool) -> Made:
    from bareboat.verbs.tools import tool

    try:
        return tool(wanted, plan, work, upgrade=upgrade)
    except ResolveError as error:
        if error.code != "python.unsatisfiable" or not wanted.constraints:
            raise
        work.tell.say("no ipykernel goes with the project's packages; one that may not find what it needs is tried")
        return tool(replace(wanted, constraints=()), plan, work, upgrade=upgrade)


def with_lab(session: Session, tools: tuple[Made, ...], work: Work) -> Session:
    """The session with the server and the kernel in their places, read-only."""
    from bareboat.verbs.tools import mounted

    prepared, load = session.prepared, session.prepared.workload
    keys = tuple(key for tool in tools for key in tool.keys)
    load = replace(load, mounts=(*load.mounts, *(mount for tool in tools for mount in mounted(tool, work))))
    return replace(session, prepared=replace(prepared, workload=load, keys=(*prepared.keys, *keys)))


def _served(load: Workload, served: lab.Served, folder: Path, token: str) -> Workload:
    """The workload of the server. folder: this session's own, for the token and what stands for /app."""
    from bareboat.workload import Port

    secret = folder / "token"
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(token)
    env = {**dict(load.env), **lab.environment(served)}
    return replace(
        load, argv=lab.argv(served), env=tuple(sorted(env.items())), cwd=served.folder,
        ports=() if load.network == "host" else (*load.ports, Port(served.port, served.port)),
        mounts=(*load.mounts, Mount(secret, lab.TOKEN_FILE, True), *_floor(load, folder)))


def _floor(load: Workload, folder: Path) -> tuple[Mount, ...]:
    """A read-only /app with nothing but the places of the project in it, where /app is none itself: a notebook that was
    saved there would be gone with the session.
    """
    if any(m.target == APP for m in load.mounts):
        return ()
    floor = folder / "app"
    floor.mkdir(0o755)
    for mount in load.mounts:
        if mount.target.startswith(f"{APP}/"):
            place = floor / mount.target[len(APP) + 1:]
            if mount.source.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
    return (Mount(floor, APP, True),)


def _page(folder: Path, url: str) -> Path:
    """A page that leads to the URL, for a browser: its command line is everybody's to read."""
    page = folder / "open.html"
    with open(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
                   f'<meta http-equiv="refresh" content="0; url={url}"><a href="{url}">JupyterLab</a>\n')
    return page


def _announce(page: Path, served: lab.Served, work: Work, caller: Caller) -> None:
    """The server answers: say where."""
    caller.show(page.read_text().partition('href="')[2].partition('"')[0])
    remote = caller.environ.get("SSH_CONNECTION", "").split()
    if remote:
        import getpass

        host = remote[2] if len(remote) > 2 else "this-machine"
        there = f"{getpass.getuser()}@{host}"
        work.tell.say(f"from your own machine: ssh -N -L {served.port}:127.0.0.1:{served.port} {there}")
    if served.idle:
        work.tell.say(f"it stops by itself after {_time(served.idle)} without activity; ^C stops it now")
    else:
        work.tell.say("^C stops it")
    if caller.browse is not None:
        caller.browse(page)


class Heard:
    """What the server says to us on standard output, taken out of what it says to others."""

    def __init__(self, work: Work, ready: Callable[[], None]) -> None:
        self.work, self.ready, self.idle, self._rest = work, ready, False, b""
        self._seen = False

    def take(self, chunk: bytes) -> bytes:
        """For Prepared.heard."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        out = b"".join(line + b"\n" for line in lines if not self._ours(line))
        waits = b"bareboat:".startswith(rest[:9])  # the beginning of a line that may be ours
        self._rest = rest if waits else b""
        return out if waits else out + rest

    def _ours(self, line: bytes) -> bool:
        if line == b"bareboat:ready":
            if not self._seen:
                self._seen = True
                self.ready()
        elif line.startswith(b"bareboat:idle ") and line[14:].isdigit():
            self.work.tell.say(f"nothing happens in the notebook: it stops in {_time(int(line[14:]))}")
        elif line == b"bareboat:stopped":
            self.idle = True
        else:
            return False
        return True


def _time(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:g} h"


def _first(session: Session) -> str:
    """What the file browser shows first: where notebooks are, else the code."""
    code = [m.target for m in session.prepared.record.mounts if m.kind == "code"]
    code.sort(key=lambda target: target != f"{APP}/{NOTEBOOKS}")
    return next((target for target in code if target == APP or target.startswith(f"{APP}/")), APP)


def _shell(session: Session) -> str:
    trees = session.prepared.workload.root.trees
    return "/bin/bash" if any(os.path.lexists(f"{tree}/usr/bin/bash") for tree in trees) else "/bin/sh"


def _notebooks(request: RunRequest) -> Callable[[Project], tuple[ProjectMount, ...]]:
    """A folder of notebooks beside src/, writable, where the code's mount has it not."""

    def more(project: Project) -> tuple[ProjectMount, ...]:
        folder, target = project.root / NOTEBOOKS, f"{APP}/{NOTEBOOKS}"
        taken = any(m.target in (APP, target) or m.source in (project.root, folder) for m in project.mounts)
        return () if taken or folder.is_symlink() or not folder.is_dir() else (
            ProjectMount(folder, target, False, "code"),)

    return more

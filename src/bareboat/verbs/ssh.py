"""ssh: a container that SSH clients know by name. The project's session is started for it where it does not run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from bareboat.errors import EngineError, UsageError
from bareboat.sessions.ssh import entries, keys
from bareboat.sessions.ssh.entries import Entry
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work

if TYPE_CHECKING:
    from bareboat.project.values import Project
    from bareboat.sessions.ssh.gateway import Doors
    from bareboat.supervisor.client import Line
    from bareboat.verbs.containers import Seen
    from bareboat.verbs.prepare import RunRequest

KIND, LABEL = "ssh", "bareboat.ssh"
# What a session runs while people work in it: nothing, until it is told to end.
WAIT = ("/bin/sh", "-c", 'trap "exit 0" TERM INT HUP; while :; do sleep 3600 & wait $!; done')


@dataclass(frozen=True)
class Host:
    """A container that has an entry. root: its project's folder, where it is a project's session that is started again
    when somebody connects; "" for any other container. agent: whether ssh -A is taken.
    """

    name: str
    root: str = ""
    agent: bool = False


def session(request: RunRequest, work: Work, *, agent: bool = False, idle_stop: float = 0.0) -> Host:
    """The project's session, running, with its entry written. Raises what preparing a session does."""
    from bareboat.project import find_root, load
    from bareboat.verbs.prepare import RunRequest

    project = load(request.project or find_root(Path.cwd()))
    name = _name(project, work)
    host = Host(name, os.fspath(project.root), agent)
    work.store.put_json(KIND, name, _document(host))
    write_entries(work)
    with work.store.turn(f"ssh {name}"):
        seen = _seen(host, work)
        if seen is None or not seen.running:
            _make(host, replace(request, project=project.root), idle_stop, work)
        elif replace(request, project=None, locked=False) != RunRequest() or idle_stop:
            work.tell.say(f"session {name} runs already, as it was started; for another: bareboat stop {name}, and "
                          "the same again")
    return host


def known(name: str, work: Work, *, agent: bool = False) -> Host:
    """The host of a name: a project's session, or any container that runs, which gets its entry now. Raises UsageError
    "container.unknown", "container.not-running".
    """
    host = read(name, work)
    if host is None or not host.root:
        seen = containers.running(work.store, name)
        host = Host(entries.check_name(seen.container.name or seen.container.id), "", agent)
    elif agent:
        host = replace(host, agent=True)
    work.store.put_json(KIND, host.name, _document(host))
    write_entries(work)
    return host


def _make(host: Host, request: RunRequest, idle_stop: float, work: Work) -> None:
    """Start the session of a project, with the project as it is now, in the place of one that ended."""
    from bareboat.supervisor.rules import Rules
    from bareboat.verbs.launch import Kept, keep, launch
    from bareboat.verbs.run import after
    from bareboat.verbs.shell import prepare_session

    asked = replace(request, name=host.name, program=WAIT, project_run=True, words=(), tty=False, interactive=False)
    made = prepare_session(asked, work)
    load = replace(made.prepared.workload, argv=WAIT, tty=False)
    prepared = replace(made.prepared, workload=load, record=replace(made.prepared.record, argv=WAIT))
    old = _seen(host, work)
    if old is not None:
        containers.forget(work.store, old.container.id)
    container = replace(containers.of(prepared, asked, work.engine.name, remove=False),
                        labels=((LABEL, host.root),), rules=Rules(stop_seconds=2.0, idle_stop=idle_stop))
    container, kept = keep(container, Kept.of(prepared), work)
    launch(container, kept, work)
    after(made.environment, work)
    work.tell.say(f"session {host.name} runs; bareboat stop {host.name} ends it, and the next connection starts it "
                  "again")


def _seen(host: Host, work: Work) -> Seen | None:
    """The container of a project's session. Raises UsageError "ssh.name-taken" where another one has its name."""
    for seen in containers.listed(work.store):
        if seen.container.name == host.name:
            if (LABEL, host.root) in seen.container.labels:
                return seen
            raise UsageError("ssh.name-taken", f"another container is called {host.name!r}",
                             hint=f"rename it: bareboat rename {host.name} NEW")
    return None


def _name(project: Project, work: Work) -> str:
    """The name of a project's session: the project's, with a piece of its folder's digest where another's has it."""
    from bareboat.sessions.home import home_name

    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "-" for c in project.name.lower())
    plain = plain.strip("-._")[:40] or "project"
    host = read(plain, work)
    taken = host is not None and host.root not in ("", os.fspath(project.root)) and Path(host.root).is_dir()
    return f"{plain}-{home_name(project.root, project.name)[-4:]}" if taken else plain


def read(name: str, work: Work) -> Host | None:
    """The host of an entry; None when there is none."""
    from bareboat.record.codec import decode

    document = work.store.get_json(KIND, name)
    return None if document is None else decode(Host, document, f"ssh {name}")


def _document(host: Host) -> object:
    from bareboat.record.codec import encode

    return encode(host)


def hosts(work: Work) -> list[Host]:
    """Every host, by name; those whose container or project is gone are forgotten."""
    found = []
    for name in work.store.keys(KIND):
        host = read(name, work)
        if host is not None and (Path(host.root).is_dir() if host.root else _listed(name, work)):
            found.append(host)
        else:
            forget(name, work)
    return found


def _listed(name: str, work: Work) -> bool:
    try:
        containers.find(work.store, name)
    except UsageError:
        return False
    return True


def forget(name: str, work: Work) -> None:
    """Remove an entry and its host key. Idempotent."""
    work.store.remove_json(KIND, name)
    file = folder(work) / "hosts" / name
    for path in (file.with_name(f"{name}.pub"), file):
        path.unlink(missing_ok=True)


def folder(work: Work) -> Path:
    """Where the files of SSH clients lie."""
    return work.store.home / "ssh"


def host_key(name: str, work: Work) -> keys.Pair:
    """The key that a host shows; made when first asked for."""
    return keys.make(folder(work) / "hosts" / entries.check_name(name))


def entry(host: Host, work: Work) -> Entry:
    """The host as ssh's configuration has it."""
    at = folder(work)
    words = ("ssh", "--stdio", *(("--agent",) if host.agent else ()), host.name)
    user = "user" if host.root else _user(host, work)
    return Entry(host.name, user, (*bareboat(work), *words), os.fspath(at / "id"), os.fspath(at / "known_hosts"),
                 host.agent)


def _user(host: Host, work: Work) -> str:
    try:
        return "root" if containers.find(work.store, host.name).record.uid == 0 else "user"
    except UsageError:
        return "user"


def bareboat(work: Work) -> tuple[str, ...]:
    """argv of this very bareboat, for programs that start it by themselves, and with this very store."""
    script = Path(sys.argv[0]).absolute()
    program = (os.fspath(script),) if script.name == "bareboat" and os.access(script, os.X_OK) else (
        sys.executable, "-m", "bareboat")
    if work.settings.source("home") == "default":
        return program
    return ("env", f"BAREBOAT_HOME={work.store.home}", *program)


def write_entries(work: Work) -> Path:
    """Write the include file and the known hosts anew; returns the include file."""
    from bareboat.host.files import replace_file

    keys.make(folder(work) / "id")
    with work.store.turn("ssh entries"):
        found = [(host, host_key(host.name, work)) for host in hosts(work)]
        at = folder(work)
        replace_file(at / "known_hosts", entries.known_hosts((h.name, key.public) for h, key in found).encode(), 0o644)
        replace_file(at / "config", entries.include_file(entry(h, work) for h, _ in found).encode(), 0o644)
    return at / "config"


def install(config: Path, include: Path) -> bool:
    """Put the one line into a ~/.ssh/config; False where it has it. Raises UsageError "ssh.config"."""
    from bareboat.host.files import replace_file

    config.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        before = config.read_text("utf-8")
    except FileNotFoundError:
        before = ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("ssh.config", f"cannot be read: {error}", where=str(config)) from None
    text = entries.with_include(before, os.fspath(include))
    if text is None:
        return False
    try:
        replace_file(config, text.encode(), None if config.exists() else 0o600)
    except OSError as error:
        raise UsageError("ssh.config", f"cannot be written: {error.strerror}", where=str(config)) from None
    return True


def installed(config: Path, include: Path) -> bool:
    """Whether a ~/.ssh/config has the line."""
    try:
        return entries.with_include(config.read_text("utf-8"), os.fspath(include)) is None
    except (OSError, UnicodeDecodeError):
        return False


def reach(name: str, work: Work) -> str:
    """The id of the container to enter for a host. A project's session that ended is started again as it was, one that
    was removed is made anew. Raises what known and session do.
    """
    from bareboat.verbs.launch import start
    from bareboat.verbs.prepare import RunRequest

    host = read(name, work)
    if host is not None and host.root:
        with work.store.turn(f"ssh {name}"):
            seen = _seen(host, work)
            if seen is None:
                _make(host, RunRequest(project=Path(host.root)), 0.0, work)
            elif not seen.running:
                start(seen, work)
    return containers.running(work.store, name).container.id


def doors(name: str, work: Work, agent: bool, skipped: Callable[[str], None]) -> Doors:
    """Who may come in to a host: the user's own keys, and one of ours."""
    from bareboat.sessions.ssh.gateway import Doors

    own = keys.make(folder(work) / "id")
    home = Path(os.environ.get("HOME") or "/nonexistent")
    found = {own.public, *keys.of_user(home / ".ssh", skipped)}
    pair = host_key(name, work)
    return Doors(tuple(sorted(found)), pair.private.read_bytes(), _users(), agent)


def _users() -> tuple[str, ...]:
    import pwd

    try:
        login = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        login = ""
    return tuple(sorted({"user", "root" if os.getuid() == 0 else "user", login} - {""}))


def serve(name: str, work: Work, listening: int = -1, *, agent: bool = False, idle: float = 0.0) -> None:
    """Be the gateway of a host: one connection on standard input and output, or all on a listening socket's descriptor
    until nobody was connected for so many seconds. Ends with the container.
    """
    run = reach(name, work)
    line = _until_end(run, work)
    if listening >= 0 and not _asked_for(listening, line.sock.fileno(), idle):
        line.close()
        return
    import asyncio  # 30 MB with asyncssh, which nobody pays who only waits for the first connection
    import socket

    from bareboat.sessions.ssh.agent import keys_of
    from bareboat.sessions.ssh.container import ContainerInside
    from bareboat.sessions.ssh.gateway import Gateway
    from bareboat.sessions.ssh.ways import through_port, through_stdio

    target = _target(run, work)
    allowed = doors(name, work, agent, work.tell.detail)
    allowed = replace(allowed, users=tuple(sorted({*allowed.users, target.person.user})))

    async def go() -> None:
        inside = ContainerInside(target, line.sock.fileno())
        found = await keys_of(os.environ.get("SSH_AUTH_SOCK", ""))
        gateway = Gateway(inside, replace(allowed, keys=tuple(sorted({*allowed.keys, *found}))))
        try:
            if listening < 0:
                await through_stdio(gateway)
            else:
                await through_port(gateway, socket.socket(fileno=listening), idle)
        finally:
            inside.close()

    try:
        asyncio.run(go())
    finally:
        line.close()


def _asked_for(listening: int, end: int, idle: float) -> bool:
    """Wait for the first connection; False when the container ended or nobody came for so long."""
    import select

    ready, _, _ = select.select((listening, end), (), (), idle)
    return listening in ready and end not in ready


def _target(run: str, work: Work):  # type: ignore[no-untyped-def]  # its type is imported late, with asyncio
    from bareboat.sessions.ssh.container import Target, person_of
    from bareboat.verbs.enter import entered

    _, answer = entered(run, work.store)
    near = answer.descriptor >= 0
    if near:
        os.close(answer.descriptor)
    enter = (sys.executable, "-m", "bareboat.entry.inside")
    env = {**os.environ, "BAREBOAT_HOME": os.fspath(work.store.home)}
    return Target(person_of(answer.value), str(answer.value["network"]), (*enter, "program", run),
                  (*enter, "sockets", run) if near else (), env)


def _until_end(run: str, work: Work) -> Line:
    """A connection to who has the container, that is readable or over when it ended."""
    from bareboat.supervisor import wire
    from bareboat.supervisor.client import Line
    from bareboat.verbs.enter import place

    line = Line(place(work.store, containers.running(work.store, run)), None)
    try:
        line.sock.sendall(wire.document({"do": "wait"}))
    except OSError as error:
        line.close()
        raise EngineError("container.gone", f"the container has just ended ({error.strerror})") from None
    return line

"""ssh: a container that SSH clients know by name. The project's session is started for it where it does not run."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.sessions.ssh.entries import check_name
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work
from bareboat.verbs.ssh_hosts import Host, keep, read, write_entries

if TYPE_CHECKING:
    from bareboat.project.values import Project
    from bareboat.verbs.containers import Seen
    from bareboat.verbs.prepare import RunRequest

LABEL = "bareboat.ssh"
# What a session runs while people work in it: nothing, until it is told to end.
WAIT = ("/bin/sh", "-c", 'trap "exit 0" TERM INT HUP; while :; do sleep 3600 & wait $!; done')


def session(request: RunRequest, work: Work, *, agent: bool = False, idle_stop: float = 0.0) -> Host:
    """The project's session, running, with its entry written. Raises what preparing a session does."""
    from bareboat.project import find_root, load
    from bareboat.verbs.prepare import RunRequest

    project = load(request.project or find_root(Path.cwd()))
    name = request.name or _name(project, work)
    other = read(check_name(name), work)
    if other is not None and other.root not in ("", os.fspath(project.root)) and Path(other.root).is_dir():
        raise UsageError("ssh.name-taken", f"{name!r} is the session of {other.root}",
                         hint=f"choose another --name, or: bareboat ssh --forget {name}")
    host = Host(name, os.fspath(project.root), agent)
    keep(host, work)
    write_entries(work)
    with work.store.turn(f"ssh {name}"):
        seen = _seen(host, work)
        if seen is None or not seen.running:
            _make(host, replace(request, project=project.root), idle_stop, work)
        elif replace(request, project=None, locked=False, name="") != RunRequest() or idle_stop:
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
        host = Host(check_name(seen.container.name or seen.container.id), "", agent)
    elif agent:
        host = replace(host, agent=True)
    keep(host, work)
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

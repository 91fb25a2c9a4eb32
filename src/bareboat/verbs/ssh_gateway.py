"""The gateway of ssh: who may come in to a container, and by which way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from bareboat.errors import EngineError
from bareboat.sessions.ssh import keys
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work
from bareboat.verbs.ssh import reach
from bareboat.verbs.ssh_hosts import folder, host_key

if TYPE_CHECKING:
    from bareboat.sessions.ssh.container import Target
    from bareboat.sessions.ssh.gateway import Doors
    from bareboat.supervisor.client import Line


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


def _target(run: str, work: Work) -> Target:
    """The container as programs of ours enter it."""
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

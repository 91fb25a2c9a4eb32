"""bareboat ssh."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from bareboat.cli.shell import session_options, with_defaults
from bareboat.errors import UsageError
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work
    from bareboat.verbs.ssh_hosts import Host

SUMMARY = "A host entry for the project's session, that ssh, VS Code, PyCharm, rsync and sftp use."
EXAMPLES = """\
  bareboat ssh                          start the project's session, write its host entry, say how to use it
  bareboat ssh --install                the same, and let ~/.ssh/config include the entries
  bareboat ssh wine python src/run.py   a command in the session or container of this name
  bareboat ssh --port 2222 wine         for a client that knows no ProxyCommand: a port of 127.0.0.1
"""
IDLE = 3600.0  # seconds without a connection until a port is given up


def configure(parser: argparse.ArgumentParser) -> None:
    """A session's options as shell's; the rest is about the way in."""
    add = parser.add_argument
    add("--install", action="store_true", help="write one Include line into ~/.ssh/config")
    add("--agent", action="store_true", help="let the client's agent be used inside, where it asks for that (ssh -A)")
    add("--port", type=int, metavar="N", help="listen on this port of 127.0.0.1 (0: a free one), until nobody was "
        "connected for an hour")
    add("--stdio", action="store_true", help="speak SSH on standard input and output, as a ProxyCommand")
    add("--listening", type=int, default=-1, help=argparse.SUPPRESS)
    add("--forget", action="store_true", help="remove the entry and the host key of NAME")
    add("--idle-stop", metavar="TIME", help="end the session after so long without anybody or anything in it")
    session_options(parser)
    add("host", nargs="?", metavar="NAME", help="a session, or any container that runs")
    add("words", nargs="...", metavar="CMD …", help="what to run there; nothing for a shell")


def command(options: argparse.Namespace) -> int:
    """0, or the remote command's own code; 255 where ssh failed."""
    from bareboat.verbs import ssh, ssh_gateway, ssh_hosts

    name = options.host
    if options.stdio or options.listening >= 0:
        options.level = 0 if options.level == 1 else options.level
        ssh_gateway.serve(_named(name), _work(options), options.listening, agent=options.agent, idle=IDLE)
        return 0
    if options.forget:
        work = _work(options)
        ssh_hosts.forget(_named(name), work)
        ssh_hosts.write_entries(work)
        return 0
    work = _work(options)
    host = ssh.known(name, work, agent=options.agent) if name else _session(options, work)
    if options.port is not None:
        return _listen(host, options, work)
    if options.install:
        _install(work)
    if name and not options.install:
        _connect(host, options.words, work)
    _explain(host, work)
    return 0


def _work(options: argparse.Namespace) -> Work:
    """The collaborators: the engine is the container's, else the project's."""
    from bareboat.cli.run import work_of
    from bareboat.cli.term import Reporter
    from bareboat.verbs import ssh_hosts
    from bareboat.wiring import work

    if not options.host:
        return work_of(with_defaults(options, []))
    found = work(Reporter(options.level), offline=options.offline)
    engine = ssh_hosts.engine_of(options.host, found)
    return found if engine in ("", found.engine.name) else work(Reporter(options.level), offline=options.offline,
                                                                engine=engine)


def _named(name: str | None) -> str:
    if not name:
        raise UsageError("usage.name", "no container is named", hint="bareboat ssh --stdio NAME")
    return name


def _session(options: argparse.Namespace, work: Work) -> Host:
    from bareboat.cli.life import seconds
    from bareboat.cli.run import request_of
    from bareboat.verbs.ssh import session

    return session(request_of(with_defaults(options, [])), work, agent=options.agent,
                   idle_stop=seconds(options.idle_stop, "--idle-stop", 0.0))


def _config() -> Path:
    return Path(os.environ.get("HOME") or "/nonexistent") / ".ssh/config"


def _install(work: Work) -> None:
    from bareboat.verbs import ssh_hosts

    include = ssh_hosts.folder(work) / "config"
    if ssh_hosts.install(_config(), include):
        work.tell.say(f"{_config()} includes {include} now")
    else:
        work.tell.say(f"{_config()} includes {include} already")


def _connect(host: Host, words: list[str], work: Work) -> NoReturn:
    """Become ssh."""
    from bareboat.sessions.ssh.entries import PREFIX
    from bareboat.verbs import ssh_hosts

    argv = ["ssh", "-F", os.fspath(ssh_hosts.folder(work) / "config"), PREFIX + host.name, *words]
    sys.stdout.flush()
    try:
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        raise UsageError("ssh.client", "there is no ssh on this machine",
                         hint=f"install openssh-client, or: bareboat exec -it {host.name} sh") from None


def _listen(host: Host, options: argparse.Namespace, work: Work) -> int:
    """Give a listening socket to a gateway of its own, which outlives us."""
    from bareboat.host.background import start_detached
    from bareboat.sessions.ssh import network
    from bareboat.sessions.ssh.entries import PREFIX
    from bareboat.verbs import ssh, ssh_hosts

    ssh.reach(host.name, work)  # so that what hinders it is said here
    try:
        sock = network.listen("127.0.0.1", options.port)
    except (OSError, OverflowError) as error:
        raise UsageError("usage.port-taken", f"port {options.port} of 127.0.0.1 cannot be had: {error}",
                         where="--port", hint="--port 0 takes a free one") from None
    port = sock.getsockname()[1]
    os.set_inheritable(sock.fileno(), True)
    start_detached((sys.executable, "-m", "bareboat", "ssh", "--listening", str(sock.fileno()),
                    *(("--agent",) if host.agent else ()), host.name),
                   {**os.environ, "BAREBOAT_HOME": os.fspath(work.store.home)})
    sock.close()
    at = ssh_hosts.folder(work)
    user = ssh_hosts.entry(host, work).user
    print(f"ssh -p {port} -i {at / 'id'} -o HostKeyAlias={PREFIX}{host.name} -o UserKnownHostsFile="
          f"{at / 'known_hosts'} {user}@127.0.0.1")
    return 0


def _explain(host: Host, work: Work) -> None:
    import socket

    from bareboat.sessions.ssh import entries
    from bareboat.verbs import ssh_hosts

    entry = ssh_hosts.entry(host, work)
    include = ssh_hosts.folder(work) / "config"
    name = entry.host
    if not ssh_hosts.installed(_config(), include):
        print(f"put this line first in {_config()}, or let `bareboat ssh --install` do it:\n\n"
              f"    {entries.include_line(os.fspath(include))}\n\nthen:\n")
    print(f"    ssh {name}                           a shell; ssh {name} COMMAND\n"
          f"    rsync -a DIR/ {name}:/app/DIR/       scp and sftp likewise\n"
          f"    ssh -L 6006:localhost:6006 {name}    a port inside, here\n"
          f"    code --remote ssh-remote+{name} /app\n"
          f"    PyCharm: Remote Development, SSH, host {name}\n")
    server = socket.gethostname()
    print(f"on another machine that reaches this one by `ssh {server}`, for its ~/.ssh/config:\n")
    far = entries.far_entry(entry, server, ssh_hosts.host_key(host.name, work).public)
    print("".join(f"    {line}\n" for line in far.splitlines()), end="")

"""What SSH clients are told: host entries, known hosts, the one line of ~/.ssh/config. Pure text."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bareboat.errors import UsageError
from bareboat.values import dataclass

PREFIX = "bareboat-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Entry:
    """A container as ssh knows it. proxy: argv of the command that connects; identity, known_hosts: files."""

    name: str
    user: str
    proxy: tuple[str, ...]
    identity: str
    known_hosts: str
    agent: bool = False

    @property
    def host(self) -> str:
        """The word to type after ssh."""
        return PREFIX + self.name


def check_name(name: str) -> str:
    """A name that may stand in a host entry. Raises UsageError "ssh.name"."""
    if not _NAME.fullmatch(name):
        raise UsageError("ssh.name", f"{name!r} is no name of a container")
    return name


def quoted(value: str) -> str:
    """A path for ssh_config(5): in double quotes, its % doubled. Raises UsageError "ssh.path" where it cannot be."""
    if any(c in value for c in '"\n\r\0'):
        raise UsageError("ssh.path", "ssh's configuration cannot hold this path", where=repr(value))
    return '"' + value.replace("%", "%%") + '"'


def proxy_command(argv: Iterable[str]) -> str:
    """argv for ssh's ProxyCommand, which a shell reads: quoted where it has to be, its % doubled."""
    import shlex

    return shlex.join(argv).replace("%", "%%")


def host_entry(entry: Entry) -> str:
    """The entry of one container."""
    lines = [f"Host {entry.host}", f"    User {entry.user}", f"    ProxyCommand {proxy_command(entry.proxy)}",
             f"    HostKeyAlias {entry.host}", f"    UserKnownHostsFile {quoted(entry.known_hosts)}",
             "    GlobalKnownHostsFile none", "    StrictHostKeyChecking yes",
             f"    IdentityFile {quoted(entry.identity)}", "    IdentitiesOnly yes",
             "    PreferredAuthentications publickey", "    ForwardX11 no",
             f"    ForwardAgent {'yes' if entry.agent else 'no'}"]
    return "\n".join(lines) + "\n"


def include_file(entries: Iterable[Entry]) -> str:
    """The file that ~/.ssh/config includes."""
    head = "# Written by `bareboat ssh`; changes are lost.\n"
    return head + "".join("\n" + host_entry(entry) for entry in sorted(entries, key=lambda e: e.name))


def known_host(name: str, public: str) -> str:
    """The line of known_hosts."""
    return f"{PREFIX}{name} {public}\n"


def known_hosts(keys: Iterable[tuple[str, str]]) -> str:
    """The file of known hosts: name and public key of each."""
    return "".join(known_host(name, public) for name, public in sorted(keys))


def include_line(file: str) -> str:
    """The one line for ~/.ssh/config. Raises UsageError "ssh.path" for what cannot be said there: a % means something
    else to each version, and names are patterns.
    """
    if any(c in file for c in "%*?[]"):
        raise UsageError("ssh.path", "ssh's configuration cannot include a file of this name", where=file,
                         hint="set BAREBOAT_HOME to a directory without % * ? [ ] in its name")
    return f"Include {quoted(file)}"


def with_include(config: str, file: str) -> str | None:
    """A ~/.ssh/config with the line in front (behind a Host it would be that host's alone); None where it has it."""
    line = include_line(file)
    if any(found.strip() in (line, f"Include {file}") for found in config.splitlines()):
        return None
    return f"# bareboat's containers\n{line}\n\n{config}" if config else f"# bareboat's containers\n{line}\n"


def far_entry(entry: Entry, server: str, public: str) -> str:
    """An entry for another machine from which this one is reached by `ssh SERVER`; its own keys are used there."""
    import shlex

    proxy = ("ssh", server, shlex.join(entry.proxy))
    lines = [f"Host {entry.host}", f"    User {entry.user}", f"    ProxyCommand {proxy_command(proxy)}",
             f"    HostKeyAlias {entry.host}", "    StrictHostKeyChecking yes",
             f"    # in ~/.ssh/known_hosts there: {known_host(entry.name, public).strip()}"]
    return "\n".join(lines) + "\n"

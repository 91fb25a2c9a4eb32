"""The hosts that SSH clients know: what is kept of each, and the files that clients read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bareboat.errors import UsageError
from bareboat.sessions.ssh import entries, keys
from bareboat.sessions.ssh.entries import Entry
from bareboat.values import dataclass
from bareboat.verbs import containers
from bareboat.verbs.collaborators import Work

KIND = "ssh"


@dataclass(frozen=True)
class Host:
    """A container that has an entry. root: its project's folder, where it is a project's session that is started again
    when somebody connects; "" for any other container. agent: whether ssh -A is taken.
    """

    name: str
    root: str = ""
    agent: bool = False


def read(name: str, work: Work) -> Host | None:
    """The host of an entry; None when there is none."""
    from bareboat.record.codec import decode

    document = work.store.get_json(KIND, name)
    return None if document is None else decode(Host, document, f"ssh {name}")


def keep(host: Host, work: Work) -> None:
    """Remember it."""
    from bareboat.record.codec import encode

    work.store.put_json(KIND, host.name, encode(host))


def engine_of(name: str, work: Work) -> str:
    """The engine of a host's container, else of its project; "" where neither says."""
    from bareboat.verbs.run import engine_of_project

    try:
        return containers.find(work.store, name).container.engine
    except UsageError as error:
        host = read(name, work)
        if error.code != "container.unknown" or host is None or not Path(host.root).is_dir() or not host.root:
            return ""
    return engine_of_project(Path(host.root), dict(os.environ)) or ""


def hosts(work: Work) -> list[Host]:
    """Every host, by name. One whose container is gone is forgotten; a project's is kept: its folder may be away for a
    while, and others may know its host key.
    """
    found = []
    for name in work.store.keys(KIND):
        host = read(name, work)
        if host is not None and (host.root or _listed(name, work)):
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

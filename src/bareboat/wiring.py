"""The composition root: settings, store, engine and what commands are told by, put together once per command."""

from __future__ import annotations

import os
import sys

from bareboat.settings import Settings, SettingsError, load
from bareboat.store import Store
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs.collaborators import Tell, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from bareboat.engine.base import Engine
    from bareboat.engine.scheduler import Scheduler
    from bareboat.lease.base import Leases
    from bareboat.verbs.submission import Queue


def settings(**said: object) -> Settings:
    """The settings in force; said: what the command line says, None for what it does not."""
    return load(os.environ).override(**said)


def store() -> Store:
    """The user's store."""
    return open_store(settings())


def work(tell: Tell, **said: object) -> Work:
    """The collaborators of one command; said: settings from the command line, None for what it does not say."""
    chosen = settings(**said)
    for note in chosen.notes:
        tell.say(note)
    at = open_store(chosen, tell.say)
    if chosen.source("engine") == "default" and said.get("engine") is None:
        made = Work(at, usable(chosen, at, tell, lambda: made), chosen, tell)
    else:
        made = Work(at, engine(chosen, lambda: made), chosen, tell)
    return made


def usable(chosen: Settings, at: Store, tell: Tell, work: Callable[[], Work]) -> Engine:
    """Where nobody chose: the embedded engine, or where it cannot work the next that can, which is said once."""
    wrong, own = "it needs Linux", None
    if sys.platform.startswith("linux"):
        from bareboat.engine.bubblewrap import doubtful, isolates

        own = engine(chosen, work)
        if not doubtful() or isolates():
            return own
        from bareboat.engine.choice import obstacle

        check = obstacle(own.checks())
        if check is None:
            return own
        wrong = f"{check.name}: {check.detail}"
    from bareboat.engine.choice import instead

    found = instead(lambda name: engine(replace(chosen, engine=name), work), own, wrong)
    note = {"engine": found.name, "why": wrong}
    if found is not own and at.get_json("cache", "engine-instead") != note:  # once, and again for another reason
        at.put_json("cache", "engine-instead", note)
        tell.say(f"the embedded engine cannot work here ({wrong}), so {found.name} runs the containers")
    return found


def open_store(chosen: Settings, say: Callable[[str], None] = lambda text: None) -> Store:
    """The store of these settings, with the shared one below it. say: whom to tell of that one's state."""
    below = None
    if chosen.shared_store_path is not None and chosen.shared_store_path != chosen.home:
        from bareboat.store.store import Below

        below = Below(chosen.shared_store_path, shared_owner(chosen), say)
    at = Store.open(chosen.home, (chosen.layer_size, chosen.layer_entries, chosen.layer_ratio), below)
    at.queue = chosen.queue_path or at.queue
    return at


def shared_owner(chosen: Settings) -> int:
    """The uid of who may own the shared store. Raises SettingsError "settings.value"."""
    name = chosen.shared_store_owner
    if name.isdigit():
        return int(name)
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise SettingsError("settings.value", f"shared-store.owner: there is no user {name!r} on this machine",
                            where=chosen.source("shared-store.owner"), hint="give a user's name or number") from None


def engine(chosen: Settings, work: Callable[[], Work] | None = None) -> Engine:
    """The engine that the settings name. work: who feeds images to one that has a store of its own."""
    own = None
    if sys.platform.startswith("linux"):
        from bareboat.engine.bubblewrap import Bubblewrap

        own = Bubblewrap(chosen.home)
    if own is not None and chosen.engine == own.name:
        return own
    if chosen.engine == "bubblewrap":
        from bareboat.errors import EngineError

        raise EngineError("engine.platform", "bareboat's own engine needs Linux", where=chosen.source("engine"),
                          hint="use --engine docker or podman")
    from bareboat.engine.docker import CommandLine
    from bareboat.verbs.feeding import Fed, Unfed

    return CommandLine(chosen.engine, chosen.home, Unfed() if work is None else Fed(work), own)


def leases(chosen: Settings) -> Leases:
    """Who has which part of this machine. Raises LeaseError "lease.nowhere"."""
    from bareboat.lease.flock import FlockLeases
    from bareboat.lease.place import place

    return FlockLeases(place(chosen.leases_path))


def queue(work: Work) -> Queue:
    """The collaborators of verbs about unattended runs."""
    return _queue(work.store, lambda: work)


def queue_of(at: Store) -> Queue | None:
    """As queue, for a command that may mean a queued run; None where nothing was ever queued."""
    from bareboat.queue.sqlite import SqliteLedger

    if not SqliteLedger(at.queue).exists:
        return None
    from bareboat.verbs.collaborators import Quiet

    return _queue(at, lambda: work(Quiet()))


def _queue(at: Store, work: Callable[[], Work]) -> Queue:
    from bareboat.queue.bounds import bounds_of
    from bareboat.queue.sqlite import SqliteLedger
    from bareboat.verbs.submission import Queue

    chosen = settings()
    return Queue(SqliteLedger(at.queue), leases(chosen), lambda: wake(at), lambda name: scheduler(name, work()),
                 at.queue, bounds_of(chosen, _uid_of))


def _uid_of(name: str) -> int | None:
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def wake(at: Store) -> None:
    """Make sure that a worker looks at the ledger soon."""
    from bareboat.host.background import start_detached
    from bareboat.queue import door

    if not (door.is_held(at.queue) and door.ring(at.queue)):
        from bareboat.record.secrets import without_secrets

        start_detached((sys.executable, "-m", "bareboat.entry.worker"),
                       {**without_secrets(os.environ), "BAREBOAT_HOME": os.fspath(at.home)})


def scheduler(name: str, work: Work) -> Scheduler:
    """Who carries out unattended runs, by name. Raises UsageError "usage.scheduler"."""
    from bareboat.errors import UsageError

    if name == "local":
        from bareboat.queue.local import LocalQueue
        from bareboat.queue.sqlite import SqliteLedger
        from bareboat.verbs.submission import bare_template

        at = work.store
        return LocalQueue(SqliteLedger(at.queue), at, lambda: wake(at), bare_template)
    if name == "slurm":
        from bareboat.engine.slurm.slurm import Slurm
        from bareboat.verbs.pyxis import ByPyxis

        return ByPyxis(Slurm(work.store.queue / "submissions", os.environ, work.store.runs.path), work)
    if name == "kubernetes":
        from bareboat.engine.kubernetes.kubernetes import Kubernetes
        from bareboat.host.kernel import platform
        from bareboat.verbs.cluster import Carrying

        return Carrying(Kubernetes(work.store.queue / "kubernetes", os.environ, platform().removeprefix("linux/")),
                        work)
    raise UsageError("usage.scheduler", f"there is no scheduler {name!r} yet", hint="local")

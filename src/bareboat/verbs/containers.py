"""Which containers there are, found by name or id, and what is true of each."""

from __future__ import annotations

from pathlib import Path

from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.host.files import boot_id
from bareboat.record.values import RunRecord
from bareboat.store import Store
from bareboat.supervisor.rules import Rules
from bareboat.values import TYPE_CHECKING, Any, dataclass, replace

if TYPE_CHECKING:
    from bareboat.verbs.execute import Prepared
    from bareboat.verbs.prepare import RunRequest

KIND, LIVE, STARTS = "containers", "live", "starts"  # detached or created; in the foreground; how to start it again
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@dataclass(frozen=True)
class Container:
    """What is kept of a container until it is removed; the run record of its id is the truth of how it went.

    remove: gone when it ends (--rm, and every run in the foreground). boot: the machine's boot id at its last start.
    image: as people call it. ports: as docker ps shows them.
    """

    id: str
    name: str = ""
    created: str = ""
    argv: tuple[str, ...] = ()
    image: str = ""
    project: str = ""
    engine: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[str, ...] = ()
    rules: Rules = Rules()
    remove: bool = False
    tty: bool = False
    interactive: bool = False
    boot: str = ""


@dataclass(frozen=True)
class Seen:
    """A container as it is now. state: created, running, paused, restarting, exited or dead (its supervisor was killed:
    nothing of it runs any more). told: what its supervisor answered.
    """

    container: Container
    record: RunRecord
    state: str
    told: dict[str, Any]
    foreground: bool = False

    @property
    def running(self) -> bool:
        """Whether a process has it."""
        return self.state in ("running", "paused", "restarting")


def check_name(name: str) -> str:
    """A name that may be given. Raises UsageError "container.name"."""
    if not name or len(name) > 128 or not _NAME.issuperset(name) or not name[0].isalnum():
        raise UsageError("container.name", f"{name[:80]!r} is no name for a container",
                         hint="letters, digits, _ . - and a letter or digit first")
    return name


def known(store: Store) -> list[tuple[str, bool]]:
    """(id, in the foreground) of every container that is listed."""
    return [*((key, False) for key in store.keys(KIND)), *((key, True) for key in store.keys(LIVE))]


def read(store: Store, run: str, foreground: bool = False) -> Container | None:
    """What is kept of a container; None when it was removed meanwhile."""
    from bareboat.record.codec import decode

    document = store.get_json(LIVE if foreground else KIND, run)
    return None if document is None else decode(Container, document, f"container {run}")


def write(store: Store, container: Container, foreground: bool = False) -> None:
    """Keep it."""
    from bareboat.record.codec import encode

    store.put_json(LIVE if foreground else KIND, container.id, encode(container))


def forget(store: Store, run: str) -> None:
    """It is listed no more; its run record stays."""
    for kind in (STARTS, KIND, LIVE):
        store.remove_json(kind, run)


def forget_live(store: Store, run: str) -> None:
    """As forget, for one in the foreground."""
    store.remove_json(LIVE, run)


def of(prepared: Prepared, request: RunRequest, engine: str, *, remove: bool) -> Container:
    """What is kept of a container that is about to be made."""
    record, load = prepared.record, prepared.workload
    image = "" if request.project_run or not request.words else request.words[0]
    ports = tuple(f"{p.address}:{p.host or '?'}->{p.inside}" for p in load.ports)
    return Container(record.id, request.name, record.created, record.argv, image, record.project, engine,
                     ports=ports, remove=remove, tty=load.tty, interactive=bool(request.interactive))


def look(store: Store, run: str, foreground: bool = False) -> Seen | None:
    """A container as it is now; None when it is gone. One of --rm whose supervisor was killed is cleaned up here."""
    from bareboat.verbs.runs import load

    container = read(store, run, foreground)
    if container is None:
        return None
    try:
        record = load(store, run)
    except BareboatError as error:
        if error.code != "record.missing":
            raise
        record = RunRecord(run, state="failed", reason="its record is gone")
    if not store.runs.is_alive(run):
        if record.state == "pending":
            return Seen(container, record, "created", {}, foreground)
        if container.remove:
            forget(store, run)
            return None
        dead = record.reason in ("bareboat was killed", "its record is gone")
        if dead and container.boot and container.boot != boot_id():
            record = replace(record, reason="the machine was started again meanwhile")
        return Seen(container, record, "dead" if dead else "exited", {}, foreground)
    told = _told(store.runs.path(run))
    state = "paused" if told.get("paused") else "restarting" if told.get("running") is False and (
        record.state == "pending") else "running"
    return Seen(container, record, state, told, foreground)


def _told(folder: Path) -> dict[str, Any]:
    from bareboat.supervisor.client import ask

    try:
        return ask(folder, 2.0, do="state").value
    except EngineError:
        return {}  # it ends or starts at this moment, or is stopped


def listed(store: Store) -> list[Seen]:
    """Every container, the newest first."""
    found = [seen for run, foreground in known(store) if (seen := look(store, run, foreground)) is not None]
    return sorted(found, key=lambda seen: (seen.container.created, seen.container.id), reverse=True)


def find(store: Store, text: str) -> Seen:
    """The container meant by a name, an id or the unique beginning of one. Raises UsageError "container.unknown",
    "container.ambiguous".
    """
    ids = dict(known(store))
    named = [run for run, foreground in ids.items() if (c := read(store, run, foreground)) and c.name == text]
    found = named or ([text] if text in ids else [run for run in ids if text and run.startswith(text)])
    if len(found) > 1:
        raise UsageError("container.ambiguous", f"{len(found)} containers begin with {text!r}: "
                         + ", ".join(run[:12] for run in sorted(found)[:4]), hint="type more of it")
    seen = look(store, found[0], ids[found[0]]) if found else None
    if seen is None:
        raise UsageError("container.unknown", f"there is no container {text[:80]!r}", hint=_near(store, text))
    return seen


def _near(store: Store, text: str) -> str:
    import difflib

    from bareboat.verbs.runs import find as find_run

    names = [c.name for run, foreground in known(store) if (c := read(store, run, foreground)) and c.name]
    near = difflib.get_close_matches(text, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    try:
        record = find_run(store, text)
    except BareboatError:
        return "bareboat ps -a lists what there is"
    return f"run {record.id} has ended, and its container is gone; bareboat show {record.id} has its log and results"


def running(store: Store, text: str) -> Seen:
    """As find, one that runs. Raises UsageError "container.not-running"."""
    seen = find(store, text)
    if not seen.running:
        raise UsageError("container.not-running", f"container {text} is not running ({seen.state})",
                         hint=f"bareboat start {text}" if not seen.container.remove else "")
    return seen


def _not_queued(store: Store, container: Container) -> None:
    """Refuse the name of a queued run that is not over: it will be a container of that name. Raises UsageError
    "container.name-taken".
    """
    from bareboat.verbs.queued import entry_of
    from bareboat.verbs.submission import OPEN

    entry = entry_of(store, container.name)
    if entry is not None and entry.name == container.name and entry.state in OPEN:
        raise UsageError("container.name-taken", f"the name {container.name!r} is a queued run's ({entry.run[:8]}, "
                         f"{entry.state})", hint=f"choose another, or: bareboat stop {container.name}")


def claim(store: Store, container: Container, foreground: bool = False) -> Container:
    """List a new container, with a name nobody else has; one is made up where none was given. Raises UsageError
    "container.name-taken".
    """
    if container.name:
        _not_queued(store, container)
    with store.turn("container names"):
        taken = {}
        if container.name or not foreground:
            for run, live in known(store):
                other = read(store, run, live)
                if other is not None and other.name:
                    taken[other.name] = run
        if container.name in taken and container.name:
            seen = look(store, taken[container.name], (taken[container.name], True) in known(store))
            if seen is not None:
                raise UsageError("container.name-taken", f"the name {container.name!r} is a container's already "
                                 f"({seen.container.id[:12]}, {seen.state})",
                                 hint=f"choose another, or: bareboat rm {container.name}")
        if not container.name and not foreground:
            stem = "".join(c if c in _NAME else "-" for c in (container.project or container.image or "run").lower())
            stem = stem.strip("-._")[:40] or "run"
            number = next(n for n in range(1, len(taken) + 2) if f"{stem}-{n}" not in taken)
            container = replace(container, name=f"{stem}-{number}")
        write(store, container, foreground)
    return container

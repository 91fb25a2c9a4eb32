"""A submission as it is kept: all of a run but what its points say; and what the verbs of the queue work with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bareboat.errors import QueueError, RecordError
from bareboat.lease.base import Leases
from bareboat.queue.base import Added, Entry, Ledger
from bareboat.queue.policy import Bounds
from bareboat.record.secrets import is_withheld
from bareboat.record.values import RunRecord, timestamp
from bareboat.training.values import Point, Training
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs.launch import Kept

if TYPE_CHECKING:
    from bareboat.engine.scheduler import Scheduler, Submission
    from bareboat.store import Store

NO_BOUNDS = Bounds()
OPEN = frozenset(("pending", "running"))
READ_MOST = 256  # templates that are kept in memory
KIND = "submissions"  # documents that keep from gc what queued runs need, and rebuild a ledger that was lost


@dataclass(frozen=True)
class Template:
    """What of a submission its points do not say. gpus: as --gpus had it, "none" where none are asked for; withheld:
    the variables whose values are kept apart (queue/withheld.py).
    """

    kept: Kept
    training: Training
    gpus: str = "none"
    withheld: tuple[str, ...] = ()


@dataclass(frozen=True)
class Queue:
    """The collaborators of verbs about unattended runs. wake: make sure that a worker looks at the ledger soon;
    scheduler: the one of a name. Raises EngineError where that cannot be used here.
    """

    ledger: Ledger
    leases: Leases
    wake: Callable[[], None]
    scheduler: Callable[[str], Scheduler]
    folder: Path
    bounds: Bounds = NO_BOUNDS


class Templates:
    """Submissions' templates, each read once. Raises QueueError "queue.template", "queue.unknown"."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._read: dict[str, tuple[bytes, Template]] = {}

    def body(self, id: str) -> tuple[bytes, Template]:
        """As it is kept, and as a value."""
        found = self._read.get(id)
        if found is None:
            data = self._ledger.template(id)
            found = data, unpacked(data, f"submission {id}")
            while len(self._read) >= READ_MOST:
                self._read.pop(next(iter(self._read)))
            self._read[id] = found
        return found

    def training(self, id: str) -> Training:
        """How its runs are carried out."""
        return self.body(id)[1].training


def packed(template: Template) -> bytes:
    """The bytes of Added.template."""
    from bareboat.record.codec import encode_bytes

    return encode_bytes(template)


def unpacked(data: bytes, where: str) -> Template:
    """The template of its bytes. Raises QueueError "queue.template"."""
    from bareboat.record.codec import decode_bytes

    try:
        return decode_bytes(Template, data, where)
    except RecordError as error:
        raise QueueError("queue.template", f"what was submitted cannot be read ({error.what})", where=where,
                         hint="it was sent by another version of bareboat: send it again") from None


def apart(template: Template, points: tuple[Point, ...]) -> tuple[Template, tuple[Point, ...], dict[str, str]]:
    """The same without the values that a record withholds, and those values, which are the same for all points. What
    differs from point to point is made of parameters, and those are no secrets.
    """
    from bareboat.training.sweep import variable

    load = template.kept.workload
    own, first = {variable(name) for name, _ in points[0].parameters}, dict(points[0].env)
    again = {name: value for name, value in first.items() if name not in own and is_withheld(name, value)
             and all((name, value) in point.env for point in points)}
    if again:
        points = tuple(replace(point, env=tuple(v for v in point.env if v[0] not in again)) for point in points)
    env = tuple(pair for pair in load.env if pair[0] not in first)
    values = {name: value for name, value in env if is_withheld(name, value)} | again
    if not values:
        return template, points, {}
    load = replace(load, env=tuple(pair for pair in env if pair[0] not in values))
    kept = replace(template.kept, workload=load)
    return replace(template, kept=kept, withheld=tuple(sorted(values))), points, values


def whole(template: Template, values: Mapping[str, str] | None, id: str) -> Template:
    """The template with the values that were kept apart. Raises QueueError "queue.withheld-gone" without them."""
    if not template.withheld:
        return template
    if values is None:
        raise QueueError("queue.withheld-gone", f"the values of {', '.join(template.withheld)} are not there any more",
                         where=f"submission {id}", hint="set them in the environment, then: bareboat resume RUN")
    load = template.kept.workload
    load = replace(load, env=tuple(sorted({**dict(load.env), **values}.items())))
    return replace(template, kept=replace(template.kept, workload=load), withheld=())


def restored(template: Template, folder: Path, id: str) -> Template:
    """As whole, with what the queue in this folder keeps. Raises QueueError "queue.withheld-gone", "queue.withheld"."""
    if not template.withheld:
        return template
    from bareboat.queue import withheld

    return whole(template, withheld.get(folder, id), id)


def enter(added: Added, values: dict[str, str], queue: Queue) -> None:
    """Add a submission to the ledger, and before that what is kept apart of it: what is in the ledger must find it.
    Raises QueueError, StoreError.
    """
    if not values:
        queue.ledger.add(added)
        return
    from bareboat.queue import withheld
    from bareboat.queue.sqlite_file import prepare_folder

    prepare_folder(queue.folder)
    with withheld.sending(queue.folder):
        withheld.put(queue.folder, added.id, values)
        queue.ledger.add(added)


def let_go(folder: Path, ledger: Ledger, ids: Iterable[str] | None = None) -> int:
    """Remove the values that were kept apart for submissions, of these or of all, whose runs are over; how many. Raises
    QueueError, StoreError.
    """
    from bareboat.queue import withheld

    return withheld.sweep(folder, lambda id: bool(OPEN & set(ledger.counts(id))), ids)


def keep(store: Store, added: Added, template: Template) -> None:
    """Keep from gc what the runs of a submission need, and the submission itself, should the ledger's file be damaged;
    durable.
    """
    from bareboat.record.codec import encode

    store.put_json(KIND, added.id, {
        "pins": [*_blobs(template), *_trees(template)], "id": added.id, "name": added.name, "created": added.created,
        "priority": added.priority, "scheduler": added.scheduler, "template": added.template.decode("ascii"),
        "points": encode(added.points)})


def is_over(store: Store, added_id: str, template: Template) -> None:
    """Its runs are over: what can be made again need not be kept for them. Idempotent."""
    document = store.get_json(KIND, added_id)
    pins = _blobs(template)
    if isinstance(document, dict) and document.get("pins") != pins:
        store.put_json(KIND, added_id, {**document, "pins": pins})


def _blobs(template: Template) -> list[str]:
    return [f"blob:{digest}" for digest in template.kept.record.blobs]


def _trees(template: Template) -> list[str]:
    record = template.kept.record
    keys = [key for key in template.kept.keys if key != record.plan_blob and ":" not in key]
    return [f"tree:{key}" for key in (*keys, *(key for _, key in record.overlays))]


def added_of(document: object, where: str) -> Added:
    """The submission that keep wrote. Raises RecordError "record.malformed"."""
    from bareboat.record.codec import decode

    told = decode(_Document, document, where)
    return Added(told.id, told.template.encode("ascii"), told.points, told.scheduler, told.priority, told.created,
                 told.name)


@dataclass(frozen=True)
class _Document:
    id: str
    template: str
    points: tuple[Point, ...]
    name: str = ""
    created: float = 0.0
    priority: int = 0
    scheduler: str = "local"


def pinned(store: Store, id: str) -> None:
    """Nothing needs it any more. Idempotent."""
    store.remove_json(KIND, id)


def record_of(template: Template, point: Point, entry: Entry | None = None) -> RunRecord:
    """The record of a point that has not been started: pending, with what its submission fixed."""
    record = replace(template.kept.record, id=point.run, name=point.name, argv=point.argv or template.kept.record.argv)
    if entry is not None:
        record = replace(record, created=timestamp(entry.created), state=entry.state, reason=entry.reason,
                         exit_code=entry.exit_code, ended=timestamp(entry.ended) if entry.ended else "")
    return record


def placed(points: tuple[Point, ...], folder: Path | None, sweep: str = "") -> tuple[Point, ...]:
    """The points with ids and results folders of their own: NAME, else ID, below the project's; one that is there
    already is another run's, whose results and checkpoints are left alone. sweep: its name; its runs have a folder
    together.
    """
    from bareboat.record.values import run_id

    entropy = os.urandom(6 * len(points))
    if folder is not None and sweep:
        folder = folder / (f"{sweep}-{run_id(os.urandom(6))}" if (folder / sweep).exists() else sweep)
    taken = set(os.listdir(folder)) if folder is not None and folder.is_dir() else set()
    found = []
    for number, point in enumerate(points):
        run = point.run or run_id(entropy[6 * number:])
        name = point.name or run
        if name in taken:
            name = f"{name}-{run}"
        results = point.results or (os.fspath(folder / name) if folder is not None else "")
        found.append(replace(point, run=run, index=number, results=results))
    return tuple(found)


def submission_of(id: str, template: Template, points: tuple[Point, ...], name: str, folder: Path) -> Submission:
    """As schedulers take it; its own folder below this one is made, but for "dry-run". Raises QueueError
    "queue.withheld-gone".
    """
    from bareboat.engine.scheduler import Submission

    own = folder / "submissions" / id
    node: tuple[str, ...] = ()
    if id != "dry-run":
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        if template.training.scheduler == "kubernetes":  # the cluster keeps them, in a Secret
            template = restored(template, folder, id)
    if template.training.scheduler == "slurm":
        import sys

        from bareboat.verbs.nodes import lay_out

        node = (sys.executable, "-m", "bareboat.entry.node", os.fspath(own))
        if id != "dry-run":
            lay_out(own, template, points)
    return Submission(id, template.training, template.kept.workload, points, own, name, node=node,
                      record=template.kept.record)


def sent_before(id: str, queue: Queue) -> Submission:
    """A submission of the ledger's, as schedulers take it. Raises QueueError."""
    added = queue.ledger.submission(id)
    return submission_of(id, unpacked(added.template, f"submission {id}"), added.points, added.name, queue.folder)


def bare_template(submission: Submission) -> bytes:
    """The template of a submission that says no more than schedulers are told."""
    load = submission.workload
    results = next((mount.source for mount in load.mounts if mount.target == "/results"), None)
    record = RunRecord("0" * 12, argv=load.argv, env=load.env, cwd=load.cwd, uid=load.uid, gid=load.gid,
                       network=load.network, limits=load.limits, plan_blob=load.root.plan_blob)
    return packed(Template(Kept(load, record, results), submission.training))

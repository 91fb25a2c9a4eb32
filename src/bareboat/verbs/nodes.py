"""What a node needs of a submission, beside its script: laid out when it is sent, read where it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bareboat.errors import EngineError
from bareboat.queue.base import Entry
from bareboat.store import Store
from bareboat.training.values import Point
from bareboat.values import dataclass, replace
from bareboat.verbs.submission import Template, packed, unpacked

TEMPLATE, POINTS, MACHINE = "template", "points", "machine"
ILLEGAL = 132  # 128 + SIGILL


@dataclass(frozen=True)
class Task:
    """What a node carries out: a point, its template and that one's bytes."""

    point: Point
    template: Template
    data: bytes


def lay_out(folder: Path, template: Template, points: tuple[Point, ...]) -> None:
    """Write what nodes read. Idempotent: what is there already is as it was sent. Raises OSError."""
    from bareboat.host.facts import own_level
    from bareboat.host.files import fsync_directory
    from bareboat.host.isa import demanded_by_image
    from bareboat.host.kernel import platform
    from bareboat.record.codec import encode

    if (folder / TEMPLATE).exists():
        return
    machine = f"{platform()} {own_level()} {demanded_by_image(template.kept.workload.root.trees)}".rstrip()
    lines = "".join(f"{json.dumps(encode(point))}\n" for point in points)
    for name, data in ((POINTS, lines.encode("utf-8", "surrogatepass")), (MACHINE, machine.encode()),
                       (TEMPLATE, packed(template))):  # the template last: with it all of it is there
        draft = folder / f".{name}"
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
        os.rename(draft, folder / name)
    fsync_directory(folder)


def task_of(folder: Path, run: str) -> Task:
    """What was laid out for a run. Raises EngineError "node.folder", QueueError "queue.template"."""
    from bareboat.record.codec import decode

    try:
        data = (folder / TEMPLATE).read_bytes()
        wanted = json.dumps(run).encode()
        with open(folder / POINTS, "rb") as file:
            for line in file:
                if wanted in line:
                    point = decode(Point, json.loads(line.decode("utf-8", "surrogatepass")), f"run {run}")
                    if point.run == run:
                        return Task(point, unpacked(data, os.fspath(folder)), data)
    except OSError as error:
        raise EngineError("node.folder", f"what was submitted cannot be read here: {error.strerror}",
                          where=os.fspath(folder), hint="the nodes must see the store: put BAREBOAT_HOME on a file "
                          "system that they share with this one") from None
    raise EngineError("node.run", f"there is no run {run} in this submission", where=os.fspath(folder / POINTS))


def check(task: Task, folder: Path, home: Path) -> None:
    """Whether this node is as its submission needs it: the same architecture, a processor that the image's C library
    takes, the same store, the same folders.

    Raises EngineError "node.platform", "node.cpu", "node.store", "node.mount", "node.image".
    """
    from bareboat.host.facts import own_level
    from bareboat.host.isa import below
    from bareboat.host.kernel import platform

    node, kept = os.uname().nodename, task.template.kept
    if folder.parent.parent.parent != home:
        raise EngineError("node.store", f"the store of this node is another than the one it was sent from: {home}",
                          where=os.fspath(folder), hint="set BAREBOAT_HOME to the same folder everywhere")
    sent, _, demanded = machine_of(folder)
    if not kept.workload.platform and sent != platform():
        raise EngineError("node.platform", f"the image was made for {sent}, and {node} is {platform()}",
                          hint="choose nodes with --constraint, or say --platform when you send it")
    if not kept.workload.platform and below(own_level(), demanded):
        raise EngineError("node.cpu", f"the image's programs need a processor of {demanded}, and {node} has "
                          f"{own_level()}", hint="choose nodes with --constraint, or a base that needs less")
    for mount in kept.workload.mounts:
        if mount.source != kept.results and not mount.source.exists():
            raise EngineError("node.mount", f"{node} does not see what is mounted at {mount.target}",
                              where=os.fspath(mount.source), hint="put it on a file system that the nodes share")
    for tree in kept.workload.root.trees:
        if not tree.exists():
            raise EngineError("node.image", f"{node} does not see the image's layers, or they were collected",
                              where=os.fspath(tree), hint="send it again, or: bareboat build")


def machine_of(folder: Path) -> tuple[str, str, str]:
    """The platform and level of the machine that sent it, and the level that the image demands; "" for what is not
    known.
    """
    words = (folder / MACHINE).read_text(encoding="ascii", errors="replace").split()
    platform, level, demanded = (*words, "", "", "")[:3]
    return platform, level, demanded


def illegal(folder: Path, own: str, node: str) -> str:
    """What an illegal instruction on a node may come from. own: its level."""
    from bareboat.host.isa import below

    sent = machine_of(folder)[1]
    if below(own, sent):
        return (f"illegal instruction: {node} has a processor of {own}, and it was sent from one of {sent}, for which "
                "something may have been compiled: choose nodes with --constraint")
    return f"illegal instruction: something was compiled for another processor than {node}'s ({own})"


def noted(store: Store, entry: Entry) -> Entry:
    """The entry with what its node has written down since it was last seen."""
    from bareboat.engine.slurm import notes

    note = notes.read(store.queue / "submissions" / entry.submission, entry.run)
    if note is None or note.attempt < max(entry.attempt, 1):
        return entry
    return replace(entry, state=note.state, reason=note.reason, attempt=note.attempt, exit_code=note.exit_code,
                   where=note.where, started=note.started, ended=note.ended)

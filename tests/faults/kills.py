"""Row 1: kill -9 at random points of put, pull, build, tag and gc."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from tests.faults.kit import Figures, chunked, content, corrupt, sha256, tree_of, workplace

from bareboat.store import Store, blobs
from bareboat.store.gc import Policy


def in_place(self: blobs.Blobs, chunks: Iterable[bytes], digest: str | None, size: object, where: str) -> str:
    """The control: a writer without a temporary name."""
    assert digest is not None
    with open(self._layout.blob(digest), "wb", buffering=0) as file:
        for chunk in chunks:
            for start in range(0, len(chunk), 256):
                file.write(chunk[start : start + 256])
    return digest


def work(home: Path, seed: int, acks: int) -> None:
    """One child: operations until it is killed, each acknowledged on a pipe after it returned."""
    store, chance = Store.open(home), random.Random(seed)

    def acknowledge(line: str) -> None:
        os.write(acks, f"{line}\n".encode())

    while True:
        number = chance.randrange(1 << 40)
        what = chance.choices(("put", "pull", "build", "tag", "run", "gc"), (6, 3, 3, 3, 2, 1))[0]
        data = content(number)
        if what == "put":
            store.put_blob(chunked(data), sha256=sha256(data))
            acknowledge(f"blob {sha256(data)}")
        elif what == "pull":
            with store.scratch("pull") as scratch:
                (scratch / "file").write_bytes(data)
                acknowledge(f"blob {store.put_file(scratch / 'file', sha256=sha256(data), size=len(data))}")
        elif what == "build":
            store.make_tree(f"t{number}", tree_of(number))
            if chance.random() < 0.3:
                store.settle()
            acknowledge(f"tree t{number}")
        elif what == "tag":
            digest = store.put_blob(chunked(data), sha256=sha256(data))
            plan = f"sha256:{sha256(b'%d' % number)}"
            store.put_json("plans", plan, {"trees": [], "blobs": [digest]})
            name = f"name{chance.randrange(50)}-{seed}"
            store.tag(name, plan)
            acknowledge(f"tag {name} {plan}")
        elif what == "run":
            store.runs.create(f"r{number}")
            store.runs.write(f"r{number}", {"number": number, "filler": "x" * chance.randrange(5000)})
            acknowledge(f"run r{number} {number}")
        else:
            store.gc(Policy(older_than=1e6))


def kills(rounds: int, *, control: bool = False, seed: int = 1) -> Figures:
    """Children started and killed one after the other on one store; all that was acknowledged is looked
    for.
    """
    figures = Figures(1, "kill -9 at random points")
    chance = random.Random(seed)
    with workplace() as place:
        done = 0
        while done < rounds:
            home = place / f"home{done}"
            batch = min(100, rounds - done)
            _batch(home, batch, chance, figures, control)
            done += batch
    figures.counts["acknowledged lost"] = sum("lost" in line for line in figures.bad)
    figures.counts["visible corrupt"] = sum("lost" not in line and "left" not in line for line in figures.bad)
    figures.counts["leftovers after gc"] = sum("left" in line for line in figures.bad)
    return figures


def _batch(home: Path, rounds: int, chance: random.Random, figures: Figures, control: bool) -> None:
    Store.open(home)
    acknowledged: list[list[str]] = []
    for _ in range(rounds):
        read, write = os.pipe()
        seed = chance.randrange(1 << 30)
        child = os.fork()
        if child == 0:
            try:
                os.close(read)
                if control:
                    blobs.Blobs.put = in_place  # type: ignore[method-assign]
                work(home, seed, write)
            finally:
                os._exit(1)
        os.close(write)
        time.sleep(chance.uniform(0.001, 0.02))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            figures.bad.append("a child ended by itself")
        with os.fdopen(read) as pipe:
            acknowledged += [line.split() for line in pipe.read().splitlines()]
        figures.add("kills")
    store = Store.open(home)
    figures.add("acknowledged", len(acknowledged))
    figures.bad += [
        f"lost: {' '.join(ack)}" for ack in acknowledged if not _is_there(store, ack, acknowledged)
    ]
    figures.bad += corrupt(store)
    store.close()
    figures.add("leftovers", len(os.listdir(home / "tmp")))
    store.gc(Policy(older_than=1e6, grace=0))
    figures.bad += [f"left: {name}" for folder in ("tmp", "leases") for name in os.listdir(home / folder)]


def _is_there(store: Store, ack: list[str], all_of_them: list[list[str]]) -> bool:
    kind, key = ack[:2]
    if kind == "blob":
        return store.blob(key) is not None  # its bytes are looked at by corrupt()
    if kind == "tree":
        return store.tree(key) is not None
    if kind == "run":
        return store.runs.read(key)["number"] == int(ack[2])
    written = {a[2] for a in all_of_them if a[:2] == ack[:2]}
    last = [a[2] for a in all_of_them if a[:2] == ack[:2]][-1]
    now = store.tags().get(key)
    return now is not None and (
        now == last or now not in written
    )  # one more may have been written, unacknowledged

"""Rows 3 and 4: many processes on one store, with gc running all the time and now and then a stopped
writer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.kit import Figures, content, corrupt, sha256, tree_of, workplace

from bareboat.errors import StoreError
from bareboat.store import Store, gc
from bareboat.store.documents import Documents
from bareboat.store.gc import DAY, Policy

POOL = 12  # trees and blobs that all processes fight over


def start(body: Callable[[], None], log: Path) -> int:
    """A child process; what it raises is written to log."""
    child = os.fork()
    if child == 0:
        try:
            body()
            os._exit(0)
        except BaseException as error:
            with open(log, "a") as file:
                file.write(f"{type(error).__name__}: {error}\n".replace("\n  ", " "))
            os._exit(1)
    return child


def ended(children: list[int]) -> None:
    for child in children:
        os.waitpid(child, 0)


def one_file_of_tags(documents: Documents, name: str, plan: str) -> None:
    """The control of row 3: an index that is read, changed and written."""
    index = documents._layout.at("documents", "index")
    try:
        with open(index) as file:
            tags = json.load(file)
    except FileNotFoundError:
        tags = {}
    tags[name] = plan
    time.sleep(0.002)  # what is lost is lost for certain, however few processors there are
    draft = f"{index}.{os.getpid()}"
    with open(draft, "w") as file:
        json.dump(tags, file)
    os.rename(draft, index)


def writers(rounds: int, *, processes: int = 8, control: bool = False, seed: int = 1) -> Figures:
    """Row 3: each process is the only writer of its own names and remembers what it wrote last."""
    figures = Figures(3, "concurrent writers, tags, gc and readers")
    with workplace() as place:
        store = Store.open(place / "home")
        each = max(1, rounds // processes)

        def body(number: int) -> None:
            _write(store.home, number, each, place, control, seed)

        ended([start(lambda n=n: body(n), place / "log") for n in range(processes)])  # type: ignore[misc]
        _report(place, figures)
        figures.add("programs", each * processes)
        if control:
            names = json.loads((store.home / "documents/index").read_text())
        else:
            names = store.tags()
            figures.bad += corrupt(store)
        lost = 0
        for number in range(processes):
            expected = json.loads((place / f"expected-{number}").read_text())
            figures.add("tag updates", expected.pop("updates"))
            wrong = [name for name, plan in expected.items() if names.get(name) != plan]
            lost += len(wrong)
            figures.bad += [f"lost update of {name}" for name in wrong]
        figures.counts["lost tag updates"] = lost
        figures.counts["dangling tags"] = sum("dangles" in line for line in figures.bad)
    return figures


def _write(home: Path, number: int, rounds: int, place: Path, control: bool, seed: int) -> None:
    store, chance = Store.open(home), random.Random(f"{seed} {number}")
    documents = Documents(store._layout)
    last: dict[str, str | None] = {}
    updates = 0
    for _ in range(rounds):
        pick = chance.randrange(POOL)
        name, plan = f"w{number}-{chance.randrange(3)}", f"sha256:{pick:064d}"
        what = chance.choices(("tag", "untag", "read", "gc"), (6, 2, 3, 1))[0]
        if what == "tag" and control:
            one_file_of_tags(documents, name, plan)
            last[name] = plan
        elif what == "tag":
            store.put_json("plans", plan, {"trees": [f"t{pick}"]})
            store.make_tree(f"t{pick}", tree_of(pick))
            try:
                store.tag(name, plan)
            except StoreError as error:
                if error.code != "store.no-plan":  # gc with no grace may take a plan before it has a name
                    raise
                continue
            last[name] = plan
        elif control:
            continue
        elif what == "untag":
            store.untag(name)
            last[name] = None
        elif what == "gc":
            store.close()
            store.gc(Policy(older_than=0, grace=0, now=time.time() + DAY))
        else:
            for tag, of in store.tags().items():
                # three looks: between two, the name may have moved on, its plan have gone, and both have come back
                if all(store.get_json("plans", of) is None and store.tags().get(tag) == of for _ in range(3)):
                    raise AssertionError(f"tag {tag} dangles")
        updates += what in ("tag", "untag")
    (place / f"expected-{number}").write_text(json.dumps({**last, "updates": updates}))


def users(rounds: int, *, processes: int = 4, control: str = "", seed: int = 1) -> Figures:
    """Row 4: starts at random beside a gc that never rests, has no grace and believes that a year has gone
    by.
    """
    figures = Figures(4, "gc beside starts, pulls and builds")
    with workplace() as place:
        store = Store.open(place / "home")
        each = max(1, rounds // processes)

        def collector() -> None:
            if control == "no leases":
                gc.leased_keys = lambda layout, remove: set()
            mine = Store.open(store.home)
            while not (place / "stop").exists():
                mine.gc(Policy(older_than=0, grace=0, now=time.time() + 365 * DAY))
                time.sleep(0.0005)

        cleaner = start(collector, place / "log")
        children = [
            start(lambda n=n: _use(store.home, n, each, seed), place / "log") for n in range(processes)
        ]  # type: ignore[misc]
        chance = random.Random(seed)
        for _ in range(min(20, each)):  # a writer that stands still for longer than anything takes
            victim = chance.choice(children)
            try:
                os.kill(victim, signal.SIGSTOP)
                time.sleep(0.02)
                os.kill(victim, signal.SIGCONT)
            except ProcessLookupError:
                pass
            figures.add("stops")
        ended(children)
        (place / "stop").touch()
        ended([cleaner])
        _report(place, figures)
        figures.add("starts", each * processes)
        figures.counts["referenced missing"] = len(figures.bad)
        store.gc(Policy(older_than=0, grace=0, now=time.time() + 365 * DAY))
        left = [
            p
            for f in ("blobs/sha256", "trees", "tmp", "unsettled", "leases")
            for p in (store.home / f).iterdir()
        ]
        figures.counts["garbage left"] = len(left)
        if not control:
            figures.bad += [f"garbage left: {path}" for path in left]
    return figures


def _use(home: Path, number: int, rounds: int, seed: int) -> None:
    store, chance = Store.open(home), random.Random(f"{seed} {number}")
    for _ in range(rounds):
        picks = [chance.randrange(POOL) for _ in range(3)]
        data = content(picks[0])
        keys = [f"t{pick}" for pick in picks]
        if chance.random() < 0.5:  # by a lease on purpose, and by the one that comes with asking
            with store.lease([*keys, sha256(data)]):
                _look(store, picks, data)
        else:
            _look(store, picks, data)
            store.close()


def _look(store: Store, picks: list[int], data: bytes) -> None:
    blob = store.blob(store.put_blob([data], sha256=sha256(data)))
    assert blob is not None, "a blob that was just put is missing"
    roots = [store.make_tree(f"t{pick}", tree_of(pick)) for pick in picks]
    time.sleep(0.001)
    for pick, root in zip(picks, roots, strict=True):
        expected = sum(1 for _ in root.rglob("*"))
        assert expected > 2 and (root / "d0/f0").read_bytes() is not None, f"t{pick} is not whole"
        assert os.readlink(root / "link") == "d0/f0"
    assert blob.read_bytes() == data


def _report(place: Path, figures: Figures) -> None:
    if (place / "log").exists():
        figures.bad += (place / "log").read_text().splitlines()

"""The store against a model of dictionaries: names, plans, trees, blobs, records, leases and gc in any order.

BAREBOAT_STATE_PROGRAMS sets how many programs Hypothesis tries (row 3 asks for 10,000 in the full run).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bareboat.errors import StoreError
from bareboat.store import Store
from bareboat.store.gc import DAY, Policy

small = st.integers(0, 3)
some = st.lists(small, max_size=3, unique=True)


def digest(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.place = Path(tempfile.mkdtemp(prefix="bareboat-model-", dir=memory))
        self.store = Store.open(self.place / "home")
        self.trees: set[int] = set()
        self.blobs: set[int] = set()
        self.plans: dict[str, tuple[list[int], list[int]]] = {}
        self.tags: dict[str, str] = {}
        self.runs: dict[str, list[int]] = {}
        self.leases: list[tuple[set[str], object]] = []
        self.asked: set[str] = set()  # what this process's session keeps

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.place)

    @rule(number=small)
    def put_blob(self, number: int) -> None:
        assert self.store.put_blob([b"%d" % number]) == digest(number)
        self.blobs.add(number)
        self.asked.add(digest(number))

    @rule(number=small)
    def make_tree(self, number: int) -> None:
        self.store.make_tree(f"t{number}", lambda writer: writer.file("x", 0o644, [b"%d" % number]))
        self.trees.add(number)
        self.asked.add(f"t{number}")

    @rule(number=small, trees=some, blobs=some)
    def put_plan(self, number: int, trees: list[int], blobs: list[int]) -> None:
        value = {"trees": [f"t{t}" for t in trees], "blobs": [digest(b) for b in blobs]}
        self.store.put_json("plans", f"p{number}", value)
        self.plans[f"p{number}"] = (trees, blobs)

    @rule(name=small, plan=small)
    def tag(self, name: int, plan: int) -> None:
        try:
            self.store.tag(f"n{name}", f"p{plan}")
        except StoreError as error:
            assert error.code == "store.no-plan" and f"p{plan}" not in self.plans
        else:
            assert f"p{plan}" in self.plans
            self.tags[f"n{name}"] = f"p{plan}"

    @rule(name=small)
    def untag(self, name: int) -> None:
        assert self.store.untag(f"n{name}") == (self.tags.pop(f"n{name}", None) is not None)

    @rule(number=small, blobs=some)
    def record(self, number: int, blobs: list[int]) -> None:
        run = f"r{number}"
        if run not in self.runs:
            self.store.runs.create(run)
        self.store.runs.write(run, {"pins": [f"blob:{digest(b)}" for b in blobs]})
        self.runs[run] = blobs

    @rule(number=small)
    def forget(self, number: int) -> None:
        if self.runs.pop(f"r{number}", None) is not None:
            self.store.runs.release(f"r{number}")
            self.store.runs.remove(f"r{number}")

    @rule(trees=some, blobs=some)
    def lease(self, trees: list[int], blobs: list[int]) -> None:
        keys = {*(f"t{t}" for t in trees), *(digest(b) for b in blobs)}
        self.leases.append((keys, Store.open(self.store.home).lease(keys)))

    @rule()
    def release(self) -> None:
        if self.leases:
            _, lease = self.leases.pop()
            lease.__exit__(None, None, None)  # type: ignore[attr-defined]

    @rule()
    def close(self) -> None:
        self.store.close()
        self.asked.clear()

    @rule()
    def settle(self) -> None:
        self.store.settle()

    @rule()
    def open_again(self) -> None:
        self.close()
        for run in self.runs:
            self.store.runs.release(run)
        self.store = Store.open(self.store.home)

    @rule(old=st.booleans())
    def gc(self, old: bool) -> None:
        self.store.gc(Policy(now=time.time() + 100 * DAY if old else None))
        if not old:
            return
        self.plans = {p: v for p, v in self.plans.items() if p in self.tags.values()}
        kept = {f"t{t}" for trees, _ in self.plans.values() for t in trees}
        kept |= {digest(b) for _, blobs in self.plans.values() for b in blobs}
        kept |= {digest(b) for blobs in self.runs.values() for b in blobs} | self.asked
        for keys, _ in self.leases:
            kept |= keys
        self.trees = {t for t in self.trees if f"t{t}" in kept}
        self.blobs = {b for b in self.blobs if digest(b) in kept}

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "store"):
            return
        home = self.store.home
        assert set(os.listdir(home / "trees")) == {f"t{t}" for t in self.trees}
        assert set(os.listdir(home / "blobs/sha256")) == {digest(b) for b in self.blobs}
        assert self.store.tags() == self.tags and set(self.store.keys("plans")) == set(self.plans)
        assert self.store.runs.ids() == sorted(self.runs) and os.listdir(home / "tmp") == []


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=int(os.environ.get("BAREBOAT_STATE_PROGRAMS", "40")), stateful_step_count=25, deadline=None
)

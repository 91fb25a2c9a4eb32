from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from bareboat.errors import StoreError
from bareboat.store import Store
from bareboat.store.gc import DAY, GcReport, Policy
from bareboat.store.treewriter import TreeWriter

LATER = time.time() + 100 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "home")
    for name in ("base", "numpy", "pandas"):
        made.make_tree(name, filled(name))
    for name in ("one", "two"):
        made.put_blob([name.encode()])
    made.close()
    return made


def filled(name: str) -> Callable[[TreeWriter], None]:
    return lambda writer: writer.file(name, 0o644, [name.encode() * 5000])


def gone(report: GcReport) -> list[str]:
    return [f"{r.kind} {r.key[:6]}" for r in report.removed]


def everything(store: Store) -> list[str]:
    return sorted([*os.listdir(store.home / "trees"), *os.listdir(store.home / "blobs/sha256")])


def test_by_last_use(store: Store) -> None:
    assert store.gc(Policy()).removed == ()
    report = store.gc(Policy(now=LATER))
    assert len(report.removed) == 5 and report.bytes > 30_000 and report.kept == 0
    assert everything(store) == [] and os.listdir(store.home / "tmp") == []
    assert os.listdir(store.home / "unsettled") == []


def test_a_dry_run_says_the_same_and_does_nothing(store: Store) -> None:
    before = everything(store)
    dry = store.gc(Policy(now=LATER, dry_run=True))
    assert everything(store) == before
    wet = store.gc(Policy(now=LATER))
    assert dry.removed == wet.removed and dry.bytes == wet.bytes


def test_use_is_noticed(store: Store) -> None:
    for path in (store.home / "trees").rglob("boot"):
        os.utime(path, (1e9, 1e9))
    assert store.tree("numpy") is not None
    store.close()
    assert gone(store.gc(Policy())) == ["tree base", "tree pandas"]


def test_the_grace_protects_what_is_young_and_a_clock_of_1970_too(store: Store) -> None:
    assert store.gc(Policy(older_than=0)).removed == ()
    assert store.gc(Policy(older_than=0, grace=0, now=0.0)).removed == ()
    assert len(store.gc(Policy(older_than=0, grace=0, now=time.time() + 1)).removed) == 5


def test_what_a_tag_names_stays(store: Store) -> None:
    with pytest.raises(StoreError) as error:
        store.tag("mine", "sha256:1")
    assert error.value.code == "store.no-plan"
    store.put_json("plans", "sha256:1", {"trees": ["base"], "blobs": [], "pins": ["tree:numpy"]})
    store.tag("mine", "sha256:1")
    store.gc(Policy(now=LATER))
    assert everything(store) == ["base", "numpy"] and store.tags() == {"mine": "sha256:1"}
    assert store.untag("mine") and not store.untag("mine")
    store.gc(Policy(now=LATER))
    assert everything(store) == [] and store.keys("plans") == []


def test_a_tag_that_rotted_keeps_what_it_named(store: Store) -> None:
    plan = "sha256:" + "a" * 64
    store.put_json("plans", plan, {"trees": ["base"]})
    store.tag("mine", plan)
    path = store.home / "documents/tags/mine"
    for damage in (path.read_bytes()[::-1][:-3][::-1], path.read_bytes().replace(b'{"p', b'{"q')):
        path.write_bytes(damage)
        store.gc(Policy(now=LATER))
        assert everything(store) == ["base"]


def test_records_keep_what_they_pin_until_the_run_goes(store: Store) -> None:
    digest = store.put_blob([b"code"])
    store.close()
    store.runs.create("r1")
    store.runs.write("r1", {"pins": [f"blob:{digest}"], "wheels": ["numpy"]})
    store.runs.release("r1")
    store.gc(Policy(now=LATER))
    assert everything(store) == [digest]
    store.runs.remove("r1")
    store.gc(Policy(now=LATER))
    assert everything(store) == []


def test_the_last_used_images_stay_with_keep(store: Store) -> None:
    for n, tree in enumerate(("base", "numpy", "pandas")):
        store.put_json("projects", tree, {"trees": [tree]})
        os.utime(store.home / "documents/projects" / tree, (1e9 + n, 1e9 + n))
    store.gc(Policy(keep=2, now=LATER))
    assert everything(store) == ["numpy", "pandas"]


def test_manifests_of_trees_go_with_them(store: Store) -> None:
    store.put_json("manifests", "base", {})
    store.put_json("plans", "p", {"trees": ["base"]})
    store.tag("mine", "p")
    store.put_json("manifests", "numpy", {})
    for name in ("base", "numpy"):
        store.put_json("cache", f"tops-{name}", {})
    store.gc(Policy(now=LATER))
    assert store.keys("manifests") == ["base"] and store.keys("cache") == ["tops-base"]


def test_leases_of_this_process(store: Store) -> None:
    other = Store.open(store.home)
    with other.lease(["numpy", "later"]):
        store.gc(Policy(now=LATER))
        assert everything(store) == ["numpy"]
    assert other.tree("numpy") is not None  # asking is a lease, too
    store.gc(Policy(now=LATER))
    assert everything(store) == ["numpy"]
    other.close()
    store.gc(Policy(now=LATER))
    assert everything(store) == [] and os.listdir(store.home / "leases") == []


HOLDER = """
import sys, time
from pathlib import Path
from bareboat.store import Store
store = Store.open(Path(sys.argv[1]))
assert store.tree("numpy")
print("held", flush=True)
time.sleep(60)
"""


def test_leases_of_another_process_end_with_it(store: Store) -> None:
    command = [sys.executable, "-c", HOLDER, str(store.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        store.gc(Policy(now=LATER))
        assert everything(store) == ["numpy"]
        holder.kill()
    store.gc(Policy(now=LATER))
    assert everything(store) == [] and os.listdir(store.home / "leases") == []


def test_a_forked_child_does_not_end_its_parents_lease(store: Store) -> None:
    other = Store.open(store.home)
    assert other.tree("numpy") is not None
    child = os.fork()
    if child == 0:
        other.close()
        os._exit(0)
    os.waitpid(child, 0)
    store.gc(Policy(now=LATER))
    assert everything(store) == ["numpy"]


@pytest.mark.parametrize("held", [False, True])
def test_a_store_opened_before_a_fork_works_in_the_child(store: Store, held: bool) -> None:
    other = Store.open(store.home)
    assert other.tree("numpy") is not None
    mutex, taken, done = other._leases._mutex, threading.Event(), threading.Event()

    def hold() -> None:  # a thread, which the child does not have
        with mutex:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    if held:
        thread.start()
        taken.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        signal.alarm(10)  # a deadlock ends the child by a signal
        good = other.tree("numpy") is not None and other.put_blob([b"from the child"])
        other.close()
        os._exit(0 if good else 1)
    status = os.waitpid(child, 0)[1]
    done.set()
    assert status == 0
    store.gc(Policy(now=LATER))
    assert everything(store) == ["numpy"]  # the parent's lease stands, the child's does not


def test_leftovers_of_the_dead_go_those_of_the_living_stay(store: Store) -> None:
    (store.home / "tmp/draft-1-a").write_bytes(b"x")
    (store.home / "tmp/tree-1-a/dir").mkdir(parents=True)
    (store.home / "tmp/tree-1-a/lock").write_bytes(b"")
    (store.home / "tmp/partial-abc").write_bytes(b"half")
    (store.home / "runs/never-started").mkdir()
    with store.scratch("mine") as mine:
        report = store.gc(Policy())
        assert mine.is_dir()
    assert gone(report) == ["leftover tmp/dr", "leftover tmp/tr"]
    store.gc(Policy(now=LATER))
    assert os.listdir(store.home / "tmp") == os.listdir(store.home / "runs") == []


def test_hard_links_free_their_bytes_with_the_last_name(store: Store) -> None:
    def merged(writer: TreeWriter) -> None:
        root = store.tree("numpy")
        assert root is not None
        writer.link_file(root / "numpy", "numpy")

    store.make_tree("merged", merged)
    store.put_json("plans", "p", {"trees": ["merged"]})
    store.tag("mine", "p")
    store.close()
    sizes = {r.key: r.bytes for r in store.gc(Policy(now=LATER)).removed}
    assert sizes["base"] - sizes["numpy"] >= len("numpy") * 5000 - 5000


def test_without_room_for_another_name_a_tree_goes_in_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    store.gc(Policy(now=LATER))
    assert everything(store) == []


def test_a_stopped_holder_is_named_and_not_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from bareboat.store import locks

    with locks.store_lock(store._layout), pytest.raises(StoreError) as error, \
            locks.store_lock(store._layout, exclusive=True, patience=0.01):  # fmt: skip
        pass
    assert error.value.code == "store.busy"


def test_a_turn_is_one_at_a_time_and_ends_with_its_process(store: Store) -> None:
    code = (
        "import sys, time; from pathlib import Path; from bareboat.store import Store\n"
        "turn = Store.open(Path(sys.argv[1])).turn('x'); assert turn.__enter__()\n"
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(store.home)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with store.turn("x", wait=False) as mine, store.turn("y", wait=False) as other:
            assert not mine and other
        holder.kill()
        holder.wait()
    with store.turn("x") as mine:
        assert mine

"""What a run is mounted from stays while it runs, also what no plan names: merged trees, footings."""

from __future__ import annotations

from pathlib import Path

from tests.verbs import conftest
from tests.world_kit import World

from bareboat.engine.memory import Guest
from bareboat.store import Store
from bareboat.store.gc import Policy
from bareboat.values import replace
from bareboat.verbs.execute import execute
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.run import prepare_run
from bareboat.workload import Rootfs

index, world = conftest.index, conftest.world  # fixtures


def test_trees_that_no_plan_names_are_kept_while_they_are_mounted(world: World) -> None:
    there: list[bool] = []

    def collect(guest: Guest) -> int:
        Store.open(world.store.home).gc(Policy(older_than=0, grace=0))
        there.extend(Path(tree).exists() for tree in guest.workload.root.trees)
        return 0

    world.program("collect", collect)
    world.require("beta")
    prepared, _ = prepare_run(RunRequest(program=("collect",), project=world.root), world.work)
    merged = world.store.make_tree("merged-x", lambda tree: tree.file("a", 0o644, [b"a"]))
    load = replace(prepared.workload, root=Rootfs((*prepared.workload.root.trees, merged)))
    world.store.close()  # as a supervisor, which was given the paths by somebody who is gone
    execute(replace(prepared, workload=load), replace(world.work, store=Store.open(world.store.home)))
    assert there and all(there)
    Store.open(world.store.home).gc(Policy(older_than=0, grace=0))
    assert not merged.exists()

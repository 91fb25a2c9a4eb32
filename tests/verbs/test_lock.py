"""lock on a small world: upgrades by name, and locks that are not ours."""

from __future__ import annotations

import pytest
from tests.world_kit import World

from bareboat.errors import LockError
from bareboat.project import load, lock_inputs
from bareboat.verbs.lock import lock
from bareboat.verbs.lock_mode import LockMode


def locked(world: World, mode: LockMode) -> list[str]:
    project = load(world.root)
    made = lock(project, lock_inputs(project), mode, world.work)
    return [f"{w.name} {w.version}" for w in made.lock.platforms[0].wheels]


def test_upgrade_takes_names_as_people_write_them(world: World) -> None:
    world.require("beta")
    assert locked(world, LockMode()) == ["alpha 1.0", "beta 2.0"]
    world.publish("alpha", "1.1")
    assert locked(world, LockMode(upgrade=("Beta",))) == ["alpha 1.0", "beta 2.0"]
    assert locked(world, LockMode(upgrade=("ALPHA",))) == ["alpha 1.1", "beta 2.0"]


def test_upgrade_of_a_package_that_is_not_there_changes_nothing(world: World) -> None:
    world.require("alpha")
    locked(world, LockMode())
    world.require("beta")
    before = world.outside()
    with pytest.raises(LockError) as e:
        locked(world, LockMode(upgrade=("alhpa",)))
    assert e.value.code == "lock.unknown-package" and "'alpha'" in e.value.hint
    assert world.outside() == before


def test_a_lock_of_the_users_own_is_not_upgraded(world: World) -> None:
    (world.root / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n')
    with pytest.raises(LockError) as e:
        locked(world, LockMode(upgrade=("alpha",)))
    assert e.value.code == "lock.not-ours"
    locked(world, LockMode(upgrade=True))
    assert "pylock.toml is taken as it is" in world.tell.text

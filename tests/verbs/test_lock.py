"""lock on a small world: upgrades by name, and locks that are not ours."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler

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


def test_a_wheel_of_a_private_index_is_fetched_with_the_projects_user(world: World) -> None:
    """A lock has no passwords, so a store without the wheel needs the project's; it stays out of lock and store."""
    from bareboat.verbs.environment import environment

    secret = "s3cr3t-t0ken"
    world.index.server.RequestHandlerClass = private(world, f"bob:{secret}")
    world.require("--index-url " + world.index.url.replace("://", f"://bob:{secret}@"), "alpha")
    project = load(world.root)
    lock(project, lock_inputs(project), LockMode(), world.work)
    made = environment(project, LockMode(locked=True), world.work)
    assert all(world.store.tree(key) for key in made.trees)
    texts = [(world.root / name).read_bytes() for name in ("bareboat.lock", "pylock.toml")]
    texts += [p.read_bytes() for p in world.store.home.rglob("*") if p.is_file()]
    assert not [t for t in texts if secret.encode() in t]


def private(world: World, user: str) -> Callable[..., SimpleHTTPRequestHandler]:
    """The index for one user alone."""
    wanted = "Basic " + base64.b64encode(user.encode()).decode()

    class Private(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") == wanted:
                super().do_GET()
            else:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return partial(Private, directory=str(world.index.folder))

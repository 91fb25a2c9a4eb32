"""Projects on images that bring packages: what is kept, replaced, refused; on a small world, with layouts as bases."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from tests.builder.bases.tree_kit import SITE, Tree, docker_python, elf
from tests.image_kit import digest, index, put, registry
from tests.live.layout_kit import write_layout
from tests.world_kit import World

from bareboat.errors import BareboatError, LockError
from bareboat.image.manifest import Platform
from bareboat.image.planning import plan_for
from bareboat.image.spec import CONFIG, LAYER, MANIFEST, Descriptor, canonical
from bareboat.lock import PlatformLock, loads
from bareboat.project import load
from bareboat.record.codec import decode_bytes, encode_bytes
from bareboat.registry.base import RegistryError
from bareboat.registry.places import Place
from bareboat.store import Store
from bareboat.values import replace
from bareboat.verbs.bases import default_image
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, environment
from bareboat.verbs.lock_mode import LockMode


def packed(tree: Tree) -> bytes:
    """A tree as a layer's tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(tree.root.rglob("*")):
            tar.add(path, str(path.relative_to(tree.root)), recursive=False)
    return out.getvalue()


@pytest.fixture
def base(world: World) -> Tree:
    """A tree with a compiled gamma 1.0 that asks for alpha 1, and alpha 1.0; `stand` makes it the project's base."""
    tree = docker_python(world.base / "tree")
    tree.package(SITE, "gamma", "1.0", ("gamma/__init__.py", "gamma/core.so"), ("alpha<2",), pure=False)
    return tree.package(SITE, "alpha", "1.0", ("alpha.py", "../../../bin/alpha"))


def stand(world: World, tree: Tree, more: str = "") -> None:
    shutil.rmtree(world.base / "layout", ignore_errors=True)
    write_layout(world.base / "layout", [packed(tree)])
    (world.root / "bareboat.toml").write_text(f'base = "oci:../layout"\n{more}')


def made(world: World, *names: str, locked: bool = False) -> Environment:
    return environment(load(world.root), LockMode(locked=locked, replace=names), world.work)


def platform(world: World) -> PlatformLock:
    return loads((world.root / "bareboat.lock").read_text()).platforms[0]


def wheels(world: World) -> list[str]:
    return [f"{w.name} {w.version}" for w in platform(world).wheels]


def test_what_the_base_has_is_not_locked_again(world: World, base: Tree) -> None:
    stand(world, base)
    world.require("beta", "gamma")
    made(world)
    locked = platform(world)
    assert wheels(world) == ["beta 2.0"]  # which asks for alpha: the base's
    assert [(b.name, b.version, b.compiled) for b in locked.base.brought] == [
        ("alpha", "1.0", False), ("gamma", "1.0", True), ("pip", "24.2", False)]
    assert (locked.base.python_full, locked.base.libc, locked.base.executable, locked.base.site) == (
        "3.12.7", "glibc 2.36", "/usr/local/bin/python3.12", SITE)
    assert locked.base.image is not None and locked.base.image.removed == ()
    assert "keeps 3 of its 3 Python packages" in world.tell.text
    assert "alpha" not in (world.root / "pylock.toml").read_text()
    assert not any("/gamma/" in path for path in world.index.asked)  # no index is asked for what is there


def test_nothing_to_lock_is_a_lock_too(world: World, base: Tree) -> None:
    stand(world, base)
    world.require("gamma")
    first = made(world)
    assert wheels(world) == [] and made(world, locked=True) == first


def test_a_pure_package_gives_way_and_goes_as_a_whole(world: World, base: Tree) -> None:
    stand(world, base)
    world.publish("alpha", "1.5")
    world.require("alpha>1.2")
    environment_made = made(world)
    image = platform(world).base.image
    assert wheels(world) == ["alpha 1.5"] and image is not None
    assert image.removed == ("usr/local/bin/alpha", f"{SITE[1:]}/alpha-1.0.dist-info", f"{SITE[1:]}/alpha.py")
    root = world.store.tree(environment_made.trees[0])
    assert root is not None
    assert not os.path.lexists(f"{root}{SITE}/alpha.py") and os.path.exists(f"{root}{SITE}/gamma/core.so")
    assert "replaced: alpha 1.0 by 1.5" in world.tell.text


def test_what_is_broken_by_a_replacement_is_said(world: World, base: Tree) -> None:
    stand(world, base)
    world.publish("alpha", "3.0")
    world.require("alpha>2")
    made(world)
    assert "gamma 1.0 of the base asks for alpha<2, and gets 3.0" in world.tell.text


def test_a_compiled_package_is_only_replaced_by_name(world: World, base: Tree) -> None:
    stand(world, base)
    world.publish("gamma", "2.0")
    world.publish("delta", "1.0", "gamma>=2")
    world.require("delta")
    before = world.outside()
    with pytest.raises(LockError) as e:
        made(world)
    assert e.value.code == "lock.replaces-base"
    assert "gamma 1.0 by 2.0" in e.value.what and "delta" in e.value.what and "--replace gamma" in e.value.hint
    assert world.outside() == before
    made(world, "Gamma")
    assert wheels(world) == ["delta 1.0", "gamma 2.0"]
    world.require("delta", "beta")
    made(world)  # what was allowed once stays allowed: the lock says so
    assert wheels(world) == ["beta 2.0", "delta 1.0", "gamma 2.0"]


def test_the_project_file_may_allow_it(world: World, base: Tree) -> None:
    stand(world, base, 'replace = ["gamma"]\n')
    world.publish("gamma", "2.0")
    world.require("gamma==2.0")
    made(world)
    assert wheels(world) == ["gamma 2.0"]


def test_a_lock_of_the_users_own_is_held_to_the_same(world: World, base: Tree) -> None:
    stand(world, base)
    sha256 = world.publish("gamma", "2.0")
    url = f"{world.index.url.removesuffix('simple/')}files/gamma-2.0-py3-none-any.whl"
    (world.root / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "me"\n[[packages]]\nname = "gamma"\nversion = "2.0"\n'
        f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{sha256}" }} }}]\n')
    with pytest.raises(LockError) as e:
        made(world)
    assert e.value.code == "lock.replaces-base"


def test_a_name_that_the_base_does_not_have_is_refused(world: World, base: Tree) -> None:
    stand(world, base)
    world.require("beta")
    with pytest.raises(LockError) as e:
        made(world, "gama")
    assert e.value.code == "lock.unknown-package" and "'gamma'" in e.value.hint


def test_a_real_conflict_is_said_as_one(world: World, base: Tree) -> None:
    stand(world, base)
    world.publish("delta", "1.0", "alpha<1")
    world.require("delta", "alpha>=1")
    with pytest.raises(BareboatError) as e:
        made(world)
    assert e.value.code == "python.unsatisfiable"


def test_the_base_is_kept_until_it_is_upgraded(world: World, base: Tree) -> None:
    stand(world, base)
    world.require("gamma")
    made(world)
    first = platform(world).base.image
    stand(world, base.file("/more"))
    world.require("gamma", "beta")
    made(world)
    assert platform(world).base.image == first and wheels(world) == ["beta 2.0"]
    environment(load(world.root), LockMode(upgrade=True), world.work)
    assert platform(world).base.image != first


def test_with_everything_here_the_base_need_not_be_there_any_more(world: World, base: Tree) -> None:
    stand(world, base)
    world.require("gamma")
    made(world)
    shutil.rmtree(world.base / "layout")
    world.require("gamma", "beta")
    made(world)
    assert wheels(world) == ["beta 2.0"]


def test_a_tag_that_vanished_is_an_error_of_an_upgrade_alone(world: World, base: Tree) -> None:
    stand(world, base)
    world.require("gamma")
    made(world)
    shutil.rmtree(world.base / "layout")
    write_layout(world.base / "layout", [packed(base)])
    (world.root / "bareboat.toml").write_text('base = "oci:../layout:gone"\n')
    with pytest.raises(BareboatError) as e:
        made(world)
    assert e.value.code == "registry.not-found"


def test_the_base_and_ours_see_each_other(world: World, base: Tree) -> None:
    stand(world, base)
    world.require("beta")
    made(world)
    plan = plan_for(load(world.root), platform(world))
    files = {g.path: g.content for g in plan.generated}
    assert "include-system-site-packages = true" in files["opt/venv/pyvenv.cfg"]
    assert "/opt/venv/lib/python3.12/site-packages" in files[f"{SITE[1:]}/_bareboat_opt_venv.pth"]
    assert dict(plan.env)["PATH"].startswith("/opt/venv/bin:")
    assert decode_bytes(type(plan), encode_bytes(plan), "x") == plan


def test_an_environment_that_is_there_already_stays_and_is_seen(world: World, base: Tree) -> None:
    base.link("/opt/venv/bin/python3", "/usr/local/bin/python3.12")
    base.file("/opt/venv/pyvenv.cfg", "home = /usr/local/bin\n")
    base.package("/opt/venv/lib/python3.12/site-packages", "epsilon", "1", ("epsilon.py",))
    stand(world, base)
    world.require("beta")
    made(world)
    locked = platform(world).base
    assert (locked.prefix, locked.site, locked.environment) == ("/opt/venv-2", SITE, False)
    own = replace(locked, environment=True, system=False, site="/opt/venv/lib/python3.12/site-packages")
    files = {g.path: g.content for g in plan_for(load(world.root), replace(platform(world), base=own)).generated}
    assert "include-system-site-packages = false" in files["opt/venv-2/pyvenv.cfg"]
    assert own.site in files["opt/venv-2/lib/python3.12/site-packages/_bareboat_base.pth"]


@pytest.mark.parametrize(("change", "code"), [
    (lambda t: [os.unlink(t.root / p) for p in ("usr/local/bin/python3.12",)], "base.no-python"),
    (lambda t: t.file("/usr/local/bin/python3.12", elf("/lib64/ld-linux-x86-64.so.2", 183)), "base.architecture"),
])
def test_a_base_that_cannot_be_used_leaves_the_project_as_it_was(change: object, code: str, world: World, base: Tree
                                                                 ) -> None:
    change(base)  # type: ignore[operator]
    stand(world, base)
    world.require("beta")
    before = world.outside()
    with pytest.raises(LockError) as e:
        made(world)
    assert e.value.code == code and world.outside() == before


def test_what_does_not_count_is_said(world: World, base: Tree) -> None:
    stand(world, base.file(f"{SITE}/broken.dist-info/METADATA", "no").file(f"{SITE}/x-1.dist-info/RECORD", '"'))
    world.require("beta")
    made(world)
    assert f"{SITE}/broken.dist-info has no name and version that can be read, and does not count" in world.tell.text
    assert [b.name for b in platform(world).base.brought] == ["alpha", "gamma", "pip", "x"]


def test_system_packages_are_not_for_images(world: World, base: Tree) -> None:
    stand(world, base, 'apt = ["ffmpeg"]\n')
    with pytest.raises(LockError) as e:
        made(world)
    assert e.value.code == "base.apt"


@pytest.mark.parametrize(("specifier", "image"), [
    ("", "python:3.13-slim"), ("3.12", "python:3.12-slim"), (">=3.10,<3.12", "python:3.11-slim"),
    ("3.11.4", "python:3.11-slim"),
])
def test_the_default_image_has_the_projects_python(specifier: str, image: str) -> None:
    assert default_image(specifier) == image


def test_a_layout_beside_the_project_is_found_from_anywhere(world: World, base: Tree, monkeypatch: pytest.MonkeyPatch,
                                                           tmp_path: Path) -> None:
    stand(world, base)
    world.require("gamma")
    monkeypatch.chdir(tmp_path)
    first = made(world)
    image = platform(world).base.image
    assert image is not None and image.reference == "oci:../layout" and str(tmp_path) not in (
        world.root / "bareboat.lock").read_text()
    world.store.close()
    other = replace(world.work, store=Store.open(tmp_path / "other"))
    assert environment(load(world.root), LockMode(locked=True), other).plan == first.plan


def published(world: World, trees: dict[str, Tree]) -> tuple[Work, list[bool]]:
    """The trees as one index, "1", of a registry in memory; the list's item says whether it can be reached."""
    made_registry, _ = registry()
    repository = made_registry.repository("lab/seg")
    rows = []
    for name, tree in trees.items():
        platform_of = Platform("linux", name)
        data = packed(tree)
        config = canonical({"os": "linux", "architecture": name, "config": {"Env": ["PATH=/usr/local/bin:/bin"]},
                            "rootfs": {"type": "layers", "diff_ids": [digest(data)]}})
        repository.blobs.update({digest(data): data, digest(config): config})
        document = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": Descriptor(CONFIG, digest(config), len(config)).document(),
                    "layers": [Descriptor(LAYER.removesuffix("+gzip"), digest(data), len(data)).document()]}
        rows.append((put(repository, document, MANIFEST), platform_of))
    index(repository, rows, "1")
    reached = [True]

    def opened(place: Place) -> object:
        if not reached[0]:
            raise RegistryError("registry.unreachable", "nobody answers", where=str(place))
        assert place.reference is not None
        return made_registry.repository(place.reference.repository)

    (world.root / "bareboat.toml").write_text('base = "host.example/lab/seg:1"\n')
    return replace(world.work, repositories=opened), reached


def test_each_platform_gets_its_row_of_the_index(world: World, tmp_path: Path) -> None:
    arm = docker_python(tmp_path / "arm").file("/usr/local/bin/python3.12", elf("/lib64/ld-linux-x86-64.so.2", 183))
    work, _ = published(world, {"amd64": docker_python(tmp_path / "amd"), "arm64": arm})
    with open(world.root / "bareboat.toml", "a") as file:
        file.write('platforms = ["linux/amd64", "linux/arm64"]\n')
    world.require("beta")
    environment(load(world.root), LockMode(), work)
    both = loads((world.root / "bareboat.lock").read_text()).platforms
    assert [p.platform for p in both] == ["linux/amd64", "linux/arm64"]
    assert len({p.base.image.manifest for p in both if p.base.image}) == 2
    assert [[w.name for w in p.wheels] for p in both] == [["alpha", "beta"]] * 2


def test_a_registry_that_is_away_is_not_missed(world: World, tmp_path: Path) -> None:
    work, reached = published(world, {"amd64": docker_python(tmp_path / "amd")})
    world.require("beta")
    first = environment(load(world.root), LockMode(), work)
    reached[0] = False
    assert environment(load(world.root), LockMode(locked=True), work) == first
    (world.root / "bareboat.lock").unlink()  # another project on the same tag is in the same place
    environment(load(world.root), LockMode(), work)
    assert "the registry is not asked, what it named last time is taken" in world.tell.text
    with pytest.raises(BareboatError) as e:
        environment(load(world.root), LockMode(upgrade=True), work)  # which is to ask it
    assert e.value.code == "registry.unreachable"
    (world.root / "bareboat.toml").write_text('base = "host.example/lab/seg:2"\n')
    with pytest.raises(BareboatError) as e:
        environment(load(world.root), LockMode(), work)
    assert e.value.code == "registry.unreachable"


def test_a_platform_that_the_image_does_not_have_is_said(world: World, tmp_path: Path) -> None:
    work, _ = published(world, {"arm64": docker_python(tmp_path / "x")})
    world.require("beta")
    with pytest.raises(BareboatError) as e:
        environment(load(world.root), LockMode(), work)
    assert e.value.code == "image.platform" and "arm64" in str(e.value)

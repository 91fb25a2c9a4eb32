"""What engines are given of an image: one layer more, and of an archive only what the daemon has not."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import sandbox_kit as kit
from tests.builder.image_factory import SOURCES, plan_in, quiet

from bareboat.builder.feeding import Fed, Feeding, feed, known, named_for_podman, outgoing, places
from bareboat.engine import init
from bareboat.engine.oci_command import Client
from bareboat.engine.oci_facts import Facts
from bareboat.errors import EngineError
from bareboat.image.plan import Plan
from bareboat.image.spec import Image
from bareboat.store import Store
from bareboat.values import replace
from bareboat.workload import Mount, Workload


class Taker:
    """A Loader that keeps what it is given. there: the images that it has."""

    def __init__(self, name: str = "docker", there: Iterable[tuple[str, ...]] = (), snapshots: bool = False) -> None:
        self.facts = Facts(Client(name, name), "28", snapshots, platform="linux/amd64")
        self.there, self.ids = list(there), set[str]()
        self.archives: list[bytes] = []
        self.layouts: list[dict[str, bytes]] = []

    def layers(self) -> list[tuple[str, ...]]:
        return self.there

    def has(self, id: str) -> bool:
        return id in self.ids

    def take_archive(self, chunks: Iterable[bytes]) -> None:
        self.archives.append(b"".join(chunks))
        with tarfile.open(fileobj=io.BytesIO(self.archives[-1])) as tar:
            row = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        self.ids.add(f"sha256:{row['Config'].rpartition('/')[2]}")
        self.row = row

    def take_layout(self, folder: Path, name: str) -> None:
        self.layouts.append({str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
        self.name = name
        index = json.loads(self.layouts[-1]["index.json"])
        manifest = json.loads(self.layouts[-1][f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
        self.ids.add(manifest["config"]["digest"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


@pytest.fixture
def plan(store: Store) -> Plan:
    return plan_in(store, {"one": {"one/__init__.py": b"x = 1\n"}})


def fed(store: Store, plan: Plan, *directories: tuple[str, int]) -> Fed:
    return feed(store, plan, directories, SOURCES, quiet)


def test_one_layer_more_and_a_config_that_says_nothing_of_its_own(store: Store, plan: Plan) -> None:
    made = fed(store, plan, ("home", 0o755), ("home/user", 0o1777))
    config = json.loads(made.image.config)
    assert config["config"] == {"Labels": {"bareboat.plan": plan.digest}}
    assert tuple(config["rootfs"]["diff_ids"]) == made.diff_ids and len(made.diff_ids) == len(made.image.layers)
    blob = store.blob(made.image.layers[-1].digest.removeprefix("sha256:"))
    assert blob is not None
    with tarfile.open(blob) as tar:
        found = {m.name.removeprefix("./"): m for m in tar.getmembers()}
        program = tar.extractfile(init.PATH[1:])
        assert program is not None and program.read() == init.program("linux/amd64")
    assert found["home/user"].mode == 0o1777 and found[init.PATH[1:]].mode == 0o755
    assert {m.uid for m in found.values()} == {0}


def test_the_same_plan_is_fed_as_the_same_bytes(store: Store, plan: Plan) -> None:
    first, second = fed(store, plan, ("x", 0o755)), fed(store, plan, ("x", 0o755))
    assert first == second and first.ids == second.ids
    assert fed(store, plan, ("x", 0o777)).ids != first.ids


def test_another_architecture_has_no_first_process_yet(store: Store, plan: Plan) -> None:
    with pytest.raises(EngineError) as caught:
        fed(store, replace(plan, platform="linux/riscv64"))
    assert caught.value.code == "engine.architecture"


DIFF_IDS = st.lists(st.sampled_from("abc"), max_size=5).map(tuple)


@given(DIFF_IDS, st.lists(DIFF_IDS, max_size=4))
def test_only_layers_that_lie_on_the_same_ones_are_known(mine: tuple[str, ...], there: list[tuple[str, ...]]) -> None:
    count = known(mine, there)
    assert 0 <= count <= len(mine)
    assert count == 0 or any(other[:count] == mine[:count] for other in there)
    assert not any(other[: count + 1] == mine[: count + 1] for other in there if count < len(mine))


def test_the_archive_leaves_out_what_is_there(store: Store, plan: Plan) -> None:
    made = fed(store, plan)
    blobs = [layer.digest.removeprefix("sha256:") for layer in made.image.layers]
    for there in range(len(blobs) + 1):
        sent = [m.blob for m in outgoing(made, there) if m.blob]
        assert sent == list(dict.fromkeys(blobs[there:]))
    manifest = next(m.content for m in outgoing(made, 2) if m.path == "manifest.json")
    assert manifest is not None and len(json.loads(manifest)[0]["Layers"]) == len(blobs)


def test_a_blob_that_is_needed_again_above_travels() -> None:
    from bareboat.image.spec import Descriptor

    layer, other = (Descriptor("x", f"sha256:{digit * 64}", 1) for digit in "ab")
    made = Fed(Image("linux/amd64", "p", b"{}", b"{}", (layer, other, layer)), ("1", "2", "1"))
    assert [m.blob[0] for m in outgoing(made, 2) if m.blob] == ["a"]


def work(tmp_path: Path, plan_blob: str = "b", **more: object) -> Workload:
    load = kit.workload(tmp_path / "tree", "sh", **{"cwd": "/app", **more})  # type: ignore[arg-type]
    return replace(load, root=replace(load.root, plan_blob=plan_blob))


def test_directories_that_anybody_may_write_to(tmp_path: Path) -> None:
    tree = kit.skeleton(tmp_path / "tree")
    assert places(work(tmp_path)) == (
        ("app", 0o1777), ("home", 0o755), ("home/user", 0o1777), ("run", 0o755), ("tmp", 0o1777))
    (tree / "home").mkdir(mode=0o711)
    (tree / "tmp").mkdir()
    (tree / "srv").mkdir()
    (tree / "app").symlink_to("srv")
    assert places(work(tmp_path)) == (("home", 0o711), ("home/user", 0o1777), ("run", 0o755))  # a link stays one
    assert "data" not in dict(places(work(tmp_path, cwd="/data", mounts=(Mount(tmp_path, "/data"),))))


def test_an_image_is_given_once_and_not_again(store: Store, plan: Plan, tmp_path: Path) -> None:
    kit.skeleton(tmp_path / "tree")
    said: list[str] = []
    feeding = Feeding(store, lambda blob: plan, lambda: SOURCES, said.append, quiet)
    docker = Taker()
    assert feeding.ids(work(tmp_path)) == ()
    id = feeding.bring(work(tmp_path), docker)
    assert id in docker.ids and id in feeding.ids(work(tmp_path))
    assert docker.row["RepoTags"] == [f"bareboat/image:{id[7:19]}"]
    assert len(said) == 1 and "docker" in said[0]
    assert feeding.bring(work(tmp_path), docker) == id and len(docker.archives) == 1
    assert feeding.ids(work(tmp_path, cwd="/other")) == ()


def test_trees_alone_are_fed_too(store: Store, tmp_path: Path) -> None:
    """What bareboat runs for itself has no plan: builds of sources, where only such an engine can be used."""
    (kit.skeleton(tmp_path / "tree") / "etc/own").write_text("x")
    docker = Taker()
    feeding = Feeding(store, lambda blob: pytest.fail("no plan"), lambda: SOURCES, lambda text: None, quiet)
    id = feeding.bring(work(tmp_path, plan_blob=""), docker)
    assert id in feeding.ids(work(tmp_path, plan_blob="")) and len(docker.row["Layers"]) == 2
    with tarfile.open(fileobj=io.BytesIO(docker.archives[0])) as tar:
        layer = tar.extractfile(docker.row["Layers"][0])
        assert layer is not None
        with tarfile.open(fileobj=io.BytesIO(layer.read())) as inner:
            assert "etc/own" in {m.name.removeprefix("./") for m in inner.getmembers()}


def test_docker_with_containerds_store_gets_all_of_it(store: Store, plan: Plan, tmp_path: Path) -> None:
    kit.skeleton(tmp_path / "tree")
    feeding = Feeding(store, lambda blob: plan, lambda: SOURCES, lambda text: None, quiet)
    whole, spared, snapshots = Taker(), Taker(), Taker(snapshots=True)
    feeding.bring(work(tmp_path), whole)
    spared.there = snapshots.there = [fed(store, plan, *places(work(tmp_path))).diff_ids]
    feeding.bring(work(tmp_path), spared)
    feeding.bring(work(tmp_path), snapshots)
    assert len(spared.archives[0]) < len(whole.archives[0]) == len(snapshots.archives[0])


def test_podman_gets_a_layout_of_links(store: Store, plan: Plan, tmp_path: Path) -> None:
    kit.skeleton(tmp_path / "tree")
    podman = Taker("podman")
    feeding = Feeding(store, lambda blob: plan, lambda: SOURCES, lambda text: None, quiet)
    id = feeding.bring(work(tmp_path), podman)
    files = podman.layouts[0]
    assert podman.name == f"localhost/bareboat/image:{id[7:19]}"
    assert json.loads(files["index.json"])["manifests"][0]["annotations"] == {
        "org.opencontainers.image.ref.name": podman.name}
    for path, content in files.items():
        if path.startswith("blobs/"):
            assert hashlib.sha256(content).hexdigest() == path.rpartition("/")[2]
    assert {m.path for m in named_for_podman(fed(store, plan, *places(work(tmp_path))))} == set(files)

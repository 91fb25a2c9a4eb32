"""What a program sees of the GPUs it was granted, with nodes that are no GPUs and a driver that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import gpu_kit as gpus
from tests import sandbox_kit as kit

from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.errors import EngineError, UsageError
from bareboat.host.gpu.choose import choose
from bareboat.host.gpu.driver import driver_of, topology
from bareboat.host.gpu.fromcdi import granted, inventory_of
from bareboat.host.gpu.specs import read_specs
from bareboat.host.gpu.values import Gpu, Unit
from bareboat.project.gpus import parse_gpus
from bareboat.values import replace
from bareboat.workload import Device, Driver, Mount

SEES = """
import ctypes, ctypes.util, glob, os
print(*sorted(os.path.basename(p) for p in glob.glob("/dev/nvidia*")))
for path in sorted(glob.glob("/dev/nvidia[0-9]*")):
    with open(path, "rb", buffering=0) as node: print(path, node.read(3))
    try: os.chmod(path, 0o600); print("changed")
    except OSError as e: print(e.strerror)
print(ctypes.CDLL("libcuda.so.1").answer(), ctypes.CDLL("libcuda.so").answer(), ctypes.CDLL("libz.so.1") is not None)
print(os.readlink("/opt/nv/lib/libcuda.so"), os.environ["NVIDIA_VISIBLE_DEVICES"], "LD_LIBRARY_PATH" in os.environ)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root whose loader reads a cache of its own."""
    kit.need_sandbox()
    tree = kit.skeleton(tmp_path / "tree")
    (tree / "etc/ld.so.cache").write_bytes(Path("/etc/ld.so.cache").read_bytes())
    kit.script(tree, "sees", f"#!/usr/bin/python3\n{SEES}")
    return tree


def driver(tmp_path: Path, text: str) -> Driver:
    library = gpus.library(tmp_path / "host/libcuda.so.999.88", "libcuda.so.1")
    gpus.cdi_yaml(tmp_path / "cdi", library)
    specs = read_specs((tmp_path / "cdi",))
    return granted(choose(parse_gpus(text), inventory_of(specs)), specs).driver


@pytest.mark.parametrize("overlay", [True, False])
@pytest.mark.parametrize(("text", "seen"), [
    ("device=0", ["nvidia-uvm nvidia0 nvidiactl", r"/dev/nvidia0 b'\x00\x00\x00'"]),
    ("all", ["nvidia-uvm nvidia0 nvidia1 nvidiactl", r"/dev/nvidia0 b'\x00\x00\x00'",
             r"/dev/nvidia1 b'\x00\x00\x00'"]),
])
def test_exactly_the_granted_nodes_and_the_driver_by_the_loaders_cache(
        tree: Path, tmp_path: Path, text: str, seen: list[str], overlay: bool) -> None:
    heard = kit.run(kit.workload(tree, "sees", driver=driver(tmp_path, text)), Bubblewrap(tmp_path, overlay=overlay))
    nodes = [line for line in heard.text.splitlines()[:-2] if line != "Read-only file system"]
    assert (heard.err.decode(), nodes) == ("", seen)
    assert "changed" not in heard.text
    assert heard.text.splitlines()[-2:] == ["42 42 True", "libcuda.so.1 void False"]
    assert heard.outcome.lost.count == 0


def test_without_a_grant_there_is_nothing(tree: Path, tmp_path: Path) -> None:
    heard = kit.run(kit.workload(tree, "sees"))
    assert heard.text.splitlines() == [""] and b"libcuda" in heard.err


def test_a_mount_of_the_users_goes_before_the_drivers(tree: Path, tmp_path: Path) -> None:
    other = gpus.library(tmp_path / "mine.so", "libcuda.so.1", "int answer(void) { return 7; }")
    load = kit.workload(tree, "sees", driver=driver(tmp_path, "device=0"), env=(("NVIDIA_VISIBLE_DEVICES", "all"),),
                        mounts=(Mount(other, "/opt/nv/lib/libcuda.so.999.88", True),))
    assert kit.run(load).text.splitlines()[-2:] == ["7 7 True", "libcuda.so.1 void False"]


def test_without_cdi_the_driver_is_in_a_directory_of_ours(tree: Path, tmp_path: Path) -> None:
    root = gpus.machine(tmp_path / "machine")
    (root / "usr/bin/nvidia-smi").unlink()  # the root's /usr is the host's here, and read-only
    made = driver_of([Unit(Gpu(0, "", "H100", nodes=("/dev/nvidia0",)))], root)
    kit.script(tree, "looks", """#!/usr/bin/python3
import ctypes, glob, os
print(ctypes.CDLL("libcuda.so.1").answer(), ctypes.CDLL("libnvidia-ml.so.1").answer())
print(*sorted(os.listdir("/run/bareboat/driver/lib")), *sorted(glob.glob("/dev/nvidia*")))
print(os.path.isdir("/sys/bus/pci/devices"), os.access("/sys/bus/pci/rescan", os.W_OK))
""")
    heard = kit.run(kit.workload(tree, "looks", driver=replace(made, mounts=(*made.mounts, *topology()))))
    assert (heard.err.decode(), heard.text.splitlines()) == ("", [
        "42 42", "libcuda.so libcuda.so.1 libcuda.so.550.54.14 libnvidia-ml.so.1 libnvidia-ml.so.550.54.14"
        " /dev/nvidia-uvm /dev/nvidia0 /dev/nvidiactl", f"{Path('/sys/bus/pci/devices').is_dir()} False"])


def test_links_of_an_image_lead_nowhere_outside(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree / "etc/ld.so.cache").unlink()
    (tree / "etc/ld.so.cache").symlink_to(outside / "cache")
    (tree / "opt/nv").symlink_to(outside)
    heard = kit.run(kit.workload(tree, "sees", driver=driver(tmp_path, "device=0")))
    assert heard.text.splitlines()[-2].startswith("42 42")
    assert list(outside.iterdir()) == []


def test_a_node_that_is_gone_and_one_outside_dev(tree: Path) -> None:
    with pytest.raises(EngineError) as gone:
        kit.run(kit.workload(tree, "sees", devices=(Device(Path("/dev/nvidia-gone"), "/dev/nvidia0"),)))
    assert gone.value.code == "engine.source"
    with pytest.raises(UsageError) as outside:
        kit.run(kit.workload(tree, "sees", devices=(Device(Path("/dev/zero"), "/etc/zero"),)))
    assert outside.value.code == "engine.device"


def test_a_directory_where_a_link_must_be(tree: Path, tmp_path: Path) -> None:
    (tree / "opt/nv/lib/libcuda.so").mkdir(parents=True)
    with pytest.raises(EngineError) as caught:
        kit.run(kit.workload(tree, "sees", driver=driver(tmp_path, "device=0")))
    assert (caught.value.code, caught.value.where) == ("engine.link", "/opt/nv/lib/libcuda.so")


def test_what_explain_says_of_it(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    text = Bubblewrap(tmp_path).explain(kit.workload(tmp_path / "tree", "sees", driver=driver(tmp_path, "device=1")))
    assert "null zero full random urandom tty nvidia-uvm nvidia1 nvidiactl\n" in text.replace(
        "nvidiactl nvidia-uvm nvidia1", "nvidia-uvm nvidia1 nvidiactl")
    assert "2 links made, and the loader's cache names libcuda.so.1 libcuda.so first; no hook is run" in text
    assert "--dev-bind '$STAGE/m/" in text or "--dev-bind $STAGE/m/" in text


def test_nothing_of_it_can_be_changed_and_no_other_made(tree: Path, tmp_path: Path) -> None:
    kit.script(tree, "tries", """#!/usr/bin/python3
import os, stat
def tries(name, call):
    try: call(); print(name, "worked")
    except OSError as e: print(name, e.strerror)
tries("other", lambda: open("/dev/nvidia1"))
tries("make", lambda: os.mknod("/dev/nvidia1", stat.S_IFCHR | 0o666, os.makedev(195, 1)))
tries("make elsewhere", lambda: os.mknod("/tmp/n", stat.S_IFCHR | 0o666, os.makedev(1, 5)))
tries("library", lambda: open("/opt/nv/lib/libcuda.so.999.88", "r+b"))
tries("mode", lambda: os.chmod("/opt/nv/lib/libcuda.so.999.88", 0o777))
tries("node", lambda: os.unlink("/dev/nvidia0"))
""")
    for uid in (1000, 0):
        load = kit.workload(tree, "tries", driver=driver(tmp_path, "device=0"), uid=uid, gid=uid)
        assert kit.run(load).text.splitlines() == [
            "other No such file or directory", "make Operation not permitted", "make elsewhere Operation not permitted",
            "library Read-only file system", "mode Read-only file system", "node Device or resource busy"]
    assert (tmp_path / "host/libcuda.so.999.88").exists()

"""The sandbox to the letter."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bareboat.errors import EngineError, UsageError
from bareboat.sandbox import box as boxes
from bareboat.sandbox import leader, limits
from bareboat.workload import Limits, Mount, Rootfs, Workload

GIB = 1 << 30


def load(**more: object) -> Workload:
    values: dict[str, object] = {"root": Rootfs((Path("/t/0"), Path("/t/1"))), "argv": ("python", "--x"),
                                 "env": (("A", "b c"),), "cwd": "/app"}
    return Workload(**{**values, **more})  # type: ignore[arg-type]


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "_guards", lambda stage: [b"--guards"])
    box = boxes.box(load(network="none", mounts=(Mount(Path("/h"), "/dev/shm/x"),)), 8 * GIB, by_root=True)
    assert b" ".join(boxes.options(box, b"/S")).decode() == (
        "--unshare-user --uid 1000 --gid 1000 --disable-userns --unshare-pid --unshare-ipc --unshare-uts"
        " --unshare-cgroup-try --unshare-net --cap-drop ALL --die-with-parent --hostname bareboat --bind /S/root /"
        " --dev /dev --perms 1777 --size 4294967296 --tmpfs /dev/shm --proc /proc --guards"
        " --dev-bind /S/m/0 /dev/shm/x --clearenv --setenv A b c --chdir /app --seccomp 4 --json-status-fd 5")


def test_command() -> None:
    assert boxes.command(boxes.box(load(), GIB)) == (b"bwrap", b"--args", b"3", b"--", b"python", b"--x")
    assert boxes.command(boxes.box(load(tty=True), GIB), b"/bin/python") == (
        b"bwrap", b"--args", b"3", b"--", leader.PATH, b"/bin/python", b"python", b"--x")


def test_parents_are_mounted_before_children() -> None:
    mounts = tuple(Mount(Path("/h"), target) for target in ("/a/b/c", "/a", "/a/b", "/z"))
    box = boxes.box(load(mounts=mounts), GIB)
    assert [bind.target for bind in box.binds] == [b"/a", b"/z", b"/a/b", b"/a/b/c"]


@pytest.mark.parametrize("change", [
    {"argv": ()}, {"argv": ("",)}, {"argv": ("a\0b",)}, {"env": (("A=B", ""),)}, {"env": (("", ""),)}, {"cwd": "x"},
    {"env": (("A", "\0"),)}, {"network": "bridge"}, {"mounts": (Mount(Path("/h"), "x"),)}, {"home": "~"}])
def test_what_makes_no_sense(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        boxes.box(load(**change), GIB)


def test_images_and_overlays_that_cannot_be() -> None:
    for change in ({"root": Rootfs(())}, {"code_overlays": (("/x", Path("/t")),)}):
        with pytest.raises(EngineError):
            boxes.box(load(**change), GIB)


def test_the_leader_is_an_executable_of_one_segment() -> None:
    for machine, number in (("x86_64", 62), ("aarch64", 183)):
        program = leader.program(machine)
        assert program[:7] == b"\x7fELF\x02\x01\x01" and struct.unpack_from("<HH", program, 16) == (2, number)
        assert struct.unpack_from("<QQ", program, 64 + 32) == (len(program), len(program))


ASKED = Limits(memory=GIB, cpus=1.5, pids=10)


@pytest.mark.parametrize(("asked", "offer", "mechanism", "words"), [
    (Limits(), limits.Offer(), "none", ""),
    (ASKED, limits.Offer(own="/c", systemd=True), "cgroup", "1024 MiB, 1.5 CPUs, 10 processes (by a cgroup)"),
    (ASKED, limits.Offer(systemd=True), "systemd", "systemd scope"),
    (ASKED, limits.Offer(cpus=8), "watch", "bound to 2 whole CPUs; processes by RLIMIT_NPROC"),
    (ASKED, limits.Offer(cpus=1, root=True), "watch", "bound to 1 whole CPUs; processes are watched"),
])
def test_limits_say_how(asked: Limits, offer: limits.Offer, mechanism: str, words: str) -> None:
    plan = limits.limit_plan(asked, offer)
    assert plan.mechanism == mechanism and words in plan.sentence


def test_the_scope_to_the_letter() -> None:
    assert " ".join(limits.scope_command(ASKED, 42, "u").argv) == (
        "busctl --user --quiet call org.freedesktop.systemd1 /org/freedesktop/systemd1"
        " org.freedesktop.systemd1.Manager StartTransientUnit ssa(sv)a(sa(sv)) u.scope fail 5 PIDs au 1 42"
        " MemoryMax t 1073741824 MemorySwapMax t 0 CPUQuotaPerSecUSec t 1500000 TasksMax t 14 0")


def test_the_cgroup_to_the_letter() -> None:
    assert limits.cgroup_files(ASKED) == {"memory.max": "1073741824", "memory.swap.max": "0",
                                          "memory.oom.group": "1", "cpu.max": "150000 100000", "pids.max": "14"}

"""gpus and doctor's lines: who uses which, and why there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests import gpu_kit as kit
from tests.world_kit import Heard

from bareboat.cli import gpus as cli
from bareboat.cli import main
from bareboat.engine.memory import MemoryEngine
from bareboat.lease import units
from bareboat.lease.flock import FlockLeases
from bareboat.lease.place import Place
from bareboat.lease.values import SLOTS, Holding
from bareboat.record.values import RunRecord
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.verbs import containers, enter, lease_checks
from bareboat.verbs.collaborators import Work
from bareboat.verbs.containers import Container, Seen
from bareboat.verbs.gpu_checks import checks
from bareboat.verbs.gpus import Holder, gpus, none


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    kit.none_real(monkeypatch)
    settings = Settings(home=tmp_path / "home", gpu_cdi=str(tmp_path / "cdi"), leases_path=tmp_path / "leases")
    return Work(Store.open(settings.home), MemoryEngine({}), settings, Heard())


def with_nvml(work: Work, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    return replace(work, settings=replace(work.settings, gpu_nvml=kit.nvml(says, tmp_path, monkeypatch)))


def running(monkeypatch: pytest.MonkeyPatch, gpus: str, *pids: int) -> None:
    """One container that runs with these GPUs and processes."""
    seen = Seen(Container("0123456789ab", "sweep"), RunRecord("0123456789ab", gpus=gpus), "running", {})
    idle = Seen(Container("ba9876543210"), RunRecord("ba9876543210"), "running", {})
    monkeypatch.setattr(containers, "listed", lambda store: [seen, idle])
    monkeypatch.setattr(enter, "tell", lambda name, store, do: {"processes": [[pid, 0, 0.0, 0, "x"] for pid in pids]})


def test_who_uses_which(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        says = kit.TWO + f"proc {kit.UUIDS[0]}|{os.getpid()}|{kit.GIB}\nproc {kit.UUIDS[0]}|{child.pid}|{kit.GIB}\n"
        running(monkeypatch, "device=0,1", child.pid)
        found = gpus(with_nvml(work, says, tmp_path, monkeypatch))
        child.communicate(b"\n")
    first, second = found.rows
    assert {user.pid: (user.container, user.name) for user in first.users} == {
        os.getpid(): ("", ""), child.pid: ("0123456789ab", "sweep")}
    assert all(user.user and user.command for user in first.users)
    assert first.holders == second.holders == (Holder("0123456789ab", "sweep"),)
    assert (found.driver, found.cuda, found.missing, second.users) == ("550.54.14", "12.4", (), ())
    lines = [line.strip() for row in found.rows for line in cli._users(row)]
    assert sum("outside: " in line for line in lines) == 1 and sum(line.startswith("sweep: ") for line in lines) == 1
    assert lines[-1] == "sweep holds it, without a process on it"
    document = cli.document(found)
    assert [g["index"] for g in document["gpus"]] == [0, 1]  # type: ignore[attr-defined, index]
    json.dumps(document)


def test_who_has_them_leased_whoever_it_is(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "listed", lambda store: [])
    lab = with_nvml(work, kit.TWO + f"proc {kit.UUIDS[0]}|{os.getpid()}|{kit.GIB}\n", tmp_path, monkeypatch)
    view = FlockLeases(Place(tmp_path / "leases", True))
    began = time.mktime((2026, 1, 2, 10, 12, 0, 0, 0, -1))
    held = [view.take(Holding(0, "abc", "unet", units=((kit.UUIDS[0], SLOTS),), started=began, ends=began + 60)),
            view.take(Holding(0, "def", kind="session", units=((kit.UUIDS[1], 3),), started=began, ending=True))]
    found = gpus(lab)
    me = found.rows[0].leases[0].user
    assert [(lessee.run, lessee.share) for row in found.rows for lessee in row.leases] == [("abc", 1.0), ("def", 0.25)]
    assert (found.rows[0].users[0].container, found.rows[0].users[0].name) == ("abc", "unet")
    lines = [line.strip() for row in found.rows for line in cli._users(row)]
    assert lines[0] == (f"{me}: training unet, since Fri 02 Jan 10:12, until Fri 02 Jan 10:13, which has passed")
    assert lines[1].startswith("unet: ")
    assert lines[2] == f"{me}: session def, 0.25 of it, since Fri 02 Jan 10:12, asked to end"
    document = cli.document(found)
    assert document["gpus"][1]["leases"][0]["kind"] == "session"  # type: ignore[index]
    del held


def test_who_locks_without_a_word(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "listed", lambda store: [])
    lab = with_nvml(work, kit.TWO, tmp_path, monkeypatch)
    assert [row.leases for row in gpus(lab).rows] == [(), ()]
    directory = os.open(tmp_path / "leases", os.O_RDONLY)
    locks = units.take(directory, [(kit.UUIDS[1], SLOTS)])
    [line] = cli._users(gpus(lab).rows[1])
    assert f"'s process {os.getpid()} has it locked" in line
    (tmp_path / f"leases/holding-{os.geteuid()}-x-0").symlink_to("/etc/shadow")
    assert [why for why in gpus(lab).missing if "symbolic link" in why]
    for descriptor in (*locks, directory):
        os.close(descriptor)


def test_doctor_says_where_users_agree(work: Work, tmp_path: Path) -> None:
    [line] = lease_checks.checks(work)
    assert line.ok and "made when it is first needed" in line.detail and not (tmp_path / "leases").exists()
    view = FlockLeases(Place(tmp_path / "leases", True))
    lease = view.take(Holding(0, "abc"))
    [line] = lease_checks.checks(work)
    assert line.ok and line.detail.endswith(": 1 held, 0 users")
    (tmp_path / f"leases/page-{os.geteuid()}-0").symlink_to("/etc/shadow")
    [line] = lease_checks.checks(work)
    assert not line.ok and "symbolic link" in line.detail and "ls -la" in line.remedy
    (tmp_path / "leases").chmod(0o777)
    [line] = lease_checks.checks(work)
    assert not line.ok and "sticky" in line.detail
    del lease


def test_mig_instances_below_their_gpu(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, f"device={kit.MIG_UUIDS[1]}")
    found = gpus(with_nvml(work, kit.MIG, tmp_path, monkeypatch))
    assert [cli._head(row)[0] for row in found.rows] == ["0", "0:0", "0:1", "1"]
    assert cli._head(found.rows[1])[1:] == ("  MIG 3g.20gb", "1.1 GB of 21 GB", "")
    assert [line.strip() for row in found.rows for line in cli._users(row)] == [
        "in MIG mode: used by its instances", "somebody, outside: a process that you may not see (4321, 1.1 GB)",
        "sweep holds it, without a process on it"]


def test_what_is_printed(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BAREBOAT_GPU_CDI", "/none")
    assert main(["gpus"]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "there is no GPU here: there is no NVIDIA driver here" in said.err
    assert main(["gpus", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gpus"] == []
    monkeypatch.setenv("BAREBOAT_GPU_NVML", str(kit.nvml(kit.TWO, tmp_path, monkeypatch)))
    assert main(["gpus"]) == 0
    assert capsys.readouterr().out == """\
GPU  NAME                            MEMORY  BUSY
0    NVIDIA H100 80GB HBM3  1.1 GB of 86 GB  30 %
1    NVIDIA H100 80GB HBM3     0 B of 86 GB   0 %

driver 550.54.14, CUDA 12.4
"""


def test_none_and_why(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpus(work)
    assert found.rows == () and "no NVIDIA driver here" in none(found) and "no AMD GPU" in none(found)
    broken = gpus(with_nvml(work, "init 9", tmp_path, monkeypatch))
    assert "modprobe nvidia" in none(broken)
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi/nvidia.json").write_text("{")
    assert "nvidia.json: is no JSON" in none(gpus(work))


def test_of_a_specification_alone(work: Work, tmp_path: Path) -> None:
    file = kit.cdi_yaml(tmp_path / "cdi", kit.library(tmp_path / "libcuda.so.999.88", "libcuda.so.1"))
    found = gpus(work)
    assert [row.gpu.name for row in found.rows] == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    assert found.specs == (str(file),)


def said(work: Work, root: Path = Path("/none")) -> dict[str, tuple[bool, str, str]]:
    return {c.name: (c.ok, c.detail, c.remedy) for c in checks(work, root)}


def test_doctor_without_a_gpu_complains_of_nothing(work: Work) -> None:
    found = said(work)
    assert list(found) == ["GPU driver"] and found["GPU driver"][0] and "no NVIDIA driver" in found["GPU driver"][1]


def test_doctor_names_what_is_wrong(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(with_nvml(work, "init 18", tmp_path, monkeypatch))["GPU driver"][0] is False
    lab = with_nvml(work, kit.TWO, tmp_path, monkeypatch)
    found = said(lab)
    assert found["GPU driver"][1].startswith("2 NVIDIA H100 80GB HBM3; driver 550.54.14, CUDA 12.4")
    ok, detail, remedy = found["GPU nodes"]
    assert not ok and detail.startswith("/none/dev/nvidiactl, /none/dev/nvidia-uvm, ") and "modprobe" in remedy
    assert found["GPU CDI"][0] and "no specification" in found["GPU CDI"][1]
    assert "GPU toolkit" in found


def test_doctor_where_all_is_well_and_where_a_specification_is_stale(
        work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = with_nvml(work, kit.TWO, tmp_path, monkeypatch)
    library = kit.library(tmp_path / "libcuda.so.999.88", "libcuda.so.1")
    file = kit.cdi_yaml(tmp_path / "cdi", library)
    found = said(lab, kit.machine(tmp_path / "machine"))
    assert found["GPU nodes"][0] and found["GPU CDI"] == (
        True, f"{file}: nvidia.com/gpu: 0, 1, {kit.UUIDS[0]}, {kit.UUIDS[1]}, all", "")
    library.unlink()
    ok, detail, remedy = said(lab)["GPU CDI"]
    assert not ok and str(library) in detail and "nvidia-ctk" in remedy
    file.write_text(":")
    assert said(lab)["GPU CDI"][0] is False

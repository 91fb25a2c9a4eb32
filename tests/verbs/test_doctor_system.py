"""doctor --system: each line of a machine that is in order, and of one that is not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.sandbox_kit import need_sandbox

from bareboat.cli import main
from bareboat.engine.base import Check
from bareboat.engine.memory import MemoryEngine
from bareboat.host.namespaces import probe
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.verbs import doctor_system
from bareboat.verbs.doctor_system import Machine, checks

ME = os.getuid()


class Made:
    """A machine of files."""

    def __init__(self, root: Path) -> None:
        self.root, self.lines = root, [Check("bwrap", True, "bubblewrap 0.11")]
        self.write("sys/fs/cgroup/cgroup.controllers", "cpu memory pids")
        self.write("etc/subuid", "a:100000:65536\nb:165536:65536\n")
        self.write("etc/subgid", "a:100000:65536\nb:165536:65536\n")

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        file.parent.chmod(0o755)
        return file

    def found(self) -> dict[str, list[Check]]:
        def engine(chosen: Settings) -> MemoryEngine:
            made = MemoryEngine({})
            made.checks = lambda: self.lines  # type: ignore[method-assign]
            return made

        out: dict[str, list[Check]] = {}
        for check in checks(Machine(engine, lambda chosen: ME, self.root, ME)):
            out.setdefault(check.name, []).append(check)
        return out

    def one(self, name: str) -> Check:
        [check] = self.found()[name]
        return check


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    wanted = tuple(c for c in doctor_system.CHECKS if c.__name__ not in ("_namespaces", "_program"))
    monkeypatch.setattr(doctor_system, "CHECKS", wanted)  # those ask this machine
    return Made(tmp_path)


def test_a_machine_without_a_word_is_in_order(made: Made) -> None:
    found = made.found()
    assert set(found) == {"settings", "cgroups", "subuid, subgid", "shared store", "CDI", "leases", "engine"}
    assert all(c.ok for lines in found.values() for c in lines)
    assert "bubblewrap (default)" in made.one("engine").detail


def test_settings(made: Made) -> None:
    file = made.write("etc/bareboat/settings.toml", 'fixed = ["debian.mirror"]\n[limits]\nmemory = "8g"\n')
    assert made.one("settings").ok and "fixed: debian.mirror; limits: memory" in made.one("settings").detail
    for mode in (0o600, 0o666):
        file.chmod(mode)
        wrong = [c for c in made.found()["settings"] if not c.ok]
        assert len(wrong) == 1 and wrong[0].fatal and str(file) in wrong[0].detail + wrong[0].remedy
    file.chmod(0o644)
    file.write_text("fixd = []")
    assert made.one("settings").fatal and not made.one("settings").ok
    assert made.one("engine").ok, "the others are looked at all the same"


def test_cgroups(made: Made) -> None:
    assert "no user is logged in" in made.one("cgroups").detail
    manager = "sys/fs/cgroup/user.slice/user-7.slice/user@7.service/cgroup.controllers"
    made.write(manager, "cpu memory pids\n")
    assert made.one("cgroups").ok
    made.write(manager, "memory pids\n")
    assert not made.one("cgroups").ok and "without cpu" in made.one("cgroups").detail
    assert "Delegate=cpu" in made.one("cgroups").remedy
    (made.root / "sys/fs/cgroup/cgroup.controllers").unlink()
    assert not made.one("cgroups").ok and "no cgroup v2" in made.one("cgroups").detail


def test_subids_matter_to_podman_alone(made: Made) -> None:
    (made.root / "etc/subuid").unlink()
    assert made.one("subuid, subgid").ok
    made.write("etc/bareboat/settings.toml", 'engine = "podman"\n')
    made.lines = [Check("podman", False, "no socket", "start it")]
    assert not made.one("subuid, subgid").ok
    assert not made.one("engine").ok and made.one("engine").remedy == "start it"


def test_the_shared_store(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    home = made.root / "srv/store"
    made.write("etc/bareboat/settings.toml", f'shared-store = {{ path = "{home}", owner = "{ME}" }}\n')
    assert not made.one("shared store").ok
    store = Store.open(home)
    store.make_tree("one", lambda tree: tree.file("a", 0o644, [b"a"]))
    assert "is not shared" in made.one("shared store").detail or not made.one("shared store").ok
    store.lend()
    for above in (home.parent, made.root):
        above.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(doctor_system, "_shut", lambda place: "")  # a test's own directories are closed above it
        assert made.found()["shared store"][0].ok
        assert "0 named images" in made.found()["shared store"][0].detail
    home.parent.chmod(0o700)
    assert not made.one("shared store").ok and str(home.parent) in made.one("shared store").detail
    home.parent.chmod(0o777)
    assert not made.one("shared store").ok and "others can write" in made.one("shared store").detail


def test_gpus(made: Made) -> None:
    made.write("proc/driver/nvidia/version", "NVRM version")
    assert not made.one("CDI").ok and "nvidia-ctk" in made.one("CDI").remedy
    spec = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu",
            "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}]}
    file = made.write("etc/cdi/nvidia.json", json.dumps(spec))
    assert made.one("CDI").ok and "nvidia.com/gpu, 1 devices" in made.one("CDI").detail
    file.chmod(0o666)
    assert not made.one("CDI").ok
    made.write("etc/cdi/nvidia.json", "{")
    assert not made.one("CDI").ok and str(file) in made.one("CDI").detail


@pytest.mark.skipif(ME != 0, reason="only root can ask as somebody else")
def test_root_asks_as_an_ordinary_user() -> None:
    need_sandbox()
    found = probe(65534)
    assert not found.root and found.userns_errno == probe().userns_errno == 0


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bareboat.settings.SYSTEM_FILE", tmp_path / "none.toml")
    code = main(["doctor", "--system", "--json"])
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    assert {"settings", "user namespaces", "cgroups", "subuid, subgid", "shared store", "CDI", "engine",
            "program"} <= set(found)
    assert code == int(any(c["fatal"] and not c["ok"] for c in found.values()))
    main(["doctor", "--system"])
    assert " settings " in capsys.readouterr().out


def test_where_users_agree_on_gpus_is_roots(made: Made) -> None:
    made.write("dev/kfd", "")
    assert not made.one("leases").ok and "install -d -m 1777 /run/lock/bareboat" in made.one("leases").remedy
    folder = made.root / "run/lock/bareboat"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    if ME == 0:
        assert not made.one("leases").ok and "0755" in made.one("leases").detail
        folder.chmod(0o1777)
        assert made.one("leases").ok
        os.chown(folder, 12345, 12345)
        assert not made.one("leases").ok

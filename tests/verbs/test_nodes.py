from __future__ import annotations

from pathlib import Path

import pytest
from tests.host.test_isa import elf, put

from bareboat.errors import EngineError
from bareboat.host import facts
from bareboat.host.kernel import platform
from bareboat.record.values import RunRecord
from bareboat.training.values import Point, Training
from bareboat.verbs import nodes
from bareboat.verbs.launch import Kept
from bareboat.verbs.nodes import MACHINE, Task, check, illegal, lay_out, task_of
from bareboat.verbs.submission import Template
from bareboat.workload import Mount, Rootfs, Workload


class Sent:
    """A submission as it lies on the file system that nodes share."""

    def __init__(self, base: Path, demands: int | None = None) -> None:
        self.home, self.tree, self.data = base / "home", base / "tree", base / "data"
        self.folder = self.home / "queue/submissions/abc"
        self.folder.mkdir(parents=True)
        self.data.mkdir()
        put(self.tree / "usr/lib/x86_64-linux-gnu", elf(demands))
        load = Workload(Rootfs((self.tree,)), ("true",), (), "/", (Mount(self.data, "/data", True),))
        self.template = Template(Kept(load, RunRecord("0" * 12, created="", argv=("true",), engine="bubblewrap", uid=1,
                                                      gid=1)), Training())
        lay_out(self.folder, self.template, (Point("run0"), Point("run1")))

    def check(self, home: Path | None = None) -> None:
        task = task_of(self.folder, "run1")
        assert task == Task(Point("run1"), task.template, task.data)
        check(task, self.folder, home or self.home)


def code(sent: Sent, home: Path | None = None) -> str:
    with pytest.raises(EngineError) as caught:
        sent.check(home)
    return f"{caught.value.code}: {caught.value.what}"


@pytest.fixture
def level(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The level of the machine, which may change under a test."""
    found = ["x86-64-v4"]
    monkeypatch.setattr(facts, "own_level", lambda: found[0])
    return found


def test_a_node_that_is_as_the_machine_that_sent_it(tmp_path: Path, level: list[str]) -> None:
    sent = Sent(tmp_path, 2)
    assert (sent.folder / MACHINE).read_text() == f"{platform()} x86-64-v4 x86-64-v2"
    sent.check()


def test_a_processor_that_the_images_c_library_does_not_take(tmp_path: Path, level: list[str]) -> None:
    sent = Sent(tmp_path, 4)
    level[0] = "x86-64-v3"
    sent.check()
    level[0] = "x86-64-v2"
    assert "node.cpu: the image's programs need a processor of x86-64-v3, and" in code(sent)


@pytest.mark.parametrize("text", ["", "linux/riscv64", "linux/riscv64 rv64"])
def test_another_architecture(tmp_path: Path, text: str) -> None:
    sent = Sent(tmp_path)
    (sent.folder / MACHINE).write_text(text)
    assert code(sent).startswith(f"node.platform: the image was made for {text.partition(' ')[0]}, and ")


def test_what_was_sent_before_levels_were_noted(tmp_path: Path, level: list[str]) -> None:
    sent = Sent(tmp_path)
    (sent.folder / MACHINE).write_text(platform())
    level[0] = "x86-64"
    sent.check()


def test_what_a_node_does_not_see(tmp_path: Path) -> None:
    sent = Sent(tmp_path)
    assert code(sent, tmp_path / "elsewhere").startswith("node.store: ")
    sent.data.rename(tmp_path / "moved")
    assert code(sent).startswith("node.mount: ") and code(sent).endswith("does not see what is mounted at /data")
    (tmp_path / "moved").rename(sent.data)
    sent.tree.rename(tmp_path / "moved")
    assert code(sent).startswith("node.image: ")
    with pytest.raises(EngineError) as caught:
        task_of(tmp_path / "home/queue/submissions/other", "run0")
    assert caught.value.code == "node.folder"


def test_an_illegal_instruction_is_explained(tmp_path: Path, level: list[str]) -> None:
    sent = Sent(tmp_path)
    assert illegal(sent.folder, "x86-64-v2", "n7") == (
        "illegal instruction: n7 has a processor of x86-64-v2, and it was sent from one of x86-64-v4, for which "
        "something may have been compiled: choose nodes with --constraint")
    assert "another processor than n7's (x86-64-v4)" in illegal(sent.folder, "x86-64-v4", "n7")
    assert nodes.ILLEGAL == 132

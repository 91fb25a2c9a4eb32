from __future__ import annotations

import pytest

from bareboat.record.causes import causes, same_data
from bareboat.record.gathered import Attempt, DataFile, DataFingerprint, DataSource, HostFacts
from bareboat.record.values import CodeSnapshot, RunRecord

FULL = DataFingerprint("complete", 1, 5, 5, "l", "s", "c", (DataFile("a", 5, 1, "x"),))


@pytest.mark.parametrize(("old", "new", "answer", "detail"), [
    (FULL, FULL, "same", "every byte"),
    (FULL, DataFingerprint("complete", 1, 5, 5, "l2", "s", "c"), "same", "every byte"),
    (FULL, DataFingerprint("complete", 1, 5, 5, "l2", "s", "d", (DataFile("a", 5, 2, "y"),)), "differs",
     "a has other contents"),
    (FULL, DataFingerprint("stat-only", 1, 5, 0, "l", "s"), "same", "names, sizes"),
    (FULL, DataFingerprint("stat-only", 1, 5, 0, "l2", "s"), "unknown", "other times"),
    (FULL, DataFingerprint("stat-only", 2, 9, 0, "l2", "s2"), "differs", "1 files, 5 bytes became 2"),
    (FULL, DataFingerprint("partial", 0, 0), "unknown", "not listed"),
])  # fmt: skip
def test_data(old, new, answer, detail):
    found = same_data(old, new)
    assert found.answer == answer and detail in found.detail


def test_changed_data_come_before_the_machine():
    a = RunRecord(
        "a" * 12,
        data=(DataSource("/data", "/d", FULL),),
        host=HostFacts(cpu="A"),
        code=CodeSnapshot("1"),
        plan="p",
    )
    b = RunRecord(
        "b" * 12,
        data=(DataSource("/data", "/d", DataFingerprint("stat-only", 2, 9, 0, "q", "r")),),
        host=HostFacts(cpu="B", gpus=("H200",)),
        code=CodeSnapshot("2"),
        plan="q",
    )
    found = causes(a, b)
    assert "data at /data changed" in found[0]
    assert (
        any("code" in c for c in found) and any("GPU" in c for c in found) and any("CPU" in c for c in found)
    )


def test_other_instructions_of_a_cpu_of_the_same_name():
    a, b = (RunRecord("a" * 12, host=HostFacts(cpu="A", level="x86-64-v3", flags=f)) for f in (("avx",), ()))
    assert "other instructions" in causes(a, b)[0]


def test_a_withheld_variable_that_is_missing():
    a, b = RunRecord("a" * 12, withheld=("HF_TOKEN",)), RunRecord("b" * 12)
    assert causes(a, b)[0].endswith("HF_TOKEN")


def test_how_a_machine_reaches_the_network_is_no_cause():
    old = RunRecord("a", env=(("A", "1"), ("https_proxy", "http://x")), withheld=("http_proxy",))
    assert "not deterministic" in causes(old, RunRecord("b", env=(("A", "1"),)))[0]
    assert "environment" in causes(old, RunRecord("b", env=(("A", "2"),)))[0]


def test_a_repetition_that_was_stopped_says_nothing_of_the_program():
    old = RunRecord("a", exit_code=0)
    assert "stopped (interrupted)" in causes(old, RunRecord("b", exit_code=130))[0]
    assert "not deterministic" in causes(RunRecord("a", exit_code=130), RunRecord("b", exit_code=130))[0]


def test_that_one_was_interrupted_and_resumed_is_said() -> None:
    old = RunRecord("a", attempt=2, attempts=(Attempt(1, reason="preempted"),))
    assert causes(old, RunRecord("b"))[0].startswith("the first took 2 attempts, the second 1")
    assert "attempts" not in " ".join(causes(RunRecord("a"), RunRecord("b")))

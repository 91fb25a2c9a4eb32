"""What Slurm says, and what it means for a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.engine.slurm import answers
from bareboat.engine.slurm.allocation import CANCELLED, Allocation, allocation_of, cause_of, leased, rendezvous
from bareboat.engine.slurm.answers import Job, Row, job_of, observe, rows
from bareboat.engine.slurm.notes import Note
from bareboat.record.states import STATES

S = answers.SEPARATOR
WORD = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


def line(*fields: str) -> bytes:
    return (S.join(fields) + "\n").encode()


def test_rows_of_squeue(monkeypatch: pytest.MonkeyPatch) -> None:
    output = (line("12_3", "RUNNING", "None", "n1", "N/A", "bareboat:abc:0") + b"squeue: a warning\n"
              + line("13", "PENDING", "ReqNodeNotAvail, May be reserved", "", "N/A", "a|b"))
    assert rows(output) == (
        Row("12_3", "RUNNING", "None", "n1", 0.0, "bareboat:abc:0"),
        Row("13", "PENDING", "ReqNodeNotAvail, May be reserved", "", 0.0, "a|b"))


@given(st.binary(max_size=300))
def test_rows_of_anything(output: bytes) -> None:
    for row in rows(output):
        assert observe(row, None) is None or observe(row, None).state in STATES  # type: ignore[union-attr]


@given(st.lists(st.tuples(WORD.filter(str.strip), WORD, WORD, WORD, WORD, WORD), max_size=5))
def test_rows_are_told_apart(written: list[tuple[str, ...]]) -> None:
    found = rows(b"".join(line(*fields) for fields in written))
    assert [row.id for row in found] == [fields[0].strip() for fields in written]
    assert [row.comment for row in found] == [fields[5].strip() for fields in written]


@given(st.integers(1, 10**9), st.none() | st.integers(0, 10**6), st.text("0123456789abcdef", min_size=1, max_size=12))
def test_jobs_as_text(number: int, index: int | None, id: str) -> None:
    job = Job(f"{number}" if index is None else f"{number}_{index}", id, id)
    assert job_of(str(job)) == job


@pytest.mark.parametrize("text", ["", "12", "12@a", "@a/b", "x@a/b", "1_@a/b", "1_x@a/b", "12@/b", "12@a/", "١@a/b"])
def test_no_jobs(text: str) -> None:
    assert job_of(text) is None


def test_comments() -> None:
    assert answers.submission_of("bareboat:abc:2") == ("abc", 2)
    for text in ("", "bareboat", "bareboat:abc", "bareboat:abc:x", "other:abc:2", "bareboat:abc:2:3"):
        assert answers.submission_of(text) is None


NOTE = Note("r", "running", attempt=2, where="n1")


@pytest.mark.parametrize(("row", "note", "state", "reason"), [
    (Row("1", "PENDING", "Resources"), None, "pending", "waits for nodes, GPUs or CPUs (Resources)"),
    (Row("1", "PENDING", "ReqNodeNotAvail, Reserved for maintenance"), None, "pending",
     "nodes it needs are down, drained or reserved (ReqNodeNotAvail, Reserved for maintenance)"),
    (Row("1", "PENDING", "SomethingNew"), None, "pending", "SomethingNew"),
    (Row("1", "PENDING", "None"), None, "pending", ""),
    (Row("1", "PENDING", "BeginTime"), Note("r", "pending", "preempted", 1), "pending",
     "preempted: starts again in a moment"),
    (Row("1", "RUNNING"), None, "running", "its node makes ready"),
    (Row("1", "RUNNING"), NOTE, "running", ""),
    (Row("1", "SUSPENDED"), NOTE, "running", "suspended"),
    (Row("1", "COMPLETING"), Note("r", "pending", "preempted", 2), "pending", "preempted"),
    (Row("1", "CANCELLED"), None, "cancelled", CANCELLED),
    (Row("1", "CANCELLED"), NOTE, "cancelled", CANCELLED),
    (Row("1", "TIMEOUT"), NOTE, "failed", "time limit"),
    (Row("1", "OUT_OF_MEMORY"), NOTE, "failed", "out of memory"),
    (Row("1", "FAILED", "NonZeroExitCode"), None, "failed", "bareboat could not be started there (NonZeroExitCode)"),
    (Row("1", "COMPLETED"), NOTE, "failed", "ended without an account of it"),
    (Row("1", "FAILED"), Note("r", "succeeded", "", 2, exit_code=0), "succeeded", ""),
    (Row("1", "PENDING"), Note("r", "failed", "exit 3", 2, exit_code=3), "failed", "exit 3"),
    (None, Note("r", "cancelled", "stopped", 2), "cancelled", "stopped"),
])
def test_what_it_means(row: Row | None, note: Note | None, state: str, reason: str) -> None:
    seen = observe(row, note)
    assert seen is not None and (seen.state, seen.reason) == (state, reason)
    assert seen.attempt == (note.attempt if note else 0)


@pytest.mark.parametrize("row", [None, Row("1", "A_STATE_OF_SLURM_99")])
def test_what_is_not_known_is_no_state(row: Row | None) -> None:
    assert observe(row, None) is None and observe(row, NOTE) is None


@pytest.mark.parametrize("state", ["NODE_FAIL", "PREEMPTED", "BOOT_FAIL"])
def test_what_slurm_did_not_start_again_is_sent_again(state: str) -> None:
    seen = observe(Row("1", state), NOTE)
    assert seen is not None and seen.state == "pending" and answers.RESUBMIT in seen.details
    seen = observe(Row("1", "FAILED"), Note("r", "pending", "time limit", 1))
    assert seen is not None and seen.state == "pending" and answers.RESUBMIT in seen.details


@pytest.mark.parametrize(("state", "note"), [
    ("CANCELLED", None), ("FAILED", Note("r", "pending", "preempted", 1)), ("NODE_FAIL", NOTE)])
def test_stopped_by_its_owner(state: str, note: Note | None) -> None:
    seen = observe(Row("1", state), note, stopped=True)
    assert seen is not None and (seen.state, seen.reason) == ("cancelled", "stopped")


def test_an_element_that_slurm_shows_no_more_was_cancelled_before_it_began() -> None:
    assert observe(None, None, stopped=True).reason == "stopped"  # type: ignore[union-attr]
    seen = observe(None, None, gone=True)
    assert seen is not None and (seen.state, seen.attempt) == ("cancelled", 0) and "before it began" in seen.reason
    assert observe(None, NOTE, stopped=True, gone=True) is None  # it has begun: its node will say


def test_the_row_of_an_element() -> None:
    whole, one = Row("7", "CANCELLED"), Row("7_1", "RUNNING")
    job = Job("7_1", "s", "r")
    assert answers.row_of(job, {"7": whole, "7_1": one}) is one
    assert answers.row_of(job, {"7": whole}) is whole and answers.row_of(job, {"7_2": one}) is None
    assert answers.row_of(job, {"7": Row("7", "PENDING")}) is None  # not yet one for each: not this element's


def test_what_sbatch_answers() -> None:
    assert answers.numbers(b"123\n") == "123" and answers.numbers(b"warning: x\n123;cluster\n") == "123"
    assert answers.numbers(b"") == "" and answers.numbers(b"Submitted\n") == ""
    assert answers.config_value(b"MaxArraySize            = 1001\nMaxJobCount = 5\n", "MaxArraySize") == "1001"


INFINITE = float("inf")


@pytest.mark.parametrize(("job", "warned", "left", "cause"), [
    ({"JobState": "RUNNING", "PreemptTime": "2026-11-25T23:33:26", "Restarts": "0"}, False, 10, "preempted"),
    ({"JobState": "RUNNING", "PreemptTime": "2026-11-25T23:33:26", "Restarts": "0"}, True, 10, "preempted"),
    ({"JobState": "RUNNING", "PreemptTime": "None", "Restarts": "0"}, True, 70, "limit"),
    ({"JobState": "RUNNING", "PreemptTime": "None", "Restarts": "0"}, True, 7000, "preempted"),
    ({"JobState": "COMPLETING", "Reason": "TimeLimit", "Restarts": "0"}, False, 0, "limit"),
    ({"JobState": "COMPLETING", "Reason": "None", "Restarts": "0"}, False, 0, "stopped"),
    ({"JobState": "COMPLETING", "Reason": "None", "Restarts": "1"}, False, 0, "preempted"),
    ({"JobState": "RUNNING", "Restarts": "0"}, False, INFINITE, "preempted"),
    ({}, False, INFINITE, "preempted"),
    ({}, True, INFINITE, "limit"),
])
def test_why_it_must_end(job: dict[str, str], warned: bool, left: float, cause: str) -> None:
    assert cause_of(job, 0, left, warned=warned)[0] == cause


@pytest.mark.parametrize(("environ", "gpus"), [
    ({"CUDA_VISIBLE_DEVICES": "0,1"}, "device=0,1"),
    ({"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_GPUS": "3"}, "device=3"),
    ({"SLURM_STEP_GPUS": "2,3", "SLURM_JOB_GPUS": "0,1,2,3"}, "device=2,3"),
    ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c"}, "device=GPU-8932f937-d72c"),
    ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ""), ({"CUDA_VISIBLE_DEVICES": ""}, ""), ({}, ""),
])
def test_what_was_leased(environ: dict[str, str], gpus: str) -> None:
    assert leased(environ) == gpus


def test_an_allocation() -> None:
    environ = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "SLURMD_NODENAME": "n2", "SLURM_PROCID": "1",
               "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "n[1-2]"}
    assert allocation_of(environ) == Allocation("7", 2, "n2", 1, 2, "n[1-2]")
    assert allocation_of({}) is None
    there = dict(rendezvous(Allocation("7", 0, "n2", 1, 2, "n[1-2]"), "10.0.0.1", 12007))
    assert (there["MASTER_ADDR"], there["MASTER_PORT"], there["RANK"], there["WORLD_SIZE"]) == (
        "10.0.0.1", "12007", "1", "2")

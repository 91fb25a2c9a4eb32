from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import RecordError
from bareboat.record.states import MOVES, STATES, ended, final, move
from bareboat.record.values import RunRecord

NEW = RunRecord("a" * 12)


@given(st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 255)), max_size=8))
def test_no_path_leaves_the_machine(steps):
    record = NEW
    for n, (state, code) in enumerate(steps):
        before = record
        try:
            record = move(record, state, at=f"t{n}", exit_code=code)
        except RecordError as error:
            assert error.code == "record.move"
            assert state not in MOVES[before.state] or (state == "succeeded" and code)
            assert record is before
            continue
        assert state in MOVES[before.state] and record.state == state
        assert bool(record.ended) == final(state)
        assert (record.exit_code is not None) == final(state)
        assert not before.started or record.started == before.started


def test_final_states_are_final():
    for state in STATES:
        if final(state):
            assert MOVES[state] == ()
    assert [s for s in STATES if not final(s)] == ["pending", "running"]


def test_an_exit_code_decides():
    running = move(NEW, "running", at="t1")
    assert (ended(running, 0, at="t2").state, ended(running, 0, at="t2").exit_code) == ("succeeded", 0)
    failed = ended(running, 137, at="t2", reason="out of memory")
    assert (failed.state, failed.exit_code, failed.reason) == ("failed", 137, "out of memory")


def test_a_preempted_run_keeps_its_first_start():
    again = move(
        move(move(NEW, "running", at="t1"), "pending", at="t2", reason="preempted"), "running", at="t3"
    )
    assert (again.started, again.reason) == ("t1", "")


def test_the_error_says_what_is_allowed():
    with pytest.raises(RecordError, match="cancelled"):
        move(NEW, "succeeded", at="t")

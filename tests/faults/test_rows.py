"""A sample of SECURITY.md's rows 1 to 5, 11 and 17 to 20, each with a broken control that it must catch.

BAREBOAT_FAULT_ROUNDS sets the count; `python -m tests.faults --rounds 10000` prints the figures.
"""

from __future__ import annotations

import os
import shutil

import pytest
from tests.faults.concurrent import users, writers
from tests.faults.containers import killed_containers, strangers
from tests.faults.crash import crashes, has_strace
from tests.faults.full_disk import errors, failing_fsync, has_namespaces, small_disks
from tests.faults.kills import kills
from tests.faults.kit import rounds
from tests.faults.leases import leases
from tests.faults.ledger import ledger
from tests.faults.registry_table import FAULTS, OPERATIONS, controls, table
from tests.faults.rot import rot
from tests.sandbox_kit import need_sandbox


def test_row_1_kill() -> None:
    figures = kills(rounds(100))
    assert figures.bad == [] and figures.counts["acknowledged"] > 0, figures.line()


def test_row_1_catches_a_writer_without_rename() -> None:
    assert any("blob" in line for line in kills(200, control=True).bad)


def test_row_3_concurrent_writers() -> None:
    figures = writers(rounds(300))
    assert figures.bad == [] and figures.counts["tag updates"] > 0, figures.line()


def test_row_3_catches_an_index_without_a_lock() -> None:
    assert any("lost update" in line for line in writers(2000, control=True).bad)


def test_row_4_gc() -> None:
    figures = users(rounds(120))
    assert figures.bad == [], figures.line()


def test_row_4_catches_a_gc_that_knows_no_leases() -> None:
    assert users(400, control="no leases").bad != []


def test_row_5_rot() -> None:
    figures = rot(rounds(150))
    assert figures.bad == [] and figures.counts["damaged"] == figures.counts["detected"] > 0, figures.line()


def test_row_5_catches_a_check_that_reads_nothing() -> None:
    assert rot(60, control=True).bad != []


def test_row_17_holders_of_leases_are_killed() -> None:
    figures = leases(rounds(150))
    assert figures.bad == [] and figures.counts["takes"] > 0, figures.line()


def test_row_17_catches_takers_that_lock_nothing_and_locks_that_stay() -> None:
    assert leases(30, control="no locks").counts["double"] > 0
    assert leases(8, control="files that stay", settled=0.05).counts["leaked"] > 0


def test_row_18_containers_of_which_a_process_is_killed() -> None:
    figures = killed_containers(rounds(12))
    assert figures.bad == [] and figures.counts["containers"] > 0, figures.line()


def test_row_18_catches_what_does_not_die_with_its_supervisor() -> None:
    assert killed_containers(1, control=True, settled=0.5).bad != []


def test_row_18_no_stranger_is_signalled() -> None:
    need_sandbox()
    figures = strangers(rounds(200))
    assert figures.bad == [] and figures.counts["reused"] == figures.counts["rounds"] > 0, figures.line()


def test_row_18_catches_a_kill_by_number() -> None:
    need_sandbox()
    assert strangers(20, control=True).counts["wrong signals"] == 20


def test_row_19_writers_of_the_ledger_are_killed() -> None:
    figures = ledger(rounds(600))
    assert figures.bad == [] and figures.counts["killed"] > 0 and figures.counts["claimed"] > 0, figures.line()


def test_row_19_catches_who_looks_first_and_who_says_it_first() -> None:
    assert ledger(400, control="looks first").counts["double"] > 0
    assert ledger(400, control="says it first").counts["lost"] > 0


def test_row_2_power_loss() -> None:
    required(has_strace, "strace")
    figures = crashes(rounds(800))
    assert figures.bad == [] and figures.counts["acknowledgements"] == 12, figures.line()


@pytest.mark.parametrize("control", ["no file sync", "no directory sync", "no tree sync"])
def test_row_2_catches_a_writer_that_does_not_sync(control: str) -> None:
    required(has_strace, "strace")
    assert crashes(300, control=control).bad != []


def test_row_2_a_failing_fsync_is_final() -> None:
    required(has_strace, "strace")
    figures = failing_fsync(5)
    assert figures.bad == [] and figures.counts["failed"] == 2, figures.line()


def test_row_20_errors_at_each_step() -> None:
    figures = errors(rounds(400))
    assert figures.bad == [] and figures.counts["injected"] > 0, figures.line()


def test_row_20_catches_a_writer_in_place() -> None:
    assert errors(400, control=True).bad != []


def test_row_20_small_disks() -> None:
    required(has_namespaces(), "user namespaces")
    figures = small_disks(max(12, rounds(0) // 50))
    assert figures.bad == [] and figures.counts["refused with path"] > 0, figures.line()


def test_row_11_registry_faults() -> None:
    required(shutil.which("openssl") is not None, "openssl")
    figures, outcomes = table()
    assert figures.bad == [], figures.line()
    assert len(outcomes) == len(FAULTS) * len(OPERATIONS) >= 374 and all(o.met for o in outcomes), figures.line()
    assert {o.how for o in outcomes} == {"recovered", "error"}


def test_row_11_catches_clients_that_are_broken() -> None:
    for name, count, _ in controls():
        assert count > 0, name


def required(present: bool, what: str) -> None:
    """Skip where it is missing; in CI that is a failure."""
    if not present and os.environ.get("CI"):
        pytest.fail(f"CI needs {what}")
    if not present:
        pytest.skip(f"needs {what}")

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.record_kit import Lab

from bareboat.errors import RecordError
from bareboat.record.values import RunRecord
from bareboat.store import Store
from bareboat.verbs.runs import KILLED, RunFilter, find, load, runs
from bareboat.verbs.show import log, show


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "home", tmp_path / "iris")


def test_filters_and_order(lab):
    first = lab.run("pass", name="base line")
    second = lab.run("raise SystemExit(3)")
    for record, at in ((first, "2026-01-01T00:00:00Z"), (second, "2026-01-02T00:00:00Z")):
        lab.store.runs.write(record.id, lab.store.runs.read(record.id) | {"created": at})
    ids = lambda **f: [r.id for r in runs(lab.store, RunFilter(**f)).runs]  # noqa: E731
    assert ids() == [second.id, first.id]
    assert ids(state="failed") == [second.id] and ids(name="base") == [first.id]
    assert ids(project="iris") == ids(project=str(lab.root)) == [second.id, first.id]
    assert ids(project="other") == []
    assert runs(lab.store, RunFilter(limit=1)).more == 1


def test_finding_one(lab):
    first = lab.run("pass", name="mine")
    assert (
        find(lab.store, first.id[:8])
        == find(lab.store, "mine")
        == find(lab.store, "last")
        == load(lab.store, first.id)
    )
    for wrong in ("zzz", "", "nothing"):
        with pytest.raises(RecordError) as error:
            find(lab.store, wrong)
        assert error.value.code == "record.missing"


def test_last_of_nothing(lab):
    with pytest.raises(RecordError) as error:
        find(lab.store, "last")
    assert error.value.code == "record.missing"


def test_a_run_whose_owner_died_is_told_truthfully_and_not_rewritten(lab):
    done = lab.run("pass")
    document = lab.store.runs.read(done.id) | {"state": "running", "exit_code": None, "ended": ""}
    lab.store.runs.write(done.id, document)
    seen = load(lab.store, done.id)
    assert (seen.state, seen.reason, seen.exit_code) == ("failed", KILLED, None)
    assert lab.store.runs.read(done.id)["state"] == "running"
    lab.store.runs.hold(done.id)
    assert load(lab.store, done.id).state == "running"


def test_a_broken_record_stops_no_listing(lab):
    good, bad, odd = (lab.run("pass") for _ in range(3))
    (lab.store.runs.path(bad.id) / "record.json").write_text("{")
    lab.store.runs.write(odd.id, lab.store.runs.read(odd.id) | {"argv": 3})
    listed = runs(lab.store, RunFilter())
    assert [r.id for r in listed.runs] == [good.id] and len(listed.broken) == 2
    with pytest.raises(RecordError) as error:
        load(lab.store, odd.id)
    assert error.value.code == "record.malformed"


def test_a_record_under_another_id_is_refused(lab):
    a, b = lab.run("pass"), lab.run("pass")
    lab.store.runs.write(a.id, lab.store.runs.read(b.id))
    with pytest.raises(RecordError):
        load(lab.store, a.id)


def test_the_account(lab):
    record = lab.run("(results / 'a.txt').write_text('x'); say('one\\ntwo\\n')", env=(("HF_TOKEN", "x"),))
    account = show(lab.store, record.id[:6])
    assert account.plan.wheels[0].name == "numpy" and account.tail == b"one\ntwo\n"
    assert account.record.withheld == ("HF_TOKEN",) and account.repeat == f"bareboat rerun {record.id[:6]}"
    assert b"".join(log(lab.store, record.id)) == b"one\ntwo\n"


def test_a_log_elsewhere_is_not_followed(lab, tmp_path):
    record = lab.run("pass")
    (tmp_path / "secret").write_text("secret")
    for path in ("../../secret", "/etc/passwd", ".."):
        lab.store.runs.write(record.id, lab.store.runs.read(record.id) | {"log": path})
        with pytest.raises(RecordError) as error:
            list(log(lab.store, record.id))
        assert error.value.code == "record.no-log"


def test_a_run_from_elsewhere_is_neither_last_nor_takes_a_name(tmp_path):
    lab = Lab(tmp_path / "home", tmp_path / "iris")
    own = lab.run("x = 1", name="best")
    theirs = lab.run("x = 2", name="best")
    document = lab.store.runs.read(theirs.id)
    document["host"]["mark"] = ""  # as what is taken in
    lab.store.runs.write(theirs.id, document | {"origin": "ghcr.io/x/y@sha256:1", "created": "9999-01-01T00:00:00Z"})
    assert find(lab.store, "last").id == own.id and find(lab.store, "best").id == own.id
    lab.store.runs.write(theirs.id, document | {"origin": "ghcr.io/x/y@sha256:1", "name": "worse"})
    assert find(lab.store, "worse").id == theirs.id and find(lab.store, theirs.id[:8]).id == theirs.id


def test_of_two_runs_of_one_second_the_later_is_the_last(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home")
    ids = ["f00000000001", "000000000002", "a00000000003"]
    for number, run in enumerate(ids):
        store.runs.create(run)
        store.runs.write(run, RunRecord(run, state="succeeded", created="2026-05-01T12:00:00Z").document())
        os.utime(store.runs.path(run) / "lock", ns=(number, number))
        store.runs.release(run)
    assert [r.id for r in runs(store, RunFilter()).runs] == ids[::-1]
    assert find(store, "last").id == ids[-1]

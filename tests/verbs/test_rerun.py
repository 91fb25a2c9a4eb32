from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest
from tests.record_kit import Lab

from bareboat.errors import BareboatError, RecordError
from bareboat.record.tolerance import Tolerance
from bareboat.verbs.rerun import RerunRequest, rerun

SAME = "(results / 'a.csv').write_text('x\\n' + str(len((data / 'd.txt').read_text())) + '.5\\n')"
RANDOM = "import os; (results / 'r.txt').write_text(os.urandom(8).hex())"


@pytest.fixture
def lab(tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return Lab(tmp_path / "home", tmp_path / "iris")


def again(lab, run, **request):
    return rerun(RerunRequest(run.id, quiet=True, **request), lab.work, lab.steps)


def test_identical_though_the_folder_was_edited(lab):
    old = lab.run(SAME)
    (lab.root / "src/run.py").write_text("raise SystemExit(9)")
    before = (lab.root / "results/a.csv").read_text()
    done = again(lab, old)
    assert done.verdict.verdict == "identical" and done.new.rerun_of == old.id
    assert (done.folder / "results/a.csv").read_text() == before
    assert done.folder.parent.name == "cwd" and done.folder.name == f"rerun-{done.new.id[:6]}"
    assert done.new.code == old.code and done.new.state == "succeeded"


def test_a_program_that_is_not_deterministic_differs_and_the_reason_is_told(lab):
    done = again(lab, lab.run(RANDOM))
    assert done.verdict.verdict == "differs"
    assert "not deterministic" in done.verdict.causes[0]


def test_tolerance(lab):
    noisy = (
        "import os; (results / 'm.json').write_text('{\"x\": 1.0%03d}' % (os.urandom(1)[0] % 100 + counter))"
    )
    old = lab.run(noisy.replace("counter", "0"))
    wide = again(lab, old, tolerance=Tolerance(0.5, 0))
    assert wide.verdict.same


def test_from_a_copied_store(lab, tmp_path):
    old = lab.run(SAME)
    lab.store.close()
    shutil.copytree(tmp_path / "home", tmp_path / "elsewhere", symlinks=True)
    shutil.rmtree(lab.root / "src")
    other = Lab(tmp_path / "elsewhere", lab.root)
    assert again(other, old).verdict.verdict == "identical"


def test_changed_data_are_the_cause(lab):
    old = lab.run(SAME)
    (lab.root / "data/d.txt").write_text("other data")
    done = again(lab, old)
    assert not done.verdict.same
    assert "data at /data changed" in done.verdict.causes[0]


def test_data_from_elsewhere(lab, tmp_path):
    old = lab.run(SAME)
    (lab.root / "data").rename(tmp_path / "moved")
    with pytest.raises(RecordError) as error:
        again(lab, old)
    assert error.value.code == "record.data-gone" and "--data" in error.value.hint
    assert list((tmp_path / "cwd").iterdir()) == []  # nothing was made
    done = again(lab, old, data=tmp_path / "moved")
    assert done.verdict.verdict == "identical" and done.new.mounts[1].source == str(tmp_path / "moved")


def test_results_are_never_overwritten(lab, tmp_path):
    old = lab.run(SAME)
    target = tmp_path / "into"
    (target / "results").mkdir(parents=True)
    (target / "results/a.csv").write_text("precious")
    with pytest.raises(RecordError) as error:
        again(lab, old, into=target)
    assert error.value.code == "record.rerun-folder"
    assert (target / "results/a.csv").read_text() == "precious"
    assert again(lab, old, into=tmp_path / "fresh").folder == tmp_path / "fresh"


def test_every_mount_but_results_is_read_only(lab):
    old = lab.run(SAME)
    document = lab.store.runs.read(old.id)
    document["mounts"].append({"source": str(lab.root), "target": "/out", "read_only": False})
    lab.store.runs.write(old.id, document)
    again(lab, old)
    mounts = {m.target: m for m in lab.engine.loads[-1].mounts}
    assert mounts["/out"].read_only and mounts["/app/src"].read_only and mounts["/data"].read_only
    assert not mounts["/results"].read_only and mounts["/results"].source != lab.root / "results"
    assert any("read-only" in line for line in lab.tell.lines)


def test_withheld_variables_come_from_the_caller_or_are_named(lab):
    code = "(results / 'e').write_text(env.get('API_KEY', 'none') + env['LR'])"
    old = lab.run(code, env=(("API_KEY", "s3cret-value"), ("LR", "0.1")))
    assert "s3cret-value" not in json.dumps(lab.store.runs.read(old.id))
    assert "API_KEY" in old.withheld
    assert again(lab, old, env={"API_KEY": "s3cret-value", "LR": "9"}).verdict.verdict == "identical"
    assert not again(lab, old, env={}).verdict.same
    assert any("API_KEY" in line for line in lab.tell.lines)
    with_secret = [
        p
        for p in lab.store.home.rglob("*")
        if p.is_file() and b"s3cret-value" in p.read_bytes() and "trees" not in p.parts
    ]
    assert [p for p in with_secret if p.name == "record.json"] == []


def test_the_proxy_of_this_machine_is_used(lab):
    old = lab.run(SAME, env=(("http_proxy", "http://old.example:1"),))
    steps = replace(
        lab.steps, inherited=lambda environ, tty: ({"http_proxy": "http://here.example:2", "X": "1"}, ())
    )
    rerun(RerunRequest(old.id, quiet=True), lab.work, steps)
    assert dict(lab.engine.loads[-1].env) == {"http_proxy": "http://here.example:2"}


def test_a_record_of_another_machine_gets_no_network(lab):
    old = lab.run(SAME)
    assert again(lab, old) and lab.engine.loads[-1].network == "host"
    document = lab.store.runs.read(old.id)
    document["host"]["name"] = "stranger"
    lab.store.runs.write(old.id, document)
    assert again(lab, old) and lab.engine.loads[-1].network == "none"
    assert again(lab, old, network="host") and lab.engine.loads[-1].network == "host"


def test_another_exit_code_differs(lab):
    old = lab.run(f"{SAME}; raise SystemExit(0 if env.get('OK') else 3)")
    document = lab.store.runs.read(old.id)
    lab.store.runs.write(old.id, document | {"env": [["OK", "1"]]})
    done = again(lab, old)
    assert done.verdict.notes == ("exit code 3 became 0",) and not done.verdict.same


@pytest.mark.parametrize(("key", "value", "code"), [
    ("plan_blob", "0" * 64, "record.plan-gone"),
    ("plan", "sha256:" + "0" * 64, "record.plan-damaged"),
    ("overlays", [["/app/src", "ext-0"]], "record.extension-gone"),
])  # fmt: skip
def test_what_cannot_be_repeated_says_so(lab, tmp_path, key, value, code):
    old = lab.run(SAME)
    lab.store.runs.write(old.id, lab.store.runs.read(old.id) | {key: value})
    with pytest.raises(RecordError) as error:
        again(lab, old)
    assert error.value.code == code
    assert list((tmp_path / "cwd").iterdir()) == []


def test_code_that_is_gone(lab):
    old = lab.run(SAME)
    lab.store.remove_blob(old.code.index)
    with pytest.raises(RecordError) as error:
        again(lab, old)
    assert error.value.code == "record.code-gone"


def test_a_run_that_still_goes_on_is_not_repeated(lab):
    old = lab.run(SAME)
    lab.store.runs.write(old.id, lab.store.runs.read(old.id) | {"state": "running"})
    lab.store.runs.hold(old.id)
    with pytest.raises(RecordError) as error:
        again(lab, old)
    assert error.value.code == "record.unfinished"
    lab.store.runs.release(old.id)
    done = again(lab, old)  # its bareboat died: it can be repeated, and cannot be the same
    assert done.old.reason == "bareboat was killed"


def test_a_folder_that_cannot_be_made(lab, tmp_path):
    old = lab.run(SAME)
    (tmp_path / "file").write_text("")
    with pytest.raises(BareboatError) as error:
        again(lab, old, into=tmp_path / "file")
    assert error.value.code == "record.rerun-folder"


def test_odd_names_in_records(lab):
    name = os.fsdecode(b"\xff.txt")
    done = again(lab, lab.run(f"(results / {name!r}).write_text('x')"))
    assert done.verdict.verdict == "identical" and done.verdict.files[0].path == name


def test_a_repetition_does_not_take_the_name(lab):
    """Else `rerun NAME` would from then on repeat the repetition."""
    old = lab.run(SAME, name="best")
    (lab.root / "data/d.txt").write_text("other data")
    for _ in range(2):
        done = rerun(RerunRequest("best", quiet=True), lab.work, lab.steps)
        assert done.old.id == old.id and done.new.name == "" and done.verdict.verdict == "differs"


def of_another_machine(lab, run, **changes):
    document = lab.store.runs.read(run.id)
    document["host"]["mark"] = "0123456789abcdef"  # the name may be guessed, and be the same
    lab.store.runs.write(run.id, document | changes)


def test_a_record_of_another_machine_names_no_secret_of_ours(lab, monkeypatch):
    monkeypatch.setenv("API_KEY", "ours")
    code = "(results / 'e').write_text(env.get('API_KEY', 'none'))"
    old = lab.run(code, env=(("API_KEY", "theirs"),))
    again(lab, old)
    assert ("API_KEY", "ours") in lab.engine.loads[-1].env  # the control: a record of this machine
    of_another_machine(lab, old)
    again(lab, old)
    assert "ours" not in str(lab.engine.loads[-1].env) and lab.engine.loads[-1].network == "none"
    assert any("not passed on: API_KEY" in line for line in lab.tell.lines)
    again(lab, old, env={"API_KEY": "ours"})
    assert ("API_KEY", "ours") in lab.engine.loads[-1].env


def test_what_a_record_of_another_machine_mounts_is_told(lab):
    old = lab.run(SAME)
    of_another_machine(lab, old)
    again(lab, old)
    assert any(str(lab.root / "data") in line and "another machine" in line for line in lab.tell.lines)


@pytest.mark.parametrize("within", ["../../../../../../../../etc", "out", "out/..", "src/../out", "/etc"])
def test_code_of_a_record_never_leaves_its_snapshot(lab, within):
    """A stranger's record may say anything, and its snapshot may hold links."""
    (lab.root / "src/out").symlink_to("/etc")
    old = lab.run(SAME)
    document = lab.store.runs.read(old.id)
    at = within.replace("out", "src/out") if within.startswith("out") else within
    document["mounts"][0]["within"] = at
    lab.store.runs.write(old.id, document)
    with pytest.raises(RecordError) as error:
        again(lab, old)
    assert error.value.code in ("record.code-gone", "record.malformed")

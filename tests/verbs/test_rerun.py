from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest
from tests import gpu_kit
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
    given = {"data": lab.root / "data"}
    assert again(lab, old, **given) and lab.engine.loads[-1].network == "none"
    assert again(lab, old, network="host", **given) and lab.engine.loads[-1].network == "host"


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
    again(lab, old, data=lab.root / "data")
    assert "ours" not in str(lab.engine.loads[-1].env) and lab.engine.loads[-1].network == "none"
    assert any("not passed on: API_KEY" in line for line in lab.tell.lines)
    again(lab, old, env={"API_KEY": "ours"}, data=lab.root / "data")
    assert ("API_KEY", "ours") in lab.engine.loads[-1].env


def refused(lab, run, **request):
    with pytest.raises(BareboatError) as error:
        again(lab, run, **request)
    return error.value


def test_a_record_of_another_machine_mounts_nothing_by_itself(lab, tmp_path):
    """It may name the receiver's own home: only what is given is mounted, and that read-only."""
    old = lab.run(SAME)
    document = lab.store.runs.read(old.id)
    home = {"source": str(tmp_path), "target": "/out", "read_only": False}
    lab.store.runs.write(old.id, document | {"mounts": [*document["mounts"], home]})
    again(lab, old)  # the control: this machine's own record
    assert lab.engine.loads[-1].mounts[-1].source == tmp_path
    of_another_machine(lab, old)
    count = len(lab.engine.loads)
    needed = refused(lab, old)
    assert needed.code == "record.data-needed" and "1 file, 4 bytes" in needed.what and "--data" in needed.hint
    needed = refused(lab, old, data=lab.root / "data")
    assert needed.code == "record.mount-needed" and str(tmp_path) in needed.what and "-v DIR:/out" in needed.hint
    assert len(lab.engine.loads) == count and "rerun-" in str(list((tmp_path / "cwd").iterdir()))
    (tmp_path / "mine").mkdir()
    done = again(lab, old, data=lab.root / "data", volumes=(("/out", tmp_path / "mine"),))
    assert done.verdict.verdict == "identical"
    mounted = {m.target: m for m in lab.engine.loads[-1].mounts}
    assert mounted["/out"].source == tmp_path / "mine" and mounted["/out"].read_only
    assert {m.source for m in mounted.values()} & {tmp_path} == set()


@pytest.mark.parametrize("target", ["/results", "/app/src", "/elsewhere"])
def test_nobody_replaces_what_is_repeated(lab, target):
    old = lab.run(SAME)
    assert refused(lab, old, volumes=((target, lab.root),)).code == "usage.mount"


def test_data_for_a_run_without_data(lab):
    old = lab.run("x = 1")
    document = lab.store.runs.read(old.id)
    lab.store.runs.write(old.id, document | {"mounts": [m for m in document["mounts"] if m["kind"] != "data"]})
    assert refused(lab, old, data=lab.root).code == "usage.mount"


def test_data_that_were_empty_need_not_be_given(lab):
    (lab.root / "data/d.txt").unlink()
    old = lab.run("(results / 'n').write_text(str(len(list(data.iterdir()))))")
    of_another_machine(lab, old)
    assert again(lab, old).verdict.verdict == "identical"


@pytest.mark.parametrize(("change", "said"), [
    (lambda d: (d / "d.txt").unlink(), "d.txt gone"), (lambda d: (d / "d.txt").write_text("DATA"), "other contents"),
    (lambda d: (d / "d.txt").write_text("longer data"), "4 bytes became 11"),
    (lambda d: (d / "e.txt").write_text(""), "e.txt new")])
def test_other_data_are_told_before_the_start(lab, tmp_path, change, said):
    old = lab.run(SAME)
    of_another_machine(lab, old)
    other = tmp_path / "other"
    shutil.copytree(lab.root / "data", other)
    assert again(lab, old, data=other).verdict.verdict == "identical"  # a copy is the same, with other times too
    os.utime(other / "d.txt", (1, 1))
    assert again(lab, old, data=other).verdict.verdict == "identical"
    change(other)
    count, folders = len(lab.engine.loads), list((tmp_path / "cwd").iterdir())
    error = refused(lab, old, data=other)
    assert error.code == "record.data-differs" and said in error.what and "--other-data" in error.hint
    assert len(lab.engine.loads) == count and list((tmp_path / "cwd").iterdir()) == folders
    if (other / "d.txt").exists():
        done = again(lab, old, data=other, other_data=True)
        assert done.verdict.verdict in ("identical", "differs")
        if not done.verdict.same:
            assert "data at /data changed" in done.verdict.causes[0]


def test_a_record_of_another_machine_gets_no_more_than_there_is(lab):
    old = lab.run(SAME)
    document = lab.store.runs.read(old.id)
    limits = dict.fromkeys(("memory", "pids", "shm_size", "scratch_size"), 1 << 60) | {"cpus": 1e9}
    of_another_machine(lab, old, limits=limits)
    again(lab, old, data=lab.root / "data")
    given = lab.engine.loads[-1].limits
    assert given.memory < 1 << 60 and given.shm_size < 1 << 60 and given.cpus < 1e9 and given.pids <= 1 << 22
    lab.store.runs.write(old.id, document | {"limits": limits})
    again(lab, old)  # the control: one's own word stands
    assert lab.engine.loads[-1].limits.memory == 1 << 60


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


def with_mounts(lab, run, *mounts, **changes):
    document = lab.store.runs.read(run.id)
    lab.store.runs.write(run.id, document | {"mounts": [*document["mounts"], *mounts]} | changes)


def test_a_named_volume_is_there_read_only(lab, tmp_path):
    old = lab.run(SAME)
    with_mounts(lab, old, {"source": "models", "target": "/models", "read_only": False, "kind": "volume"})
    gone = refused(lab, old)
    assert gone.code == "record.data-gone" and "models" in gone.what and "-v DIR:/models" in gone.hint
    (tmp_path / "mine").mkdir()
    again(lab, old, volumes=(("/models", tmp_path / "mine"),))
    volume = lab.store.volumes.make("models", {}, "")
    done = again(lab, old)
    mount = lab.engine.loads[-1].mounts[-1]
    assert (mount.source, mount.read_only) == (volume.data, True)
    assert done.new.mounts[-1].kind == "mount" and done.new.mounts[-1].source == str(volume.data)
    of_another_machine(lab, old)
    needed = refused(lab, old, data=lab.root / "data")
    assert needed.code == "record.mount-needed" and "the volume models" in needed.what


def test_what_was_thrown_away_is_new_and_memory_is_memory(lab):
    old = lab.run(SAME)
    with_mounts(lab, old, {"source": "", "target": "/spare", "read_only": False, "kind": "anonymous"},
                tmpfs=[{"target": "/t", "size": 1 << 60, "mode": 448, "read_only": False, "programs": True}])
    done = again(lab, old)
    load = lab.engine.loads[-1]
    spare = next(m for m in load.mounts if m.target == "/spare")
    assert not spare.read_only and not spare.source.exists()
    assert load.tmpfs == done.new.tmpfs and load.tmpfs[0].size == 1 << 60 and load.tmpfs[0].programs
    assert done.new.mounts[-1].kind == "anonymous"
    of_another_machine(lab, old)
    again(lab, old, data=lab.root / "data")
    assert lab.engine.loads[-1].tmpfs[0].size < 1 << 60 and "/spare" in [m.target for m in lab.engine.loads[-1].mounts]


def test_a_cache_is_there_for_ones_own_and_empty_for_a_strangers(lab, tmp_path):
    old = lab.run(SAME)
    with_mounts(lab, old, {"source": "bareboat-cache", "target": "/c", "read_only": False, "kind": "cache"})
    again(lab, old)  # gone: an empty one will do
    mount = lab.engine.loads[-1].mounts[-1]
    assert mount.target == "/c" and not mount.source.exists()
    lab.store.runs.write(old.id, lab.store.runs.read(old.id) | {"withheld": ["HF_TOKEN_PATH"]})
    again(lab, old)
    assert ("HF_TOKEN_PATH", "/home/user/.cache/huggingface/token") in lab.engine.loads[-1].env
    volume = lab.store.volumes.make("bareboat-cache", {}, "")
    done = again(lab, old)
    mount = lab.engine.loads[-1].mounts[-1]
    assert (mount.source, mount.read_only) == (volume.data, False) and done.new.mounts[-1].source == "bareboat-cache"
    of_another_machine(lab, old)
    again(lab, old, data=lab.root / "data")
    mount = lab.engine.loads[-1].mounts[-1]
    assert mount.target == "/c" and mount.source != volume.data and not mount.source.exists()


def with_gpus(lab, monkeypatch, tmp_path):
    """The lab on a machine with two GPUs by CDI and NVML."""
    gpu_kit.cdi_yaml(tmp_path / "cdi", gpu_kit.library(tmp_path / "libcuda.so.999.88", "libcuda.so.1"))
    gpu_kit.none_real(monkeypatch)
    nvml = gpu_kit.nvml(gpu_kit.TWO, tmp_path, monkeypatch)
    lab.work = replace(lab.work, settings=replace(lab.work.settings, gpu_cdi=str(tmp_path / "cdi"), gpu_nvml=nvml))


def test_a_repetition_gets_as_many_gpus_and_a_strangers_none_unasked(lab, monkeypatch, tmp_path):
    with_gpus(lab, monkeypatch, tmp_path)
    old = lab.run(SAME)
    lab.store.runs.write(old.id, lab.store.runs.read(old.id) | {"gpus": "device=7"})
    done = again(lab, old)
    assert done.new.gpus == "device=1" and lab.engine.loads[-1].driver.granted == "device=1"
    assert again(lab, old, gpus="none").new.gpus == ""
    of_another_machine(lab, old)
    given = {"data": lab.root / "data"}
    assert again(lab, old, **given).new.gpus == "" and any("--gpus 1" in line for line in lab.tell.lines)
    assert again(lab, old, gpus="all", **given).new.gpus == "device=0,1"

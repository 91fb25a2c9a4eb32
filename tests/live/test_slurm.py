"""Runs on a real Slurm cluster of two nodes: sent, watched, stopped, lost, preempted, resumed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import sandbox_kit as kit
from tests.slurm_kit import Yard, cut_off, deaf_to, ended_controller, gpus, slurm, stopped_controller, until

from bareboat.engine.slurm.allocation import CANCELLED
from bareboat.engine.slurm.slurm import ASK
from bareboat.errors import EngineError
from bareboat.training.values import Need, Training
from bareboat.values import replace
from bareboat.verbs import pyxis, queued
from bareboat.verbs.polling import refresh
from bareboat.verbs.pyxis import ByPyxis

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    made = Yard(tmp_path_factory.mktemp("slurm"))
    yield made
    made.close()


def test_runs_of_one_submission_are_an_array(place: Yard) -> None:
    runs = place.send("echo one; echo bad >&2; exit 3", "echo two; echo kept > /results/kept", name="ab")
    first, second = (place.over(run) for run in runs)
    assert (first.state, first.exit_code, first.attempt) == ("failed", 3, 1)
    assert (second.state, second.exit_code, second.attempt) == ("succeeded", 0, 1)
    assert first.where in ("n1", "n2")
    numbers = [place.job(run).partition("_") for run in runs]
    assert numbers[0][0] == numbers[1][0] and [n[2] for n in numbers] == ["0", "1"]
    assert sorted(place.said(runs[0]).split()) == ["bad", "one"]
    assert (place.results / "ab1/kept").read_text() == "kept\n"
    folder = place.queue.folder / "submissions" / first.submission
    assert folder.is_dir() and queued.remove("ab", place.queue, place.store) and queued.remove(
        "ab1", place.queue, place.store)
    assert not folder.exists() and (place.results / "ab1/kept").exists()


def test_what_slurm_refuses_has_left_nothing(place: Yard) -> None:
    before = [entry.run for entry in place.ledger.entries()]
    commented = set(slurm("squeue", "-h", "-o", "%k", "--states=all").splitlines())
    with pytest.raises(EngineError) as caught:
        place.send("true", "true", training=Training(options=(("partition", "nowhere"),)))
    assert caught.value.code == "slurm.refused" and "nvalid partition" in caught.value.what
    assert not set(slurm("squeue", "-h", "-o", "%k", "--states=PENDING,RUNNING").splitlines()) - commented
    assert [entry.run for entry in place.ledger.entries()] == before


def test_gpus_are_leased_once(place: Yard) -> None:
    script = "ls -d /dev/nvidia[0-9]*; while [ ! -e /results/go ]; do sleep 0.1; done"
    runs = place.send(*[script] * 4, training=gpus(1))
    entries = [place.runs(run) for run in runs]
    leased = [(entry.where, place.leased(run)) for entry, run in zip(entries, runs, strict=True)]
    assert len(set(leased)) == 4, leased
    for (_, gres), run in zip(leased, runs, strict=True):  # and what is inside is what was leased
        number = gres.removeprefix("gpu:1(IDX:").removesuffix(")")
        assert place.said(run).split() == [f"/dev/nvidia{number}"]
    for run in runs:
        (place.folder(run) / "go").touch()
    assert [place.over(run).state for run in runs] == ["succeeded"] * 4


def test_one_that_waits_and_one_that_runs_are_stopped(place: Yard) -> None:
    runs = place.send(*["trap 'echo warned; exit 0' TERM; echo begun; while :; do sleep 0.1; done"] * 5,
                      training=gpus(1))
    for run in runs[:4]:
        place.runs(run)
    entry = place.look(runs[4])
    assert entry.state == "pending" and "waits for nodes, GPUs or CPUs (Resources)" in entry.reason
    assert queued.stop(place.ledger.find(runs[4]).submission, place.queue)
    ended = [place.over(run) for run in runs]
    assert [entry.state for entry in ended] == ["cancelled"] * 5 and ended[4].attempt == 0
    assert {entry.reason for entry in ended} == {"stopped"}
    assert all("warned" in place.said(run) for run in runs[:4])


def test_what_the_administrator_cancels_says_so(place: Yard) -> None:
    running, waiting, other = place.send("echo begun; sleep 600", "echo never", "true", training=Training(parallel=1))
    place.runs(running)
    slurm("scancel", place.job(waiting))  # one of several that wait is in no list of Slurm's any more
    entry = place.over(waiting)
    assert (entry.state, entry.reason, entry.attempt) == ("cancelled", "cancelled in Slurm before it began", 0)
    slurm("scancel", place.job(running))
    entry = place.over(running)
    assert (entry.state, entry.reason) == ("cancelled", CANCELLED)
    assert place.over(other).state == "succeeded"


def test_what_is_withheld_is_in_nothing_of_slurms(place: Yard) -> None:
    """SECURITY row 22: state and spool of the cluster, its answers, the script, and every process but the program."""
    word = b"canary-77e0d1"
    run, = place.send("[ $API_KEY = canary''-77e0d1 ] && echo has it; while [ ! -e /results/go ]; do sleep 0.1; done",
                      env=(("API_KEY", word.decode()),))
    id = place.ledger.find(run).submission
    place.runs(run)
    assert place.said(run) == "has it\n"
    cluster = Path(os.environ["SLURM_CONF"]).parent
    own = {path for path in place.home.rglob("*") if path.is_file() and word in path.read_bytes()}
    assert own == {place.queue.folder / "withheld" / id}
    found = [path for path in cluster.rglob("*") if path.is_file() and path.stat().st_size < 1 << 24 and (
        word in path.read_bytes())]
    assert found == []
    for words in (("show", "job", "--details", place.job(run)), ("write", "batch_script", place.job(run), "-")):
        said = slurm("scontrol", *words)
        assert run in said or id in said, said  # it was looked at the right one
        assert word.decode() not in said
    programs = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            argv, environ = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        assert word not in argv
        if argv.startswith((b"/bin/sh\0-c\0[", b"sleep\0")):
            programs += word in environ
        else:
            assert word not in environ, argv
    assert programs > 0
    (place.folder(run) / "go").touch()
    assert place.over(run).state == "succeeded"
    assert not (place.queue.folder / "withheld" / id).exists()


def test_a_node_that_is_cut_off_gives_way(place: Yard) -> None:
    """Its run is started elsewhere while the first attempt still runs: they are never at it at once."""
    script = """
        exec 9>/results/alone; flock -n 9 || echo overlap >> /results/overlap
        echo "attempt on"; while [ ! -e /results/go ]; do sleep 0.1; done"""
    run, = place.send(script)
    node = place.runs(run).where
    with cut_off(node):
        place.until(run, lambda entry: entry.state == "pending" and "starts again in a moment" in entry.reason)
        slurm("scontrol", "update", f"JobId={place.job(run)}", "StartTime=now")
        entry = place.until(run, lambda entry: entry.attempt == 2 and entry.state == "running")
        assert entry.where != node
    until(lambda: place.said(run).count("attempt on") == 2)
    (place.folder(run) / "go").touch()
    assert place.over(run).state == "succeeded"
    assert not (place.folder(run) / "overlap").exists()


def test_what_its_processor_does_not_know_is_explained(place: Yard) -> None:
    run, = place.send("kill -ILL $$")
    entry = place.over(run)
    assert (entry.state, entry.exit_code) == ("failed", 132)
    assert entry.reason.startswith(f"illegal instruction: something was compiled for another processor than "
                                   f"{entry.where}'s"), entry.reason


def test_what_slurm_does_not_answer_is_no_state(place: Yard) -> None:
    run, = place.send("echo begun; while [ ! -e /results/go ]; do sleep 0.1; done")
    before = place.runs(run)
    place.slurm.patience = 1.0
    with stopped_controller():
        problems = refresh(place.queue)
        assert len(problems) == 1 and "did not answer within 1 s" in problems[0]
        assert place.ledger.find(run) == before
        with pytest.raises(EngineError) as caught:
            queued.stop(run, place.queue)
        assert caught.value.code == "slurm.unreachable" and place.ledger.find(run) == before
    place.slurm.patience = ASK
    (place.folder(run) / "go").touch()
    assert place.over(run).state == "succeeded"


def test_a_controller_that_begins_again_knows_its_jobs(place: Yard) -> None:
    training = Training(parallel=1)
    script = "trap 'exit 0' TERM; echo begun; while [ ! -e /results/go ]; do sleep 0.1; done"
    first, second = place.send(script, script, training=training)
    place.runs(first)
    before = place.job(first), place.ledger.find(first)
    place.slurm.patience = 1.0  # squeue itself tries for nine seconds
    with ended_controller():
        problems = refresh(place.queue)
        place.slurm.patience = ASK
        assert len(problems) == 1 and "2 of its runs are as they were last seen" in problems[0]
        assert (place.job(first), place.ledger.find(first)) == before
        (place.folder(first) / "go").touch()  # it ends while nobody takes note of it
        until(lambda: (note := place.note(first)) is not None and note.state == "succeeded")
    entry = place.over(first)
    assert (entry.state, entry.attempt) == ("succeeded", 1)
    assert place.look(second).state in ("pending", "running")  # nodes report to a new controller only after seconds
    assert queued.stop(second, place.queue) and place.ledger.find(second).state == "cancelled"


def test_a_submission_whose_answer_was_lost_is_found_again(place: Yard) -> None:
    start, place.slurm.start = place.slurm.start, deaf_to("sbatch")
    try:
        with pytest.raises(EngineError) as caught:
            place.send("echo once >> /results/count", name="lost")
        assert caught.value.code == "slurm.unreachable"
    finally:
        place.slurm.start = start
    run = place.ledger.find("lost").run
    assert place.over(run).state == "succeeded"
    assert (place.folder(run) / "count").read_text() == "once\n"


def test_a_number_that_is_another_jobs_by_now_is_not_believed(place: Yard) -> None:
    run, = place.send("true")
    place.over(run)
    stranger = slurm("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 60")
    job = f"{stranger}@{place.ledger.find(run).submission}/abc"
    assert place.slurm.poll([job]) == {}
    place.slurm.stop([job])
    assert slurm("squeue", "-h", "-j", stranger, "-o", "%T") in ("PENDING", "RUNNING")
    slurm("scancel", stranger)


ALL_REDUCE = """
import os, socket, struct, sys, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
mine = [float(rank + 1) * n for n in range(1000)]
def take(peer):
    data = b""
    while len(data) < 8000:
        data += peer.recv(65536)
    return struct.unpack("1000d", data)
if rank == 0:
    server = socket.create_server(place)
    peers = [server.accept()[0] for _ in range(size - 1)]
    for peer in peers:
        mine = [a + b for a, b in zip(mine, take(peer))]
    for peer in peers:
        peer.sendall(struct.pack("1000d", *mine))
else:
    end = time.monotonic() + 60
    while True:
        try:
            peer = socket.create_connection(place)
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
    peer.sendall(struct.pack("1000d", *mine))
    mine = take(peer)
print(rank, size, sum(mine), os.environ["SLURM_NODEID"], os.environ.get("API_KEY"), flush=True)
open(f"/results/sum-{rank}", "w").write(repr(sum(mine)))
sys.exit(int(os.environ.get("FAIL", "-1") == str(rank)) * 7)
"""
TWO = Training(Need(nodes=2))


def test_an_all_reduce_of_two_nodes(place: Yard) -> None:
    run, = place.send_argv(("python3", "-c", ALL_REDUCE), training=TWO, env=(("API_KEY", "for-both"),))
    assert place.over(run).state == "succeeded", place.told(run)
    expected = repr(sum(3.0 * n for n in range(1000)))
    assert [(place.folder(run) / f"sum-{rank}").read_text() for rank in (0, 1)] == [expected] * 2
    assert place.said(run).startswith("0 2 ")
    other = (place.store.runs.path(run) / "node-1/log").read_text()
    assert other.startswith("1 2 ") and [text.split()[4] for text in (place.said(run), other)] == ["for-both"] * 2


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_failure_on_any_node_is_the_runs(place: Yard, rank: str) -> None:
    run, = place.send_argv(("python3", "-c", ALL_REDUCE), training=TWO, env=(("FAIL", rank),))
    entry = place.over(run)
    assert (entry.state, entry.exit_code, entry.attempt) == ("failed", 7, 1), place.told(run)


def test_several_nodes_are_stopped_together(place: Yard) -> None:
    run, = place.send("trap 'echo warned; exit 0' USR1; echo begun; while :; do sleep 0.1; done", training=TWO)
    place.runs(run)
    other = place.store.runs.path(run) / "node-1/log"
    until(lambda: other.exists() and "begun" in other.read_text())
    assert queued.stop(run, place.queue)
    assert place.over(run).state == "cancelled"
    assert "warned" in place.said(run)
    assert not slurm("squeue", "--steps", "-h", "-j", place.job(run), check=False)


def test_an_image_is_copied_to_a_nodes_own_disk_once(place: Yard, tmp_path: Path) -> None:
    """Three jobs that begin at once, one of two nodes among them; the two nodes' own disk is the same here."""
    tmp_path.chmod(0o1777)
    tree, environ = place.tree, place.slurm.environ
    place.tree = place.store.make_tree("layer-of-the-suite", kit.fill_skeleton)
    place.slurm.environ = {**environ, "BAREBOAT_CLUSTER_CACHE": str(tmp_path)}
    try:
        script = "grep -c . /etc/passwd; echo kept > /results/of-$SLURM_PROCID"
        runs = [*place.send(script, script), *place.send(script, training=TWO)]
        assert [place.over(run).state for run in runs] == ["succeeded"] * 3, place.told(runs[0])
    finally:
        place.tree, place.slurm.environ = tree, environ
    told = "".join(place.told(run) for run in (runs[0], runs[2]))
    assert told.count("copied 1 layers of the image") == 1, told
    assert "not used" not in told and "shared store" not in told
    assert (tmp_path / f"bareboat-{os.geteuid()}/trees/layer-of-the-suite/root/etc/passwd").is_file()
    assert {file.name for file in place.folder(runs[2]).glob("of-*")} == {"of-0", "of-1"}


def test_a_container_of_pyxis_keeps_the_contract(place: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a srun that stands in for one with Pyxis: the step is a real one's, the container is none."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").symlink_to(Path(__file__).parents[1] / "slurm_pyxis_stand_in.sh")
    monkeypatch.setattr(pyxis, "missing", lambda: "")
    monkeypatch.setattr(pyxis, "_pushed", lambda *_: "registry.test#lab/runs:env-1")
    monkeypatch.setitem(place.slurm.environ, "PATH", f"{tmp_path}/bin:{os.environ['PATH']}")  # type: ignore[arg-type]
    monkeypatch.setitem(place.slurm.environ, "LC_REAL", str(shutil.which("srun")))  # type: ignore[arg-type]
    monkeypatch.setitem(place.slurm.environ, "LC_WORDS", str(tmp_path / "words"))  # type: ignore[arg-type]
    monkeypatch.setattr(place, "queue", replace(place.queue, scheduler=lambda name: ByPyxis(place.slurm, place.work)))
    monkeypatch.setattr(place, "more", {"uid": 0, "gid": 0})
    training = Training(options=(("pyxis", "registry.test/lab/runs"),))
    ended, stopped = place.send("echo out; echo err >&2; exit 7", "trap 'echo warned; exit 0' USR1; echo begun; "
                                "while :; do sleep 0.05; done", training=training)
    entry = place.over(ended)
    assert (entry.state, entry.exit_code) == ("failed", 7), place.told(ended)
    assert {"err", "out"} <= set(place.said(ended).splitlines())  # and what srun says of an exit code
    assert "--container-image=registry.test#lab/runs:env-1" in (tmp_path / "words").read_text().splitlines()
    place.runs(stopped)
    assert queued.stop(stopped, place.queue) and place.ledger.find(stopped).state == "cancelled"
    assert "warned" in place.said(stopped)


def test_nodes_that_are_drained_and_reserved_for_maintenance(place: Yard) -> None:
    slurm("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=test")
    try:
        run, = place.send("true")
        entry = place.until(run, lambda entry: entry.reason)
        assert entry.state == "pending" and "down, drained or reserved (ReqNodeNotAvail" in entry.reason
    finally:
        slurm("scontrol", "update", "nodename=n1,n2", "state=resume")
    assert place.over(run).state == "succeeded"
    slurm("scontrol", "create", "reservation", "ReservationName=bareboat-test", "StartTime=now", "Duration=10",
          "Flags=MAINT,IGNORE_JOBS", "Nodes=ALL", "Users=daemon")
    try:
        run, = place.send("true")
        entry = place.until(run, lambda entry: entry.reason)
        assert entry.state == "pending" and "aintenance" in entry.reason
    finally:
        slurm("scontrol", "delete", "ReservationName=bareboat-test")
    assert place.over(run).state == "succeeded"

"""The first process of a pod, run by the shells that images have: attempts, resume, interruption, exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bareboat.engine.kubernetes import manifest, points
from bareboat.store.checkpoints import resume_from
from bareboat.training.checkpoints import Found, newest, superfluous, temporary
from bareboat.training.values import Point

SHELLS = [shell for shell in (("dash",), ("bash",), ("busybox", "sh")) if shutil.which(shell[0])]
SCRIPT = Path(manifest.__file__).with_name("start.sh")
# In place of sleep, so that the script's seconds are tenths; busybox has one of its own, and real seconds.
QUICK = "case $1 in 0.*) exec SLEEP \"$1\" ;; *) exec SLEEP 0.1 ;; esac\n"
SHOW = 'echo "$BAREBOAT_ATTEMPT $BAREBOAT_FENCE resume=$BAREBOAT_RESUME deadline=${BAREBOAT_DEADLINE:+set}"'


class Pod:
    """A pod without a cluster."""

    def __init__(self, folder: Path, shell: tuple[str, ...]) -> None:
        self.folder, self.shell, self.script = folder, shell, SCRIPT
        self.results = folder / "results"
        self.results.mkdir()
        program = shutil.which("sleep")
        assert program is not None
        (folder / "bin").mkdir()
        (folder / "bin/sleep").write_text(f"#!/bin/sh\n{QUICK.replace('SLEEP', program)}")
        (folder / "bin/sleep").chmod(0o755)
        self.path = f"{folder / 'bin'}:{os.environ['PATH']}"

    def start(self, *argv: str, **said: object) -> subprocess.Popen[str]:
        env = {"PATH": self.path, "BAREBOAT_RUN": "aa01", "BAREBOAT_RESULTS": str(self.results),
               "BAREBOAT_TOLD": str(self.folder / "told"), **{f"BAREBOAT_{k}": str(v) for k, v in said.items()}}
        if "INDEX" in said:
            env["JOB_COMPLETION_INDEX"] = str(said["INDEX"])
        return subprocess.Popen([*self.shell, str(self.script), *argv], env=env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def run(self, *argv: str, **said: object) -> tuple[int, str]:
        started = self.start(*argv, **said)
        out, err = started.communicate(timeout=60)
        return started.returncode, out + err

    @property
    def told(self) -> str:
        return (self.folder / "told").read_text()


@pytest.fixture(params=SHELLS, ids=[shell[0] for shell in SHELLS])
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Pod:
    return Pod(tmp_path, request.param)


def until(true: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def test_attempts_are_counted_and_none_has_the_number_of_another(pod: Pod) -> None:
    found = [pod.run("sh", "-c", SHOW) for _ in range(3)]
    assert [line.partition(" resume")[0] for _, line in found] == ["1 aa01.1", "2 aa01.2", "3 aa01.3"]
    together = [pod.start("sh", "-c", SHOW) for _ in range(4)]
    numbers = {one.communicate(timeout=60)[0].split()[0] for one in together}
    assert len(numbers) == 4 or shutil.which("flock") is None  # one after the other, each with a number of its own


def test_the_programs_code_is_the_pods(pod: Pod) -> None:
    assert pod.run("sh", "-c", "exit 7")[0] == 7 and pod.told == "attempt 1: exit 7"
    assert pod.run("true")[0] == 0
    code, text = pod.run("/no/such/program")
    assert code == manifest.FAILED and "/no/such/program: not found" in text
    assert pod.run("sh", "-c", "kill -9 $$")[0] == 137


def test_a_code_that_would_be_taken_for_ours_is_not(pod: Pod) -> None:
    code, text = pod.run("sh", "-c", "exit 122")
    assert (code, text) == (1, "") and "122" in pod.told


def test_only_a_complete_checkpoint_is_gone_on_from(pod: Pod) -> None:
    kept = pod.results / "checkpoints"
    kept.mkdir()
    for age, name in enumerate(("step-9", "step-10", "step-11.tmp", "step-12.ckpt.part")):
        (kept / name).mkdir()
        (kept / name / ".complete").touch()
        os.utime(kept / name, (1000 + age, 1000 + age))
    (kept / "empty").mkdir()
    (kept / "none.ckpt").touch()
    assert f"resume={kept}/step-10 " in pod.run("sh", "-c", SHOW)[1]
    (kept / "step-9" / "DONE").touch()
    assert f"resume={kept}/step-9 " in pod.run("sh", "-c", SHOW, COMPLETE="DONE")[1]


NAMES = ("step-9", "step-10", "epoch=3-step=1200.ckpt", "step=100-epoch=3.ckpt", "checkpoint-500", "model_0007.pt",
         "Iter 12.h5", "last.ckpt", "best", "a.tmp", "a.tmp-1", "partial-3", "x.part", "y.part.ckpt", "tmp", "tmpfile1",
         "#auto", "old~", "step.tmp.7", "w.lock", "12.50.pt", "v2.0-step_08", "orbax.orbax-checkpoint-tmp-9", "9a",
         "ü-3")


SOME = [NAMES, NAMES[:7], NAMES[2:7], NAMES[9:], ("model_0008.pt", "model_0009.pt"),
        ("epoch 2", "epochs=10", "Epoch__3.keras"), ("iteration_9", "iters-10", "STEP 08"),
        ("weights.03-0.25.h5", "weights.02-0.30.h5"), ("7", "12.5", "v2.x-1"), ("a1.b2", "a3")]


@pytest.mark.parametrize("some", SOME)
def test_the_newest_is_the_one_that_bareboat_finds_elsewhere(pod: Pod, some: tuple[str, ...]) -> None:
    kept = pod.results / "checkpoints"
    kept.mkdir()
    for age, name in enumerate(some):
        (kept / name).write_text("x")
        os.utime(kept / name, (1000 + age * 7 % 40, 1000 + age * 7 % 40))
    found = [Found(name, (kept / name).stat().st_mtime_ns, not temporary(name)) for name in some]
    best = newest(found)
    assert best is not None and f"resume={kept}/{best.name} " in pod.run("sh", "-c", SHOW)[1]


@pytest.mark.parametrize("some", SOME)
def test_the_newest_are_kept_that_bareboat_keeps_elsewhere(pod: Pod, some: tuple[str, ...]) -> None:
    kept = pod.results / "checkpoints"
    kept.mkdir()
    for keep in (3, 2, 1):
        for age, name in enumerate(some):
            (kept / name).write_text("x")
            os.utime(kept / name, (1000 + age * 7 % 40, 1000 + age * 7 % 40))
        found = [Found(name, (kept / name).stat().st_mtime_ns, not temporary(name)) for name in some]
        gone = {entry.name for entry in superfluous(found, keep)}
        code, text = pod.run("true", KEEP=keep)
        assert code == 0 and {path.name for path in kept.iterdir()} == set(some) - gone
        assert text.count("removed the checkpoint") == len(gone)


def test_a_program_that_fails_leaves_one_more_and_what_is_no_checkpoint_stays(pod: Pod) -> None:
    kept = pod.results / "checkpoints"
    kept.mkdir()
    (pod.folder / "outside").mkdir()
    (pod.folder / "outside" / "step-1").write_text("not ours")
    for step in (1, 2, 3, 4):
        (kept / f"step-{step}").mkdir()
        (kept / f"step-{step}" / "trainer_state.json").write_text("{}")
    (kept / "step-5").mkdir()
    (kept / "step-5" / "trainer_state.json").touch()  # its writer was killed
    (kept / "step-6").symlink_to(pod.folder / "outside")
    assert pod.run("sh", "-c", "exit 1", KEEP=1)[0] == 1
    assert sorted(path.name for path in kept.iterdir()) == ["step-3", "step-4", "step-5", "step-6"]
    assert f"resume={kept}/step-4 " in pod.run("sh", "-c", SHOW, KEEP=1)[1]
    assert sorted(path.name for path in kept.iterdir()) == ["step-4", "step-5", "step-6"]
    assert (pod.folder / "outside" / "step-1").exists()


def test_of_several_nodes_the_first_alone_removes(pod: Pod) -> None:
    kept = pod.results / "checkpoints"
    kept.mkdir()
    for step in (1, 2):
        (kept / f"{step}.pt").write_text("x")
    assert pod.run("true", KEEP=1, NODES=2, INDEX=1)[0] == 0 and len(list(kept.iterdir())) == 2
    assert pod.run("true", KEEP=1, NODES=2, INDEX=0)[0] == 0 and [p.name for p in kept.iterdir()] == ["2.pt"]


def test_directories_of_frameworks_count_as_elsewhere(pod: Pod) -> None:
    kept = pod.results / "checkpoints"
    kept.mkdir()
    for name in ("checkpoint-10", "checkpoint-20", "30", "40", "global_step50"):
        (kept / name).mkdir()
    for name in ("checkpoint-10", "checkpoint-20"):
        (kept / name / "trainer_state.json").write_text("{}")
    (kept / "checkpoint-20" / "checkpoint-is-incomplete.txt").write_text("in progress")
    for name, when in (("30", "7"), ("40", "null")):
        (kept / name / "_CHECKPOINT_METADATA").write_text(f'{{"init": 1, "commit_timestamp_nsecs": {when}, "x": {{}}}}')
    assert f"resume={kept}/30 " in pod.run("sh", "-c", SHOW)[1] and resume_from(kept) == "30"
    (kept / "latest").write_text("global_step50")
    os.utime(kept / "global_step50", (4e9, 4e9))
    os.utime(kept / "30", (3e9, 3e9))
    assert f"resume={kept}/global_step50 " in pod.run("sh", "-c", SHOW)[1] and resume_from(kept) == "global_step50"
    (kept / "latest").write_text("global_step60")
    os.utime(kept / "latest", (1, 1))
    assert f"resume={kept}/30 " in pod.run("sh", "-c", SHOW)[1] and resume_from(kept) == "30"


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(pod: Pod) -> None:
    assert "resume= deadline=\n" in pod.run("sh", "-c", SHOW)[1]


CATCH = """
import os, signal, sys, time
def warned(*_):
    print("warned", flush=True)
    os._exit({code})
signal.signal(signal.SIGUSR1, warned)
open(sys.argv[1], "w").close()
time.sleep(600)
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_pod_that_must_go_warns_its_program_and_asks_for_another(pod: Pod, code: int) -> None:
    ready = pod.folder / "ready"
    started = pod.start(sys.executable, "-c", CATCH.format(code=code), str(ready), GRACE=600)
    until(ready.exists)
    started.send_signal(signal.SIGTERM)
    out, _ = started.communicate(timeout=60)
    assert (started.returncode, out) == (manifest.AGAIN, "warned\n") and pod.told == "attempt 1: interrupted"


def test_a_program_that_catches_nothing_is_ended_at_once_and_a_deaf_one_is_killed(pod: Pod) -> None:
    ready = pod.folder / "ready"
    for deaf in ("", "trap '' TERM; "):
        ready.unlink(missing_ok=True)
        started = pod.start("sh", "-c", f"{deaf}touch {ready}; while :; do sleep 0.1; done", GRACE=600, KILL=1)
        until(ready.exists)
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=60)
        assert started.returncode == manifest.AGAIN


@pytest.mark.parametrize(("asked", "code"), [({}, manifest.LIMIT), ({"AT_LIMIT": 1}, manifest.AGAIN)])
def test_time_that_is_over(pod: Pod, asked: dict[str, object], code: int) -> None:
    seconds = 1 if pod.shell[0] == "busybox" else 60
    ended, text = pod.run("sh", "-c", f"{SHOW}; while :; do sleep 0.1; done", SECONDS=seconds, **asked)
    assert ended == code and "deadline=set" in text and pod.told == "attempt 1: its time was over"


def test_results_that_cannot_be_written_are_told_and_not_tried_again(pod: Pod) -> None:
    (pod.results / ".bareboat").write_text("in the way")
    code, text = pod.run("true")
    assert code == manifest.FAILED and "cannot be written" in text


def test_a_run_of_many_finds_its_own_words(pod: Pod) -> None:
    odd = "it's $(x) \"5\" \\ \n*\tü"
    many = tuple(Point(f"run{n}", index=n, argv=("printf", "%s|%s", str(n), odd), env=(("LR", odd),)) for n in range(5))
    each, files = points.parts(many)
    here = pod.folder / "start"
    here.mkdir()
    pod.script = here / "start"
    shutil.copy(SCRIPT, pod.script)
    for number, part in enumerate(files):
        (here / f"points-{number}").write_text(part)
    (here / "stopped").write_text(" 1 3\n")
    assert pod.run(POINTS=each, INDEX=4) == (0, f"4|{odd}")
    assert pod.run(POINTS=each, INDEX=3)[0] == manifest.TOLD
    assert pod.run(POINTS=each, INDEX=5)[0] == manifest.FAILED
    (here / "points-0").write_text(points.parts((Point("runx", argv=("sh", "-c", 'printf "%s" "$BAREBOAT_RUN$LR"'),
                                                       env=(("LR", odd),)),))[1][0])
    (here / "stopped").write_text("")
    assert pod.run(POINTS=each, INDEX=0)[1].replace("attempt", "") == f"runx{odd}"


def test_an_attempt_on_several_nodes_is_over_for_all_when_it_is_over_for_one(pod: Pod) -> None:
    ready = pod.folder / "ready"
    waiting = pod.start("sh", "-c", f"touch {ready}; while :; do sleep 0.1; done", NODES=2, INDEX=0, KILL=1)
    until(ready.exists)
    code, text = pod.run("sh", "-c", 'echo "rank $NODE_RANK of attempt $BAREBOAT_ATTEMPT"; exit 5', NODES=2, INDEX=1)
    assert (code, text) == (5, "rank 1 of attempt 1\n")
    waiting.communicate(timeout=60)
    assert waiting.returncode == manifest.AGAIN  # the failure counts once
    assert pod.run("sh", "-c", 'echo "$BAREBOAT_ATTEMPT"', NODES=2, INDEX=0) == (0, "2\n")


def test_two_attempts_at_once_are_seen_where_the_volume_has_locks(pod: Pod) -> None:
    if shutil.which("flock") is None:
        pytest.skip("needs flock")
    ready = pod.folder / "ready"
    first = pod.start("sh", "-c", f"touch {ready}; while :; do sleep 0.1; done", KILL=1)
    until(ready.exists)
    code, text = pod.run("echo", "never", GRACE=1)
    assert code == manifest.AGAIN and "never" not in text
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)

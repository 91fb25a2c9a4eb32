"""What sbatch is given, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.engine.scheduler import Submission
from bareboat.engine.slurm.script import Part, followers, job_name, parts_of, script, sentinel
from bareboat.engine.slurm.slurm import Slurm
from bareboat.errors import UsageError
from bareboat.training.values import Interrupt, Need, Point, Training
from bareboat.values import replace
from bareboat.workload import Rootfs, Workload

NODE = ("/opt/my python/bin/python", "-m", "bareboat.entry.node", "/home/u/b b/submissions/abc")
HOSTILE = ("python", "a b", "it's", '"$(touch /tmp/x)"', "one\ntwo", "ä€😀", "`id`", "\\", "#SBATCH --uid=0")


def submission(training: Training = Training(), runs: int = 1, **more: object) -> Submission:  # noqa: B008
    points = tuple(Point(f"run{n}", argv=HOSTILE, index=n) for n in range(runs))
    load = Workload(Rootfs(()), HOSTILE, (("KEY", "a\nb"),), "/")
    return Submission("abc", training, load, points, Path("/home/u/b b/submissions/abc"), node=NODE,
                      **more)  # type: ignore[arg-type]


def text(what: Submission, part: Part | None = None) -> str:
    return script(what, part or Part(0, tuple(point.run for point in what.points)))


def test_one_run() -> None:
    training = Training(Need(gpus=2, cpus=3.5, memory=(8 << 30) + 1, seconds=8 * 3600.0), options=(
        ("partition", "batch"), ("account", "lab"), ("constraint", "a100&nvlink")))
    assert text(submission(training, name="unet")) == """\
#!/bin/sh
# bareboat bareboat:abc: 1 run
#SBATCH --job-name=unet
#SBATCH --comment=bareboat:abc:0
#SBATCH --output='/home/u/b b/submissions/abc/part-0.out'
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8193M
#SBATCH --gres=gpu:2
#SBATCH --time=480
#SBATCH --signal=B:USR1@75
#SBATCH --partition=batch
#SBATCH --account=lab
#SBATCH --constraint=a100&nvlink
run=run0
[ -x '/opt/my python/bin/python' ] || { echo "bareboat: $(hostname) has no "'/opt/my python/bin/python' >&2; exit 126; }
exec '/opt/my python/bin/python' -m bareboat.entry.node '/home/u/b b/submissions/abc' "$run"
"""


def test_an_array_of_several_nodes_each() -> None:
    assert text(submission(Training(Need(nodes=2), parallel=4), 5), Part(1, ("r0", "r1", "r2"), after="77",
                                                                          succeeded=("5", "6_1"))) == """\
#!/bin/sh
# bareboat bareboat:abc: 3 runs
#SBATCH --job-name=bareboat-abc
#SBATCH --comment=bareboat:abc:1
#SBATCH --output='/home/u/b b/submissions/abc/part-1-%a.out'
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:USR1@75
#SBATCH --array=0-2%4
#SBATCH --dependency=afterok:5,afterok:6_1,afterany:77
#SBATCH --kill-on-invalid-dep=yes
run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" '/home/u/b b/submissions/abc/part-1.runs')
[ -x '/opt/my python/bin/python' ] || { echo "bareboat: $(hostname) has no "'/opt/my python/bin/python' >&2; exit 126; }
exec '/opt/my python/bin/python' -m bareboat.entry.node '/home/u/b b/submissions/abc' "$run"
"""


def test_nothing_of_argv_and_variables_is_in_it() -> None:
    plain = replace(submission(), workload=Workload(Rootfs(()), ("true",), (), "/"), points=(Point("run0"),))
    assert text(submission()) == text(plain)


def test_percent_of_a_folder_is_no_pattern() -> None:
    what = replace(submission(), folder=Path("/home/50%/abc"))
    assert "#SBATCH --output=/home/50%%/abc/part-0.out\n" in text(what)


@pytest.mark.parametrize(("training", "code"), [
    (Training(Need(gpus=0.5)), "slurm.fraction"),
    (Training(options=(("partition", "a\n#SBATCH --uid=0"),)), "slurm.option"),
    (Training(options=(("qos", "$(id)"),)), "slurm.option"),
    (Training(options=(("account", ""),)), "slurm.option"),
])
def test_refused(training: Training, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        text(submission(training))
    assert caught.value.code == code


def test_a_folder_that_sbatch_could_not_be_told_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        text(replace(submission(), folder=Path("/home/o'neill/abc")))
    assert caught.value.code == "slurm.option"


@pytest.mark.parametrize(("name", "shown"), [
    ("unet", "unet"), ("a b\n'$", "a_b___"), ("--uid=0", "uid_0"), ("ä€", "__"), ("", "bareboat-abc")])
def test_names(name: str, shown: str) -> None:
    assert job_name(submission(name=name)) == shown


@pytest.mark.parametrize(("seconds", "grace", "before"), [(0, 60, 75), (3600, 60, 75), (60, 60, 30), (0, 1e9, 65535)])
def test_the_warning_fits_in(seconds: float, grace: float, before: int) -> None:
    training = Training(Need(seconds=seconds), Interrupt(grace=grace))
    assert f"#SBATCH --signal=B:USR1@{before}\n" in text(submission(training))


def test_more_runs_than_an_array_has() -> None:
    runs = tuple(f"r{n}" for n in range(2500))
    parts = parts_of(runs, 1001)
    assert [len(part.runs) for part in parts] == [1001, 1001, 498]
    assert [part.number for part in parts] == [0, 1, 2] and sum((p.runs for p in parts), ()) == runs


def test_gres_of_the_users_own_goes_before_ours() -> None:
    said = text(submission(Training(Need(gpus=1), options=(("gres", "gpu:a100:1"),))))
    assert "--gres=gpu:a100:1\n" in said and "--gres=gpu:1\n" not in said


def test_steps() -> None:
    assert " ".join(sentinel()) == (
        "srun --overlap --quiet --nodes=1 --ntasks=1 --cpus-per-task=1 --gres=none --mem=0 sleep infinity")
    assert " ".join(followers(3, 1.5, ("python", "-m", "x"))) == (
        "srun --overlap --quiet --relative=1 --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=2 "
        "--kill-on-bad-exit=0 python -m x")


@pytest.mark.parametrize("words", ["--comment=x", "--array=0-5", "--wrap=true", "/tmp/other.sh", "'--exclude", "-o /x"])
def test_words_for_sbatch_that_would_break_it(words: str, tmp_path: Path) -> None:
    what = replace(submission(Training(options=(("sbatch", words),))), folder=tmp_path / "abc")
    with pytest.raises(UsageError) as caught:
        Slurm(tmp_path, {}, lambda run: tmp_path).explain(what)
    assert caught.value.code == "slurm.option"


def test_words_for_sbatch(tmp_path: Path) -> None:
    how = Training(options=(("sbatch", "--exclude=n7 '--mail-user=a b'"),))
    what = replace(submission(how), folder=tmp_path / "abc")
    said = Slurm(tmp_path, {}, lambda run: tmp_path).explain(what)
    assert said.startswith(f"sbatch --parsable --exclude=n7 '--mail-user=a b' {tmp_path}/abc/part-0.sh\n#!/bin/sh\n")

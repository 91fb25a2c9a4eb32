"""The driver over commands that are made up: what is not answered, refused, or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bareboat.engine.scheduler import Submission
from bareboat.engine.slurm import answers, notes
from bareboat.engine.slurm.slurm import Slurm
from bareboat.errors import EngineError
from bareboat.host.process import Command, Completed, ProcessError
from bareboat.training.values import Point, Training
from bareboat.workload import Rootfs, Workload

S = answers.SEPARATOR
GONE = ProcessError("process.start", "cannot be started: No such file or directory", where="sbatch")
LATE = ProcessError("process.timeout", "took longer than 20 s and was killed", where="sbatch")


class Cluster:
    """Says what it is told to by program, and remembers what it was asked."""

    def __init__(self, **says: Completed | ProcessError | Callable[[Command], Completed]) -> None:
        self.says, self.asked = says, []  # type: ignore[var-annotated]

    def __call__(self, command: Command) -> Completed:
        self.asked.append(command)
        said = self.says.get(command.argv[0], Completed(0, b"", b""))
        if isinstance(said, ProcessError):
            raise said
        return said if isinstance(said, Completed) else said(command)

    def argvs(self, program: str) -> list[tuple[str, ...]]:
        return [command.argv for command in self.asked if command.argv[0] == program]


def said(text: str, code: int = 0) -> Completed:
    return Completed(code, text.encode(), b"" if code == 0 else text.encode())


def row(number: str, state: str, comment: str) -> str:
    return S.join((number, state, "None", "n1", "N/A", comment)) + "\n"


def sent(tmp_path: Path, runs: int = 1, training: Training = Training()) -> Submission:  # noqa: B008
    (tmp_path / "abc").mkdir(exist_ok=True)
    points = tuple(Point(f"run{n}", index=n) for n in range(runs))
    return Submission("abc", training, Workload(Rootfs(()), ("true",), (), "/"), points, tmp_path / "abc",
                      node=("/bin/python", "-m", "x"))


def slurm(tmp_path: Path, cluster: Cluster, environ: dict[str, str] | None = None) -> Slurm:
    return Slurm(tmp_path, environ or {}, lambda run: tmp_path / run, cluster)


def test_jobs_of_an_array_that_is_split(tmp_path: Path) -> None:
    numbers = iter(("7", "8", "9"))
    cluster = Cluster(sbatch=lambda _: said(next(numbers)), scontrol=said("MaxArraySize = 2\n"))
    jobs = slurm(tmp_path, cluster).submit(sent(tmp_path, 5, Training(parallel=1)))
    assert jobs == ("7_0@abc/run0", "7_1@abc/run1", "8_0@abc/run2", "8_1@abc/run3", "9@abc/run4")
    assert "--dependency=afterany:7\n" in (tmp_path / "abc/part-1.sh").read_text()  # never more at once than was said
    assert (tmp_path / "abc/part-1.runs").read_text() == "run2\nrun3\n"


@pytest.mark.parametrize(("says", "code"), [
    ({"sbatch": GONE}, "slurm.absent"), ({"sbatch": LATE, "squeue": LATE}, "slurm.unreachable"),
    ({"sbatch": said("cannot contact", 1), "squeue": said("cannot contact", 1)}, "slurm.unreachable"),
    ({"sbatch": said("sbatch: error: Batch job submission failed: Invalid qos specification", 1)}, "slurm.refused"),
])
def test_what_hinders_a_submission(tmp_path: Path, says: dict[str, object], code: str) -> None:
    with pytest.raises(EngineError) as caught:
        slurm(tmp_path, Cluster(**says)).submit(sent(tmp_path))  # type: ignore[arg-type]
    assert caught.value.code == code
    assert (tmp_path / "abc/refused").exists() == (code == "slurm.refused")
    assert "\n" not in caught.value.what


def test_an_answer_that_was_lost(tmp_path: Path) -> None:
    cluster = Cluster(sbatch=LATE, squeue=said(row("5", "PENDING", "bareboat:xyz:0") + row("6", "RUNNING",
                                                                                          "bareboat:abc:0")))
    assert slurm(tmp_path, cluster).submit(sent(tmp_path)) == ("6@abc/run0",)
    again = Cluster(squeue=cluster.says["squeue"])
    assert slurm(tmp_path, again).submit(sent(tmp_path)) == ("6@abc/run0",)
    assert again.argvs("sbatch") == []


def test_all_or_none(tmp_path: Path) -> None:
    answers_of = iter((said("7"), said("QOS limit", 1)))
    cluster = Cluster(sbatch=lambda _: next(answers_of), scontrol=said("MaxArraySize = 2\n"))
    with pytest.raises(EngineError) as caught:
        slurm(tmp_path, cluster).submit(sent(tmp_path, 4))
    assert caught.value.code == "slurm.refused" and cluster.argvs("scancel") == [("scancel", "--quiet", "7")]


def test_one_question_for_all(tmp_path: Path) -> None:
    cluster = Cluster(squeue=said("".join(row(f"7_{n}", "RUNNING", "bareboat:abc:0") for n in range(500))))
    seen = slurm(tmp_path, cluster).poll([f"7_{n}@abc/run{n}" for n in range(500)])
    assert len(seen) == 500 and len(cluster.asked) == 1


def test_a_job_that_slurm_has_forgotten(tmp_path: Path) -> None:
    sent(tmp_path)
    notes.write(tmp_path / "abc", notes.Note("run0", "succeeded", "", 2, exit_code=0))
    seen = slurm(tmp_path, Cluster()).poll(["7@abc/run0", "8@abc/run1"])
    assert list(seen) == ["7@abc/run0"] and (seen["7@abc/run0"].state, seen["7@abc/run0"].attempt) == ("succeeded", 2)


def test_a_note_that_is_damaged_is_none(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for text in ("", "{", "[]", '{"run": "r", "attempt": "x"}', '{"run": "other", "state": "succeeded"}'):
        notes.path(tmp_path, "r").write_text(text)
        assert notes.read(tmp_path, "r") is None


def test_what_of_the_callers_variables_goes_along(tmp_path: Path) -> None:
    environ = {"PATH": "/bin", "HOME": "/h", "AWS_SECRET_ACCESS_KEY": "x", "SBATCH_PARTITION": "a", "SBATCH_QOS": "b",
               "SBATCH_ARRAY_INX": "0-9", "BAREBOAT_HOME": "/s", "SLURM_JOB_ID": "1"}
    cluster = Cluster(sbatch=said("7"))
    slurm(tmp_path, cluster, environ).submit(sent(tmp_path, training=Training(options=(("qos", "c"),))))
    assert cluster.asked[0].env == {"PATH": "/bin", "HOME": "/h", "SBATCH_PARTITION": "a", "BAREBOAT_HOME": "/s"}


@pytest.mark.parametrize(("id", "file", "text", "expected"), [
    ("7", "part-0.out", "warning: old\nbareboat: n1 has no /opt/python\n", ": bareboat: n1 has no /opt/python"),
    ("7_0", "part-0-0.out", "/opt/python: cannot execute binary file: Exec format error", "Exec format error"),
    ("7", "part-0.out", "", ": it wrote nothing"),
    ("7", "", "", "part-0.out: does n1 see this folder?"),
])
def test_a_job_that_never_came_to_an_attempt_says_what_its_node_said(tmp_path: Path, id: str, file: str, text: str,
                                                                     expected: str) -> None:
    sent(tmp_path)
    if file:
        (tmp_path / "abc" / file).write_text(text)
    seen = slurm(tmp_path, Cluster(squeue=said(row(id, "FAILED", "bareboat:abc:0")))).poll([f"{id}@abc/run0"])
    found = seen[f"{id}@abc/run0"]
    assert found.state == "failed" and found.reason.startswith("bareboat could not be started there")
    assert found.reason.endswith(expected)


def test_what_waits_is_cancelled_by_its_number_alone(tmp_path: Path) -> None:
    """With --state, scancel takes the whole of an array of which no element has begun."""
    sent(tmp_path, 3)
    cluster = Cluster(squeue=said("".join(row(f"7_{n}", state, "bareboat:abc:0") for n, state in enumerate(
        ("PENDING", "RUNNING", "PENDING")))))
    slurm(tmp_path, cluster).stop(["7_0@abc/run0", "7_1@abc/run1"])
    assert cluster.argvs("scancel") == [
        ("scancel", "--quiet", "7_0"), ("scancel", "--quiet", "--state=RUNNING", "--signal=TERM", "7_1")]
    assert notes.is_marked(tmp_path / "abc", "run0") and not notes.is_marked(tmp_path / "abc", "run2")


def test_an_element_that_others_of_its_array_are_known_without_is_over(tmp_path: Path) -> None:
    sent(tmp_path, 3)
    cluster = Cluster(squeue=said(row("7_2", "PENDING", "bareboat:abc:0") + row("8_2", "PENDING", "bareboat:xyz:0")))
    driver = slurm(tmp_path, cluster)
    seen = driver.poll(["7_0@abc/run0", "7_2@abc/run2", "8_0@abc/run1"])
    assert {job: each.state for job, each in seen.items()} == {"7_0@abc/run0": "cancelled", "7_2@abc/run2": "pending"}


def test_an_answer_that_takes_half_a_minute_is_waited_for(tmp_path: Path) -> None:
    def slow(command: Command) -> Completed:
        if (command.timeout or 0.0) < 30.0:
            raise LATE
        return said(row("7", "RUNNING", "bareboat:abc:0") if command.argv[0] == "squeue" else "7")

    sent(tmp_path)
    driver = slurm(tmp_path, Cluster(squeue=slow, sbatch=slow, scancel=slow, scontrol=slow))
    jobs = driver.submit(sent(tmp_path))
    assert driver.poll(jobs)[jobs[0]].state == "running"
    driver.stop(jobs)

"""The scheduler that is already there: sbatch, squeue, scancel and scontrol, with what they say read by answers.py."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bareboat.engine.scheduler import Submission
from bareboat.engine.slurm import answers, notes
from bareboat.engine.slurm.answers import Job, Row
from bareboat.engine.slurm.script import Part, parts_of, runs_file, script
from bareboat.errors import EngineError, UsageError
from bareboat.host.process import Command, Completed, ProcessError, run
from bareboat.record.states import final
from bareboat.training.values import Observation, Point
from bareboat.values import replace

ARRAY_MOST = 1001  # Slurm's own default of MaxArraySize
LOOK = 1.0  # seconds between two questions while a log is followed
SETTLE = 5.0  # seconds after a job was requeued until a node takes it again, clocks that differ included
ASK, SEND = 60.0, 130.0  # seconds; sbatch itself tries again for two minutes where the controller is full
AT_ONCE = 200  # jobs on one command line
OURS = ("--comment", "--array", "-a", "--output", "-o", "--parsable", "--wrap", "--signal", "--requeue", "--no-requeue",
        "--chdir", "-D", "--ntasks-per-node", "--open-mode")
REFUSED, SENT = "refused", "sent"  # files of a submission
KEPT = ("HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONPATH", "SHELL", "SLURM_CONF", "USER",
        "VIRTUAL_ENV", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
_PATTERNS = ("BAREBOAT_", "LC_")
_DEFAULTS = {"SBATCH_ACCOUNT": "account", "SBATCH_PARTITION": "partition", "SBATCH_QOS": "qos",
             "SBATCH_RESERVATION": "reservation", "SBATCH_CONSTRAINT": "constraint"}


class Slurm:
    """engine.scheduler.Scheduler over Slurm's commands.

    folder: has the folder of every submission, on a file system that the nodes see. environ: of the caller; of it
    goes to the nodes what KEPT says, so that no password of a shell's lies in the controller's files. runs: the folder
    of a run, where its log is. start: runs a command.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], runs: Callable[[str], Path],
                 start: Callable[[Command], Completed] = run) -> None:
        self.name, self.patience, self.settle = "slurm", ASK, SETTLE
        self.folder, self.environ, self.runs, self.start = folder, environ, runs, start

    # Scheduler

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """As Scheduler.submit. Sent again, what was sent before is found by its comment and not sent twice."""
        self._placed(submission)
        folder = submission.folder
        runs = tuple(point.run for point in submission.points)
        most = self._array_most() if len(runs) > 1 else 1
        sent = folder / SENT
        known = self._known(submission.id) if sent.exists() else {}
        sent.touch(0o600)
        succeeded = tuple(filter(None, map(self._awaited, submission.training.after)))
        jobs: list[str] = []
        before = ""
        try:
            for part in parts_of(runs, most):
                limited = submission.training.parallel and part.number
                part = replace(part, after=before if limited else "", succeeded=succeeded)
                number = known.get(part.number) or self._send(submission, part)
                jobs += self._jobs(number, submission.id, part)
                before = number
        except EngineError as error:
            if error.code == "slurm.refused":
                self._withdraw(submission, jobs)
            raise
        return tuple(jobs)

    def poll(self, jobs: Sequence[str]) -> dict[str, Observation]:
        """As Scheduler.poll: one squeue for all of them, and what their nodes have written down."""
        wanted = {text: job for text in jobs if (job := answers.job_of(text)) is not None}
        if not wanted:
            return {}
        listed = {row.id: row for row in self._rows()}
        arrays = {(row.id.partition("_")[0], known[0]) for row in listed.values()
                  if (known := answers.submission_of(row.comment)) is not None}
        present: dict[str, frozenset[str]] = {}
        found: dict[str, Observation] = {}
        for text, job in wanted.items():
            row = answers.row_of(job, listed)
            if job.submission not in present:
                present[job.submission] = notes.present(self.folder / job.submission)
            gone = (job.number.partition("_")[0], job.submission) in arrays
            seen = self._observed(job, row, present[job.submission], gone)
            if seen is not None:
                found[text] = seen
                if row is not None and answers.HURRY in seen.details:
                    self._hurry(job, seen.attempt)
        return found

    def stop(self, jobs: Sequence[str]) -> None:
        """As Scheduler.stop. What waits is cancelled; what runs is told by its node's part, which warns it first.

        What waits is named without --state: with that, scancel takes an array whose elements all wait for one job, and
        cancels the whole of it for one of them (seen with 22.05).
        """
        wanted = [job for text in jobs if (job := answers.job_of(text)) is not None]
        if not wanted:
            return
        listed = {row.id: row for row in self._rows()}  # where Slurm cannot be asked, nothing has been done
        for job in wanted:
            if (self.folder / job.submission).is_dir():
                notes.mark(self.folder / job.submission, job.run)
        own = [(job, row) for job in wanted if (row := listed.get(job.number)) is not None and _same(row, job)]
        waiting = [job.number for job, row in own if row.state in answers.PENDING]
        others = [job.number for job, row in own if row.state not in answers.PENDING]
        for at in range(0, len(waiting), AT_ONCE):
            self._asked("scancel", "--quiet", *waiting[at:at + AT_ONCE])
        for at in range(0, len(others), AT_ONCE):
            self._asked("scancel", "--quiet", "--state=RUNNING", "--signal=TERM", *others[at:at + AT_ONCE])

    def resume(self, submission: Submission, point: Point) -> str:
        """As Scheduler.resume: a job of its own for this run."""
        self._placed(submission)
        folder = submission.folder
        notes.unmark(folder, point.run)
        note = notes.read(folder, point.run)
        if note is not None:
            notes.write(folder, replace(note, state="pending", reason="", cause="", failures=0, losses=0, ended=0.0))
        number = 1 + max((int(f.name[5:-5]) for f in folder.glob("part-*.runs") if f.name[5:-5].isdigit()), default=0)
        part = Part(number, (point.run,))
        return self._jobs(self._send(replace(submission, points=(point,)), part), submission.id, part)[0]

    def logs(self, job: str, follow: bool = False) -> Iterator[bytes]:
        """As Scheduler.logs: the run's log is a file on the file system that the nodes share."""
        from bareboat.store import runlog

        known = answers.job_of(job)
        if known is None:
            return
        folder = self.runs(known.run)
        pieces = runlog.follow(folder, self._going(job)) if follow else runlog.pieces(folder)
        for piece in pieces:
            yield piece.data

    def _going(self, job: str) -> Callable[[], bool]:
        """Whether a job is not over, as far as that is known; asks only every so often."""
        asked, going = 0.0, True

        def look() -> bool:
            nonlocal asked, going
            if going and time.monotonic() - asked > LOOK:
                try:
                    seen = self.poll([job]).get(job)
                except EngineError:
                    seen = None
                going, asked = seen is None or not final(seen.state), time.monotonic()
            return going

        return look

    def explain(self, submission: Submission) -> str:
        """As Scheduler.explain; where Slurm cannot be asked, with its default for the size of arrays."""
        runs = tuple(point.run for point in submission.points)
        try:
            most = self._array_most() if len(runs) > 1 else 1
        except EngineError:
            most = ARRAY_MOST
        return "\n".join(
            shlex.join(self._sbatch(submission, part)) + "\n" + script(submission, part)
            for part in parts_of(runs, most))

    # one question each

    def _hurry(self, job: Job, attempt: int) -> None:
        """Let a requeued job start soon, once for each attempt: Slurm has it wait for two minutes, for the sake of what
        may still be on its nodes. A node refuses for a second or two what it has just ended ("credential revoked").
        """
        done = self.folder / job.submission / "runs" / f"{job.run}.hurried"
        try:
            if done.read_text() == str(attempt):
                return
        except OSError:
            pass
        done.write_text(str(attempt))
        self._asked("scontrol", "update", f"JobId={job.number}", f"StartTime=now+{self.settle:.0f}")

    def _placed(self, submission: Submission) -> None:
        if submission.folder != self.folder / submission.id:
            raise UsageError("slurm.folder", "a submission's folder is not where its jobs are looked for",
                             where=os.fspath(submission.folder))

    def _send(self, submission: Submission, part: Part) -> str:
        """The number of a part's job. Raises EngineError "slurm.refused", "slurm.unreachable"."""
        folder = submission.folder
        text = script(submission, part)
        (folder / "runs").mkdir(mode=0o700, exist_ok=True)
        (folder / runs_file(part)).write_text("".join(f"{each}\n" for each in part.runs), encoding="ascii")
        (folder / f"part-{part.number}.sh").write_text(text, encoding="utf-8", errors="surrogateescape")
        command = Command(self._sbatch(submission, part), env=self._environment(submission), cwd=folder, timeout=SEND)
        try:
            done = self.start(command)
        except ProcessError as error:
            if error.code == "process.start":
                raise _absent(error) from None
            done = Completed(124, b"", b"it did not answer in time")
        number = answers.numbers(done.stdout) if done.code == 0 else ""
        if number:
            return number
        found = self._known(submission.id).get(part.number)  # the answer was lost, the job perhaps not
        if found:
            return found
        said = _last(done.stderr) or f"sbatch ended with {done.code}"
        raise EngineError("slurm.refused", f"Slurm refused it: {said}", where=f"part-{part.number}.sh",
                          hint="sinfo shows the partitions, `bareboat train --dry-run …` what was sent")

    def _sbatch(self, submission: Submission, part: Part) -> tuple[str, ...]:
        try:
            more = shlex.split(dict(submission.training.options).get("sbatch", ""))
        except ValueError as error:
            raise UsageError("slurm.option", f"not words for sbatch: {error}", where="--sbatch") from None
        for word in more:
            if word.split("=", 1)[0] in OURS or not word.startswith("-"):
                raise UsageError("slurm.option", f"{word!r} cannot be given to sbatch: bareboat relies on its own",
                                 where="--sbatch", hint="options alone, each in one word: --sbatch=--exclude=n7")
        return ("sbatch", "--parsable", *more, f"{submission.folder}/part-{part.number}.sh")

    def _environment(self, submission: Submission) -> dict[str, str]:
        """What sbatch, and by it the nodes, get of the caller's variables."""
        said = dict(submission.training.options)
        kept = {name: value for name, value in self.environ.items()
                if name in KEPT or name.startswith(_PATTERNS)
                or (name in _DEFAULTS and _DEFAULTS[name] not in said)}
        return {"PATH": os.defpath, **kept}

    def _awaited(self, run: str) -> str:
        """Slurm's number of a run that must succeed first; "" where it has. Raises EngineError "slurm.after"."""
        for file in self.folder.glob("*/part-*.runs"):
            lines = file.read_text(encoding="ascii").splitlines()
            if run not in lines:
                continue
            note = notes.read(file.parent, run)
            if note is not None and note.state == "succeeded":
                return ""
            rows = answers.ours(self._rows(), file.parent.name).get(int(file.stem[5:]), [])
            alone = len(lines) == 1
            for row in rows:
                if row.state in (*answers.PENDING, *answers.RUNNING) and (
                        alone or row.id.endswith(f"_{lines.index(run)}")):
                    return row.id
        raise EngineError("slurm.after", "a run that this one waits for is not in Slurm any more, and did not succeed",
                          where=run, hint="bareboat resume it first, or leave out --after")

    def _known(self, submission: str) -> dict[int, str]:
        """The job number of each part of a submission that Slurm has. Raises EngineError "slurm.unreachable"."""
        return {part: found[0].id.partition("_")[0]
                for part, found in answers.ours(self._rows(), submission).items()}

    def _rows(self) -> tuple[Row, ...]:
        return answers.rows(self._asked(*answers.listing(os.getuid())).stdout)

    def _observed(self, job: Job, row: Row | None, present: frozenset[str], gone: bool) -> Observation | None:
        if row is not None and not _same(row, job):
            row, gone = None, False  # another's: Slurm counts from the beginning again some day
        folder = self.folder / job.submission
        note = notes.read(folder, job.run) if notes.path(folder, job.run).name in present else None
        seen = answers.observe(row, note, f"{job.run}.stop" in present, gone)
        if row is not None and seen is not None and seen.state == "failed" and not seen.attempt:
            return replace(seen, reason=f"{seen.reason}: {_why(folder, row)}")
        return seen

    def _array_most(self) -> int:
        value = answers.config_value(self._asked("scontrol", "show", "config").stdout, "MaxArraySize")
        return int(value) if value.isdigit() and int(value) > 1 else ARRAY_MOST

    def _withdraw(self, submission: Submission, jobs: list[str]) -> None:
        """All or none: what was taken of a submission before the rest was refused goes again, and what comes late of
        the rest finds that it is not wanted.
        """
        (submission.folder / REFUSED).touch(0o600)
        numbers = sorted({job.number.partition("_")[0] for text in jobs if (job := answers.job_of(text))}, key=int)
        if numbers:
            self._asked("scancel", "--quiet", *numbers)

    def _jobs(self, number: str, submission: str, part: Part) -> list[str]:
        if len(part.runs) == 1:
            return [str(Job(number, submission, part.runs[0]))]
        return [str(Job(f"{number}_{index}", submission, each)) for index, each in enumerate(part.runs)]

    def _asked(self, *argv: str) -> Completed:
        """What a command of Slurm's said; scancel and scontrol say by their code what they did not find, and that is
        fine. Raises EngineError "slurm.unreachable", "slurm.absent".
        """
        try:
            done = self.start(Command(argv, timeout=self.patience))
        except ProcessError as error:
            if error.code == "process.start":
                raise _absent(error) from None
            raise EngineError("slurm.unreachable", f"Slurm did not answer within {self.patience:g} s", where=argv[0],
                              hint="what was sent stays; ask again: bareboat queue") from None
        if done.code and argv[0] in ("squeue", "scontrol") and "update" not in argv:
            raise EngineError("slurm.unreachable", f"Slurm cannot be asked: {_last(done.stderr)}", where=argv[0],
                              hint="what was sent stays; ask again: bareboat queue")
        return done


def _why(folder: Path, row: Row) -> str:
    """What a job wrote that came to nothing, its last line; where not even that could be, what this is a sign of."""
    known, index = answers.submission_of(row.comment), row.id.partition("_")[2]
    output = folder / f"part-{known[1] if known else 0}{f'-{index}' if index else ''}.out"
    try:
        with open(output, "rb") as file:
            file.seek(max(output.stat().st_size - 4096, 0))
            said = _last(file.read())
    except OSError:
        return f"nothing was written to {output}: does {row.nodes or 'its node'} see this folder?"
    return said or "it wrote nothing"


def _same(row: Row, job: Job) -> bool:
    known = answers.submission_of(row.comment)
    return known is not None and known[0] == job.submission


def _absent(error: ProcessError) -> EngineError:
    return EngineError("slurm.absent", "Slurm's commands are not on this machine", where=error.where,
                       hint="log in to a node that submits jobs, or load Slurm's module")


def _last(said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    text = lines[-1] if lines else ""
    return text.removeprefix("sbatch: error: ").removeprefix("Batch job submission failed: ")[:300]

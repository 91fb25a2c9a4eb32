"""python -m bareboat.entry.node FOLDER RUN [ADDRESS]: bareboat's part on a node, inside of what Slurm allocated.

It decides by what is written beside the submission which attempt this is, starts it in a process of its own, tells it
why and when it must end, writes down how it went, and has Slurm start the next. What is written is fenced: the
attempt's number only grows, the run's folder is locked by who has it, and whoever finds a newer job of the run at its
lock gives way. Nothing here needs the command that sent it. With an address it is one of the other nodes of an attempt,
which the first has started.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bareboat.engine.slurm import answers, notes
from bareboat.engine.slurm.allocation import Allocation, allocation_of, cause_of, port_of, rendezvous
from bareboat.engine.slurm.notes import Note
from bareboat.engine.slurm.script import sentinel
from bareboat.entry.claim import Claim
from bareboat.entry.log import Log
from bareboat.entry.others import ASK, Others, patience
from bareboat.entry.told import Told
from bareboat.errors import BareboatError, EngineError
from bareboat.host.background import Handed, start_handed
from bareboat.host.facts import own_level
from bareboat.host.files import boot_id
from bareboat.host.loop import Loop
from bareboat.host.process import Child, Command, ProcessError, run, start
from bareboat.queue.base import Entry
from bareboat.record.states import final
from bareboat.store import checkpoints
from bareboat.supervisor.keeper import TIME
from bareboat.training.rules import Step, follow
from bareboat.training.values import Ending
from bareboat.values import TYPE_CHECKING, replace
from bareboat.verbs.attempts import LOG, interrupted, read_ending
from bareboat.verbs.nodes import ILLEGAL, Task, check, illegal, task_of
from bareboat.verbs.submission import packed

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work

LOOK = 1.0  # seconds between two looks at what is beside the submission
GOING = 60.0  # seconds after asking to be requeued in which Slurm should have ended this job
AGAIN = 75  # EX_TEMPFAIL: it should have been requeued and was not


def main() -> int:
    """The program's exit code; 125 where nothing could be done, 75 where another attempt is due and was not begun."""
    log, told = Log(), Told()
    folder, name = Path(sys.argv[1]), sys.argv[2]
    place = allocation_of(os.environ)
    try:
        if place is None:
            raise EngineError("node.allocation", "this is for jobs of Slurm's alone")
        task = task_of(folder, name)
        from bareboat.wiring import work

        if sys.argv[3:]:
            from bareboat.verbs.follower import follow_chief

            place = replace(place, rank=place.rank + 1)
            at_work = work(log, engine=task.template.kept.record.engine or None)
            return follow_chief(folder, task, place, sys.argv[3], at_work)
        return Node(folder, task, place, work(log, engine=task.template.kept.record.engine or None), told).carry_out()
    except BareboatError as error:
        log.say(f"{error.code}: {error}")
        return 125


class Node:
    """One run on one node, from the start of its job to its end."""

    def __init__(self, folder: Path, task: Task, place: Allocation, work: Work, told: Told) -> None:
        self.folder, self.task, self.place, self.work, self.told = folder, task, place, work, told
        self.run = task.point.run
        self.training = task.template.training
        self.note = notes.read(folder, self.run) or Note(self.run)
        self.cause: tuple[str, str] | None = None  # why it must end
        self.answered = False  # the attempt knows
        self.lost = False  # another job has the run
        self.sentinel: Child | None = None
        self.others = Others(folder, self.run, place, self.training)
        self.claim = Claim(folder, self.run, place, work, patience(self.training))

    @contextmanager
    def _sentinel(self) -> Iterator[None]:
        """Keep a step beside this one that Slurm ends first (script.sentinel)."""
        try:
            self.sentinel = start(Command(sentinel()), (-1, 2, 2))
        except ProcessError as error:
            self.work.tell.say(f"a preemption will not be told in time: {error}")
            yield
            return
        try:
            yield
        finally:
            if self.sentinel is not None:
                self.sentinel.signal(signal.SIGTERM)
                end = time.monotonic() + 5.0
                while not self.sentinel.ended() and time.monotonic() < end:
                    time.sleep(0.01)
                self.sentinel.kill()  # Slurm ends what is left of the step with the job
                self.sentinel.wait()

    def carry_out(self) -> int:
        """Until nothing follows in this allocation."""
        say = self.work.tell.say
        if (self.folder / "refused").exists():
            say("this submission was withdrawn")
            return 0
        if not self.claim.own(self.told.taken):
            say("another job has this run, and does not let go of it")
            return AGAIN
        with self._sentinel():
            return self._carry_out()

    def _carry_out(self) -> int:
        say = self.work.tell.say
        try:
            while True:
                self.note = notes.read(self.folder, self.run) or self.note
                if final(self.note.state):
                    say(f"this run is over already: {self.note.state}")
                    return 0
                step = self._left_over()
                if step is None or step.state == "pending":
                    step = self._attempt()
                if self.lost:
                    say("another job has this run by now")
                    return 0
                if step.state != "pending":
                    return self.note.exit_code or (0 if step.state == "succeeded" else 125)
                if self._begins_elsewhere():
                    return self._requeue()
                self._pause(step.wait)
        finally:
            self.work.store.runs.release(self.run)

    # one attempt

    def _left_over(self) -> Step | None:
        """What follows an attempt whose node died before it could say; None where there is none."""
        if self.note.state != "running" or not self.note.attempt:
            return None
        found = read_ending(self.work.store.runs.path(self.run), self.note.attempt)
        if found is None:
            folder = checkpoints.place(self.task.point.results, self.work.store.runs.path(self.run))
            further = checkpoints.progressed(folder, self.training.checkpoints.complete, self.note.started)
            found = Ending(self.note.cause or "lost", None, self.note.reason if self.note.cause else
                           f"its node {self.note.where} was lost", further)
        return self._settle(found)

    def _attempt(self) -> Step:
        if notes.is_marked(self.folder, self.run):
            return self._settle(Ending("stopped", None, "stopped"))
        self.claim.withdraw()
        note = self.note = replace(
            self.note, state="running", reason="", cause="", attempt=self.note.attempt + 1, exit_code=None,
            job=self.place.job, restarts=self.place.restarts, where=self.place.node or os.uname().nodename,
            boot=boot_id(), started=time.time(), ended=0.0, again=False)
        notes.write(self.folder, note)
        try:
            check(self.task, self.folder, self.work.store.home)
            pidfd = self._begin(note)
        except (BareboatError, OSError) as error:
            self.work.tell.say(str(error))
            return self._settle(Ending("start", 125, str(error).partition("\n")[0]))
        self.answered = False
        try:
            self._wait(pidfd)
        finally:
            os.close(pidfd)
        others = self.others.end(hurry=self.cause is not None)
        ending = read_ending(self.work.store.runs.path(self.run), note.attempt)
        if self.lost:
            return Step("pending", "another job has it")
        self._signalled()  # what came with the end
        self._listen()
        if self.cause is not None:  # Slurm's signals may have come to the program before the warning did
            ending = Ending(self.cause[0], ending.code if ending else None, self.cause[1])
        elif others and (self.others.failed or (ending is not None and ending.code == 0)):
            ending = Ending("exit", others, f"exit {others} on another node")
        return self._settle(ending or Ending("lost", None, "its process was killed"))

    def _begin(self, note: Note) -> int:
        """Start the attempt's process: it has the lock of the run's folder, and dies with this one."""
        from bareboat.record.codec import encode

        store, point = self.work.store, self.task.point
        if self.place.nodes > 1:
            self.others = Others(self.folder, self.run, self.place, self.training)
            address = self.others.begin()
            point = replace(point, env=(*rendezvous(self.place, address, port_of(self.place.job)), *point.env))
        entry = Entry(self.run, self.folder.name, point.name, point.index, "running", "", note.attempt, note.failures,
                      note.losses, created=self.folder.stat().st_ctime, started=note.started, scheduler="slurm",
                      job=note.job, where=note.where, boot=note.boot)
        head = {"entry": encode(entry), "point": encode(point), "granted": self.place.gpus}
        data = json.dumps(head).encode("utf-8", "surrogatepass")[:-1] + b', "template": ' + self._template() + b"}"
        argv = (sys.executable, "-m", "bareboat.entry.attempt", self.run, "tied")
        env = {**os.environ, "BAREBOAT_HOME": os.fspath(store.home)}
        pid = start_handed(Handed(argv, env, data, store.runs.path(self.run) / LOG, (store.runs.lent(self.run),)))
        return os.pidfd_open(pid)

    def _template(self) -> bytes:
        """As it was sent; with no more time than is left of the allocation's."""
        seconds = self.training.need.seconds
        if not seconds:
            return self.task.data
        text = os.environ.get("SLURM_JOB_END_TIME", "")
        end = float(text) if text.isdigit() else answers.seconds(self._job().get("EndTime", ""))
        left = max(min(seconds, end - time.time()), 1.0) if end else seconds
        need = replace(self.training.need, seconds=left)
        return packed(replace(self.task.template, training=replace(self.training, need=need)))

    def _wait(self, pidfd: int) -> None:
        loop, ended = Loop(), False

        def over() -> bool:
            nonlocal ended
            ended = True
            return False

        loop.add(pidfd, over)
        loop.add(self.told.read, self._signalled)
        beside = os.pidfd_open(self.sentinel.pid) if self.sentinel is not None else -1
        if beside >= 0:
            loop.add(beside, lambda: False)  # one turn, in which it is looked at
        try:
            while not ended:
                loop.turn(int(LOOK * 1000))
                if not ended:
                    self._look(pidfd)
        finally:
            if beside >= 0:
                os.close(beside)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)

    def _look(self, pidfd: int) -> None:
        """What others have written since, and whether the attempt knows by now why it must end."""
        self._listen()
        if self.claim.passed() and not self.lost:
            self.lost = True
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # at once: the other waits, and this node may be cut off
            return
        if self.cause is None and self.others.look():
            self.work.tell.say(f"a program on another node ended with {self.others.failed}")
            self._interrupt("preempted")
        if self.cause is None and notes.is_marked(self.folder, self.run):
            self._must_end("stopped", "stopped")
        if self.cause is not None and not self.answered:
            self.answered = self._interrupt(self.cause[0])

    def _interrupt(self, cause: str) -> bool:
        return interrupted(self.work.store.runs.path(self.run), TIME if cause == "limit" else cause)

    def _listen(self) -> None:
        """Whether Slurm has ended the step beside this."""
        if self.sentinel is None or not self.sentinel.ended():
            return
        code, self.sentinel = self.sentinel.wait(), None
        if code not in (128 + signal.SIGTERM, 128 + signal.SIGKILL):
            self.work.tell.say(f"the step beside this one ended with {code}: a preemption will not be told in time")
        elif self.cause is None:
            self._must_end(*self._why(warned=False))

    def _signalled(self) -> bool:
        numbers = self.told.taken()
        if numbers and self.cause is None:
            self._must_end(*self._why(warned=set(numbers) <= {signal.SIGUSR1}))
            self.answered = self._interrupt(self.cause[0]) if self.cause is not None else False
        return True

    def _must_end(self, cause: str, reason: str) -> None:
        self.cause = cause, reason
        self.work.tell.say(f"attempt {self.note.attempt} must end: {reason}")
        self.note = replace(self.note, cause=cause, reason=reason)
        try:
            notes.write(self.folder, self.note)  # it may be killed before it can say more
        except OSError as error:
            self.work.tell.say(f"cannot be written down: {error.strerror}")

    def _why(self, *, warned: bool) -> tuple[str, str]:
        if notes.is_marked(self.folder, self.run):
            return "stopped", "stopped"
        job = self._job()
        end = answers.seconds(job.get("EndTime", ""))
        return cause_of(job, self.place.restarts, end - time.time() if end else float("inf"), warned=warned)

    def _job(self) -> dict[str, str]:
        """What Slurm says of this job; {} where it does not answer."""
        try:
            done = run(Command(("scontrol", "show", "job", "--oneliner", self.place.job), timeout=ASK))
        except ProcessError:
            return {}
        return answers.job_fields(done.stdout) if done.code == 0 else {}

    # what follows

    def _settle(self, ending: Ending) -> Step:
        """Write down how an attempt ended and what follows it."""
        if notes.is_marked(self.folder, self.run) and ending.cause != "exit":
            ending = Ending("stopped", ending.code, "stopped")
        if ending.cause == "exit" and ending.code == ILLEGAL:
            ending = replace(ending, reason=illegal(self.folder, own_level(), self.note.where))
        step = follow(ending, self.training.retry, self.note.failures, self.note.losses)
        now = time.time()
        self.note = replace(
            self.note, state=step.state, reason=step.reason, cause=ending.cause, exit_code=ending.code,
            failures=step.failures, losses=step.losses,
            ended=now if step.state != "pending" else 0.0, not_before=now + step.wait if step.wait else 0.0)
        notes.write(self.folder, self.note)
        self.work.tell.say(f"attempt {self.note.attempt}: {ending.cause}, exit {ending.code}; {step.state} "
                           f"{step.reason}")
        return step

    def _begins_elsewhere(self) -> bool:
        """Whether the next attempt needs another allocation: this one ends, or the program asked for a new turn."""
        return self.cause is not None or self.note.cause not in ("exit", "memory", "lost") or (
            self.note.exit_code in self.training.retry.requeue_on)

    def _pause(self, seconds: float) -> None:
        loop, end = Loop(), time.monotonic() + seconds
        loop.add(self.told.read, self._signalled)
        while self.cause is None and (left := end - time.monotonic()) > 0:
            loop.turn(int(min(left, LOOK) * 1000) + 1)
            if notes.is_marked(self.folder, self.run):
                return
        loop.drop(self.told.read)

    def _requeue(self) -> int:
        """Have Slurm start this job again, and wait for its end. Where it will not, who polls sends another."""
        if self.place.restarts < self._restarts():
            return AGAIN  # Slurm has it down for that already
        self.note = replace(self.note, again=True)
        notes.write(self.folder, self.note)
        for pause in (0.5, 2.0, 5.0, 10.0, 20.0):
            try:
                done = run(Command(("scontrol", "requeue", self.place.job), timeout=ASK))
            except ProcessError as error:
                self.work.tell.say(str(error))
            else:
                if done.code == 0:
                    break
                self.work.tell.say(f"requeue: {done.stderr.decode('utf-8', 'replace').strip()}")
            time.sleep(pause)
        else:
            return AGAIN
        end = time.monotonic() + GOING
        while time.monotonic() < end and not self.told.taken():
            time.sleep(0.1)
        return AGAIN

    def _restarts(self) -> int:
        text = self._job().get("Restarts", "")
        return int(text) if text.isdigit() else 0


if __name__ == "__main__":
    sys.exit(main())

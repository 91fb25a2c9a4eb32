"""What is asked of an unattended run, and what is known of one: immutable values that every scheduler understands."""

from __future__ import annotations

from bareboat.values import dataclass, field

USR1, EX_TEMPFAIL = 10, 75
FOLDER = "checkpoints"  # below the results of a run
PREEMPTED = "preempted"


@dataclass(frozen=True)
class Need:
    """What an attempt takes of each of its nodes while it runs. gpus: a count, or a share of one GPU below 1; cpus: a
    decimal count; memory: bytes; 0 where it was not said. seconds: the longest that an attempt may take, 0 for no end.
    """

    gpus: float = 0.0
    cpus: float = 0.0
    memory: int = 0
    seconds: float = 0.0
    nodes: int = 1


@dataclass(frozen=True)
class Interrupt:
    """How an attempt is asked to end. warning: the signal for every process of it that catches that signal (one that
    does not would die of it); grace: seconds from there until SIGTERM, which comes at once where nothing catches the
    warning; kill: seconds from SIGTERM until SIGKILL.
    """

    warning: int = USR1
    grace: float = 60.0
    kill: float = 10.0


@dataclass(frozen=True)
class Retry:
    """What follows an attempt that ended by itself. retries: how many failures are followed by another attempt;
    retry_on: the exit codes that are retried, () for every failure; fail_on: those that never are; requeue_on: those by
    which a program asks for another attempt, which is no failure. at_limit: whether the time limit is followed by
    another attempt instead of failing.
    """

    retries: int = 0
    retry_on: tuple[int, ...] = ()
    fail_on: tuple[int, ...] = ()
    requeue_on: tuple[int, ...] = (EX_TEMPFAIL,)
    at_limit: bool = False


@dataclass(frozen=True)
class Checkpoints:
    """complete: the file in a directory that makes it a complete checkpoint, "" for those that are known by their form
    (training/checkpoints.py); keep: how many of the newest stay when an attempt ends, 0 for all.
    """

    complete: str = ""
    keep: int = 0


@dataclass(frozen=True)
class Watch:
    """What is done beside a run. command: run by the shell when it is over, with BAREBOAT_RUN, _NAME, _STATE, _REASON
    and _EXIT_CODE set; webhook: a URL that gets the same as JSON; hang: seconds without output and without use of GPU
    or CPU after which it is pointed out, 0 for never.
    """

    command: str = ""
    webhook: str = ""
    hang: float = 1800.0


@dataclass(frozen=True)
class Training:
    """How the runs of a submission are carried out; the same for all of them.

    priority: higher goes first among the runs of one user. preemptible: may be interrupted for others; None: as the
    policy has it, which is when its user has more than a fair share. after: runs that must have succeeded before it.
    parallel: how many of the submission run at once, 0 for no bound. scheduler: "local", "slurm" or "kubernetes";
    options: words for it alone, as ("partition", "batch").
    """

    need: Need = Need()
    interrupt: Interrupt = Interrupt()
    retry: Retry = Retry()
    checkpoints: Checkpoints = Checkpoints()
    watch: Watch = Watch()
    priority: int = 0
    preemptible: bool | None = None
    after: tuple[str, ...] = ()
    parallel: int = 0
    scheduler: str = "local"
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Point:
    """One run of a submission. run: its id; index: its place in the submission, from 0; parameters: of a sweep, already
    put into argv; env: variables of its own, over the workload's. results: its folder on the host.
    """

    run: str
    name: str = ""
    index: int = 0
    argv: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    results: str = ""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended. cause: one of CAUSES; code: the program's exit code as Docker counts, None where there is
    none; reason: in words, for people; progressed: whether a complete checkpoint was made in it, None: not known.
    """

    cause: str
    code: int | None = None
    reason: str = ""
    progressed: bool | None = None


CAUSES = (
    "exit",  # by itself
    "memory",  # killed for its memory
    "start",  # it could not be started
    "limit",  # its time was over
    "preempted",  # for another run, or because the node is needed (Slurm's preemption, a drained Kubernetes node)
    "stopped",  # somebody asked for it
    "lost",  # what had it was killed, or its node was
    "reboot",  # the machine was started again
)


@dataclass(frozen=True)
class Observation:
    """What a scheduler knows of a run at this moment. state: one of record.states.STATES; reason: why it is in it, in
    words ("2 ahead", "preempted", "Resources"); attempt: which one runs or ran last, 0 before the first; starts: when
    it is expected to start, in seconds since the epoch, 0 where that is not known. where: the node.

    What could not be found out has no observation: it is unknown, which is no state.
    """

    state: str
    reason: str = ""
    attempt: int = 0
    exit_code: int | None = None
    where: str = ""
    starts: float = 0.0
    details: tuple[tuple[str, str], ...] = field(default=())

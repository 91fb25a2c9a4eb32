"""What Slurm is asked and what it says: command lines, rows of squeue, and what they mean for a run. Pure.

squeue's --format is used and not its --json: its letters are the same in every Slurm, its JSON differs from release to
release, and is fifty times the size for an array of thousands (docs/decisions/0177).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from bareboat.engine.slurm.notes import Note
from bareboat.engine.slurm.script import COMMENT
from bareboat.record.states import final
from bareboat.training.values import Observation
from bareboat.values import dataclass

SEPARATOR = "\x1f"
FORMAT = SEPARATOR.join(("%i", "%T", "%r", "%N", "%S", "%k"))  # id, state, reason, nodes, start, comment

PENDING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
RUNNING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
AGAIN = {"PREEMPTED": "preempted", "NODE_FAIL": "its node failed", "BOOT_FAIL": "its node did not start"}
OVER = {"TIMEOUT": "time limit", "OUT_OF_MEMORY": "out of memory", "DEADLINE": "its deadline passed"}
RESUBMIT = ("resubmit", "1")  # a detail of an observation: another attempt is due, and Slurm will not start it
HURRY = ("hurry", "1")  # it was requeued by its own node, on which nothing of it is left, and need not wait any longer

REASONS = {  # of those that people must do something about, or that squeue's word does not say
    "Resources": "waits for nodes, GPUs or CPUs",
    "Priority": "jobs of a higher priority are before it",
    "Dependency": "waits for another run",
    "DependencyNeverSatisfied": "what it waits for did not succeed",
    "BeginTime": "starts again in a moment",
    "JobArrayTaskLimit": "waits for others of its sweep (--max-parallel)",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs now",
    "PartitionTimeLimit": "asks for more time than its partition gives",
    "PartitionNodeLimit": "asks for more nodes than its partition has",
    "ReqNodeNotAvail": "nodes it needs are down, drained or reserved",
    "Reservation": "waits for its reservation",
    "JobHeldUser": "held: scontrol release",
    "launch failed requeued held": "its node could not start it: scontrol release",
    "JobHeldAdmin": "held by the administrator",
    "AssocGrpGRES": "your account has all the GPUs it may have",
    "QOSMaxJobsPerUserLimit": "you have as many jobs as this QOS allows",
    "BadConstraints": "no node is as it asks for",
    "NodeDown": "a node it needs is down",
}


@dataclass(frozen=True)
class Row:
    """A job as squeue lists it. id: "12" or "12_3"; start: seconds since the epoch, 0 where it is not known."""

    id: str
    state: str
    reason: str = ""
    nodes: str = ""
    start: float = 0.0
    comment: str = ""


@dataclass(frozen=True)
class Job:
    """Our name of a job: what Slurm calls it, for which submission, for which run. As text NUMBER@SUBMISSION/RUN."""

    number: str
    submission: str
    run: str

    def __str__(self) -> str:
        return f"{self.number}@{self.submission}/{self.run}"


def job_of(text: str) -> Job | None:
    """The job of its text; None for what is none of ours."""
    number, at, rest = text.partition("@")
    submission, slash, run = rest.partition("/")
    main, _, index = number.partition("_")
    sound = at and slash and submission and run and main.isascii() and main.isdigit() and (
        index == "" if "_" not in number else index.isascii() and index.isdigit())
    return Job(number, submission, run) if sound else None


def listing(user: int) -> tuple[str, ...]:
    """All jobs of a user that Slurm still knows, each of an array on a line of its own."""
    return ("squeue", "--noheader", "--array", "--states=all", f"--user={user}", f"--format={FORMAT}")


def rows(output: bytes) -> tuple[Row, ...]:
    """The rows of squeue; lines that are none (warnings, a comment of several lines) are left out."""
    found = []
    for line in output.decode("utf-8", "replace").split("\n"):
        fields = line.split(SEPARATOR, 5)
        if len(fields) == 6 and fields[0].strip():
            id, state, reason, nodes, start, text = (field.strip() for field in fields)
            found.append(Row(id, state, reason, "" if nodes == "(null)" else nodes, seconds(start), text))
    return tuple(found)


def seconds(text: str) -> float:
    """A time as squeue writes it, in the machine's time zone; 0 for N/A and the like."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except (ValueError, OverflowError):
        return 0.0


def submission_of(text: str) -> tuple[str, int] | None:
    """(submission, part) of a job's comment; None for a job of somebody else's."""
    words = text.split(":")
    if len(words) != 3 or words[0] != COMMENT or not words[2].isascii() or not words[2].isdigit():
        return None
    return words[1], int(words[2])


def ours(found: Iterable[Row], submission: str) -> dict[int, list[Row]]:
    """The rows of a submission, by part."""
    parts: dict[int, list[Row]] = {}
    for row in found:
        known = submission_of(row.comment)
        if known is not None and known[0] == submission:
            parts.setdefault(known[1], []).append(row)
    return parts


def row_of(job: Job, listed: Mapping[str, Row]) -> Row | None:
    """The row of a job among those listed by their ids. An array that was cancelled before any of it began is one row,
    with the array's number alone.
    """
    row = listed.get(job.number)
    if row is None:
        whole = listed.get(job.number.partition("_")[0])
        return whole if whole is not None and whole.state not in (*PENDING, *RUNNING) else None
    return row


def observe(row: Row | None, note: Note | None, stopped: bool = False, gone: bool = False) -> Observation | None:
    """What is known of a run from Slurm's row of its job (None: Slurm does not know it) and from its own note. None:
    unknown. stopped: somebody asked for its end; gone: Slurm does not know it and has others of its array, as it is
    with an element that was cancelled before it began.
    """
    n = note or Note("")
    if note is not None and final(note.state):
        return Observation(note.state, note.reason, note.attempt, note.exit_code, note.where)
    if row is None:
        if n.attempt or not (stopped or gone):
            return None
        return Observation("cancelled", "stopped" if stopped else "cancelled in Slurm before it began", 0)
    if row.state in PENDING:
        hurry = (HURRY,) if row.reason == "BeginTime" and n.again else ()
        return Observation("pending", waiting(row, n), n.attempt, None, "", row.start, (("slurm", row.reason), *hurry))
    if row.state in RUNNING:
        if n.attempt == 0 or n.state != "running":
            reason = "its node makes ready" if not n.attempt else n.reason
            return Observation("running" if not n.attempt else "pending", reason, n.attempt, None, row.nodes)
        said = "" if row.state in ("RUNNING", "COMPLETING") else row.state.lower()
        return Observation("running", said or n.reason, n.attempt, None, n.where or row.nodes)
    return _ended(row, n, stopped)


def _ended(row: Row, n: Note, stopped: bool) -> Observation | None:
    """Of a job that is over without a last word of its node's."""
    if stopped or row.state == "CANCELLED":
        reason = "stopped" if stopped else "cancelled in Slurm, by its administrator or with scancel"
        return Observation("cancelled", reason, n.attempt, None, n.where or row.nodes)
    if n.attempt and n.state == "pending":
        return Observation("pending", n.reason, n.attempt, None, n.where, n.not_before, (RESUBMIT,))
    if row.state in AGAIN:
        return Observation("pending", AGAIN[row.state], n.attempt, None, n.where or row.nodes, 0.0, (RESUBMIT,))
    if row.state in OVER:
        code = 137 if row.state == "OUT_OF_MEMORY" else None
        return Observation("failed", OVER[row.state], n.attempt, code, n.where or row.nodes)
    if row.state in ("COMPLETED", "FAILED"):
        why = "" if row.reason in ("", "None", "(null)") else f" ({row.reason})"
        what = "ended without an account of it" if n.attempt else "bareboat could not be started there"
        return Observation("failed", f"{what}{why}", n.attempt, None, n.where or row.nodes)
    return None  # a state of a newer Slurm


def waiting(row: Row, n: Note) -> str:
    """Why it waits, in words, with Slurm's own."""
    word = row.reason.split(",", 1)[0].strip()
    if word in ("", "None", "(null)"):
        return n.reason
    text = REASONS.get(word)
    said = f"{text} ({row.reason})" if text and word != "BeginTime" else text or row.reason
    return f"{n.reason}: {said}" if n.attempt and n.reason else said


def config_value(output: bytes, name: str) -> str:
    """A value of `scontrol show config`; "" where it has none."""
    for line in output.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() == name:
            return value.strip()
    return ""


def job_fields(output: bytes) -> dict[str, str]:
    """The fields of `scontrol show job --oneliner`; a value with spaces in it is cut at the first."""
    found: dict[str, str] = {}
    for word in output.decode("utf-8", "replace").split():
        key, equals, value = word.partition("=")
        if equals and key not in found:
            found[key] = value
    return found


def numbers(output: bytes) -> str:
    """The job of `sbatch --parsable`: NUMBER or NUMBER;CLUSTER; "" where there is none."""
    words = output.decode("utf-8", "replace").split()
    number = words[-1].split(";")[0] if words else ""
    return number if number.isascii() and number.isdigit() else ""

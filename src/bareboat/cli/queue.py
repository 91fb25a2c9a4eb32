"""bareboat queue."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from bareboat.cli.plain import about
from bareboat.values import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bareboat.queue.policy import Wait
    from bareboat.verbs.collaborators import Work
    from bareboat.verbs.queue import Listing, Row
    from bareboat.verbs.submission import Queue
    from bareboat.verbs.train import Sent

SUMMARY = "Unattended runs of this machine: whose they are, what they wait for, what they hold."
EXAMPLES = """\
  bareboat queue
  bareboat queue --all --json
  bareboat queue lr              how the runs of a sweep went; --csv, --json for programs
  bareboat queue worker          carry your runs out in the foreground
"""
WAITING = 40  # runs of one user that wait and are shown; --json has all


def configure(parser: argparse.ArgumentParser) -> None:
    """Which of them."""
    parser.add_argument("what", nargs="?", metavar="SWEEP|worker|hold|release|unit", help="a sweep: its runs with "
                        "their parameters; worker: carry runs out in the foreground, until ^C (attempts go on); hold: "
                        "start nothing more of yours; release: go on; unit: write a user unit of systemd's that "
                        "starts the worker with the machine")
    parser.add_argument("-a", "--all", action="store_true", help="your runs that are over too; of a sweep, every run")
    parser.add_argument("--sort", metavar="METRIC", help="of a sweep: the best first, by what its runs wrote; or by a "
                        "parameter. METRIC:min, METRIC:max say which is best")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--rebuild", action="store_true", help="make the queue's file anew of what was sent and of "
                        "run records, where it is damaged")
    form.add_argument("--csv", action="store_true", help="of a sweep: a row for each run, for spreadsheets")


def command(options: argparse.Namespace) -> int:
    """0."""
    import json

    from bareboat.cli.plain import clip, plain, width
    from bareboat.cli.term import Reporter, table
    from bareboat.verbs.queue import listing
    from bareboat.wiring import queue, work

    if options.what == "unit":
        from bareboat.verbs.queue_unit import write

        written = write()
        print("\n".join([f"{written.path} is written; to put it to use:", *(f"  {c}" for c in written.commands)]))
        return 0
    at_work = work(Reporter(options.level))
    collaborators = queue(at_work)
    if options.what == "worker":
        from bareboat.verbs.worker import serve

        return serve(at_work, collaborators, float("inf"))
    if options.rebuild:
        rebuilt(at_work, collaborators)
        return 0
    if options.what:
        if options.what not in ("hold", "release"):
            return sweep(options, collaborators)
        from bareboat.verbs.queue import hold

        hold(collaborators, held=options.what == "hold")
        return 0
    if options.csv or options.sort:
        from bareboat.errors import UsageError

        raise UsageError("usage.no-sweep", "it is for the runs of a sweep", where="--csv" if options.csv else "--sort",
                         hint="bareboat queue SWEEP --csv")
    found = listing(at_work, collaborators, every=options.all)
    if options.json:
        print(json.dumps([document(row) for row in found.rows], indent=2))
    elif not found.rows:
        sys.stderr.write("nothing runs, and nothing waits; send something: bareboat train -- PROGRAM\n")
    else:
        print("\n".join(clip(line, width()) for line in table(list(rows(found))).splitlines()))
    if found.held:
        sys.stderr.write("nothing more of yours starts until: bareboat queue release\n")
    for line in found.problems:
        sys.stderr.write(f"{plain(line)}\n")
    return 0


def sweep(options: argparse.Namespace, queue: Queue) -> int:
    """The runs of a sweep. Raises QueueError "queue.unknown", UsageError "queue.no-sweep"."""
    from bareboat.cli.sweeping import report
    from bareboat.store.scalars import metrics_of
    from bareboat.verbs.outcomes import outcomes
    from bareboat.verbs.polling import refresh
    from bareboat.verbs.sweep import meant

    id = meant(queue.ledger, options.what)
    for line in refresh(queue):
        sys.stderr.write(f"{line}\n")
    print(report(outcomes(id, queue.ledger), options, metrics_of))
    return 0


def rebuilt(work: Work, queue: Queue) -> None:
    """Make the queue's file anew, and say what it has."""
    import sys

    from bareboat.verbs.rebuild import rebuild

    made = rebuild(work, queue)
    print(f"{made.runs} runs of {made.submissions} submissions, {made.waiting} of which wait again")
    if made.aside:
        print(f"the damaged file is {made.aside}")
    sys.stderr.write("nothing starts until you have looked (bareboat queue), and say: bareboat queue release\n")


def rows(found: Listing) -> Iterator[tuple[str, ...]]:
    """The table; of each user no more than a screenful that waits."""
    yield "USER", "RUN", "STATE", "GPUS", "SINCE", "WHY"
    now = time.time()
    left: dict[int, int] = {}
    for row in found.rows:
        if row.state == "pending":
            left[row.uid] = left.get(row.uid, WAITING) - 1
            if left[row.uid] < 0:
                continue
        since = about(now - row.since) if row.since else ""
        yield user(row.uid), row.name or row.run[:12], row.state, gpus(row), since, why(row, now)
    for uid, count in left.items():
        if count < 0:
            yield user(uid), f"and {-count} more", "pending", "", "", ""


def why(row: Row, now: float) -> str:
    """What it waits for, what it holds, or how it ended."""
    if row.state == "running":
        parts = [row.why] if row.why else []
        if row.kind != "training":
            parts.append(row.kind)
        if row.where:
            parts.append(f"on {row.where}")
        if row.units:
            parts.append("GPU " + ", ".join(short(name) + ("" if slots == 12 else f" ({slots}/12)")
                                            for name, slots in row.units))
        if row.attempt > 1:
            parts.append(f"attempt {row.attempt}")
        if row.ends > now:
            parts.append(f"at most {about(row.ends - now)} more")
        return "; ".join(parts)
    if row.state == "pending":
        ahead = f"{row.ahead} ahead" if row.ahead else ""
        parts = [part for part in dict.fromkeys((row.why, ahead)) if part]
        if row.starts > now:
            parts.append(f"starts in about {about(row.starts - now)}")
        return "; ".join(parts)
    code = "" if row.exit_code is None else f"exit {row.exit_code}"
    return "; ".join(part for part in (code, row.why if row.why != code else "") if part)


def gpus(row: Row) -> str:
    """How many it takes, of each node."""
    if not row.need.gpus:
        return ""
    return f"{row.need.gpus:.2g}" + (f" x {row.need.nodes}" if row.need.nodes > 1 else "")


def short(unit: str) -> str:
    """A GPU as people tell it from others: the beginning of its UUID."""
    return unit[:8] if unit.startswith(("GPU-", "MIG-")) else unit


def user(uid: int) -> str:
    """The login name; the number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def document(row: Row) -> dict[str, Any]:
    """A row for programs."""
    from bareboat.record.codec import encode

    found: dict[str, Any] = encode(row)
    return {**found, "user": user(row.uid), "units": dict(row.units)}


def sent_line(sent: Sent, wait: Wait) -> str:
    """What is said after sending."""
    need = sent.training.need
    entry = sent.entries[0]
    parts = [sent.name or entry.run[:8]]
    parts.append(f"{sent.total} runs" if sent.total > 1 else f"attempt {entry.attempt or 1}")
    if need.gpus:
        parts.append(f"{need.gpus:g} GPU{'s' if need.gpus != 1 else ''}"
                     + (f" on each of {need.nodes} nodes" if need.nodes > 1 else ""))
    if wait.ahead:
        parts.append(f"{wait.ahead} ahead of you")
    if wait.starts > time.time():
        parts.append(f"starts in about {about(wait.starts - time.time())}")
    elif wait.why.startswith("after "):
        parts.append(wait.why)
    return f"{'queued':9} " + " · ".join(parts)

"""bareboat queue."""

from __future__ import annotations

import argparse

from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.queue.policy import Wait
    from bareboat.verbs.train import Sent

SUMMARY = "Unattended runs: whose they are, what they wait for, what they hold."
EXAMPLES = """\
  bareboat queue
  bareboat queue --all --json
  bareboat queue worker          carry them out in the foreground
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which of them."""
    parser.add_argument("what", nargs="?", choices=("worker",), help="worker: carry runs out in the foreground")
    parser.add_argument("-a", "--all", action="store_true", help="those that are over too")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """0."""
    from bareboat.cli.term import Reporter, table
    from bareboat.wiring import queue, work

    at_work = work(Reporter(options.level))
    collaborators = queue(at_work)
    if options.what == "worker":
        from bareboat.verbs.worker import serve

        return serve(at_work, collaborators, float("inf"))
    states = () if options.all else ("pending", "running")
    rows: list[tuple[str, ...]] = [("RUN", "NAME", "STATE", "ATTEMPT", "WHY")]
    rows += [(e.run, e.name, e.state, str(e.attempt), e.reason) for e in collaborators.ledger.entries(states)]
    print(table(rows))
    return 0


def sent_line(sent: Sent, wait: Wait) -> str:
    """What is said after sending."""
    need = sent.training.need
    entry = sent.entries[0]
    parts = [sent.name or entry.run[:8]]
    parts.append(f"{sent.total} runs" if sent.total > 1 else f"attempt {entry.attempt or 1}")
    if need.gpus:
        parts.append(f"{need.gpus:g} GPU{'s' if need.gpus != 1 else ''}")
    if wait.ahead:
        parts.append(f"{wait.ahead} ahead of you")
    if wait.starts:
        import time

        parts.append(f"starts in about {about(wait.starts - time.time())}")
    return f"{'queued':9} " + " · ".join(parts)


def about(seconds: float) -> str:
    """A stretch of time as people say it."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"

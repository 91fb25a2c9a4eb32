"""bareboat show."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.cli.plain import about, moment, plain, replay, took
from bareboat.cli.term import size, style
from bareboat.errors import UsageError
from bareboat.host.env import INSIDE

if TYPE_CHECKING:
    from bareboat.record.values import RunRecord
    from bareboat.verbs.show import Account

SUMMARY = "The account of a run: what ran, when, in which image, on which code and data, and what it left."
EXAMPLES = """\
  bareboat show 3f9a1c
  bareboat show last --log
  bareboat show last --json
  bareboat show unet --metrics                          a row for each metric, while it runs
  bareboat show unet vnet --metrics loss "val*"         drawn; piped, their values as CSV
  bareboat show lr --metrics loss --png loss.png        the runs of a sweep
"""
LISTED = 20  # results, variables
TAIL = 10  # lines of the log that an account ends with


def configure(parser: argparse.ArgumentParser) -> None:
    """Which run, and which part of it."""
    parser.add_argument("run", metavar="RUN", nargs="+", help='id or its beginning, a name, or "last"; several, or a '
                        "sweep, with --metrics")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--log", action="store_true", help="the whole log, as the program wrote it; "
                      "on a terminal, control sequences other than colours are shown as text")
    what.add_argument("--metrics", nargs="*", metavar="NAME", help="what it has written so far of metrics into its "
                      "results (CSV, JSON lines, TensorBoard, MLflow …): a row for each; those of a name or a pattern "
                      "are drawn, and piped their values are CSV")
    what.add_argument("--results", metavar="DIR", help="write the results that the store has into this new folder")
    parser.add_argument("--json", action="store_true", help="the record, with --metrics their values, for programs")
    parser.add_argument("--png", metavar="FILE", help="with --metrics: a picture of them")


def command(options: argparse.Namespace) -> int:
    """0; 125 when there is no such run."""
    from bareboat.verbs import show as verb
    from bareboat.wiring import store

    _check(options)
    if options.metrics is not None:
        from bareboat.cli import metrics

        return metrics.command(options)
    run = options.run[0]
    if options.log:
        chunks = verb.log(store(), run)
        for chunk in replay(chunks) if os.isatty(1) else chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(1, view) :]
        return 0
    if options.results:
        count, missing = verb.write_results(store(), run, Path(options.results).absolute())
        print(f"{_files(count)} in {plain(options.results)}")
        if missing:
            names = ", ".join(map(plain, missing[:3]))
            print(f"{_files(len(missing))} too large to be kept: {names}{' …' if len(missing) > 3 else ''}")
        return 0
    if not options.json and (text := _sweep(run)):
        print(text)
        return 0
    account = verb.show(store(), run)
    if options.json:
        print(json.dumps({**account.record.document(), "log_bytes": account.log_bytes}, indent=2))
        return 0
    for name, text in lines(account):
        text = plain(text)  # whatever of it is a stranger's
        print(f"{style(f'{name:9}', 'bold', 1)} {text}" if name else f"{'':9} {text}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError "usage.show" for what does not go together."""
    if options.metrics is None:
        wrong = "several runs" if len(options.run) > 1 else "--png" if options.png else ""
        if wrong:
            raise UsageError("usage.show", f"{wrong}: with --metrics alone", hint="bareboat show RUN … --metrics NAME")
    if options.json and (options.log or options.results):
        raise UsageError("usage.show", "--json is for the record, or with --metrics", hint="say one of them")


def _sweep(text: str) -> str:
    """The table of a sweep, "" where the word means none."""
    from bareboat.queue.moves import found
    from bareboat.verbs.queued import ledger_of
    from bareboat.wiring import store

    with ledger_of(store()) as ledger:
        if ledger is None or found(ledger, text) is not None:
            return ""
        from bareboat.cli.sweeping import report
        from bareboat.store.scalars import metrics_of
        from bareboat.verbs.outcomes import outcomes
        from bareboat.verbs.sweep import sweep_of

        id = sweep_of(ledger, text)
        whole = argparse.Namespace(all=False, json=False, csv=False, sort=None)
        return report(outcomes(id, ledger), whole, metrics_of) if id else ""


def lines(account: Account) -> Iterator[tuple[str, str]]:
    """The account as (heading, text); heading "" continues the one above."""
    from bareboat.verbs.show import command_line

    r = account.record
    yield (
        "run",
        r.id + (f" ({plain(r.name)})" if r.name else "") + (f", repeats {r.rerun_of}" if r.rerun_of else ""),
    )
    if r.origin:
        yield "from", plain(r.origin)
    code = "" if r.exit_code is None else f", exit {r.exit_code}"
    yield "state", r.state + code + (f": {plain(r.reason)}" if r.reason else "")
    yield "when", moment(r.created) + " UTC" + (f", took {took(r.seconds)}" if r.ended else "")
    yield from _before(r)
    yield "command", plain(command_line(r))
    yield "in", f"{plain(r.cwd)}, user {r.uid}:{r.gid}, network {r.network}" + (
        f", GPUs {plain(r.gpus.removeprefix('device='))}" if r.gpus else "")
    if r.root:
        yield "project", f"{plain(r.project)}, {plain(r.root)}"
    yield from _image(account)
    yield from _code(r)
    yield from _data(r)
    yield from _env(r)
    yield from _host(r)
    if r.used is not None:
        from bareboat.cli.used import lines as used

        yield from used(r.used)
    yield from _newest(account) if account.folder else _results(r)
    if r.lost.count:
        names = ", ".join(map(plain, r.lost.first[:3]))
        yield "lost", f"{_files(r.lost.count)}, {size(r.lost.bytes)}: {names}"
    if account.tail:
        yield "log", f"{size(account.log_bytes)}; its end (all of it: bareboat show {r.id[:6]} --log):"
        for line in _last(account.tail):
            yield "", f"| {plain(line)}"
    yield "repeat", account.repeat


def _before(r: RunRecord) -> Iterator[tuple[str, str]]:
    """The attempts before this one, the newest of many."""
    for i, a in enumerate(r.attempts[-LISTED:]):
        code = "" if a.exit_code is None else f", exit {a.exit_code}"
        began = f", began {moment(a.started)} UTC" if a.started else ""
        yield ("" if i else "before"), f"attempt {a.number}: {plain(a.reason) or 'ended'}{code}{began}"


def _last(tail: bytes) -> list[str]:
    """The last lines, progress bars as their last state."""
    from bareboat.cli.screen import Screen

    screen = Screen()
    text = (screen.feed(tail) + screen.finish()).decode("utf-8", "replace")
    return [line.rstrip("\r") for line in text.rstrip("\r\n").split("\n")[-TAIL:]]


def _image(account: Account) -> Iterator[tuple[str, str]]:
    emulated = account.record.platform
    yield "image", (account.record.plan or "none") + (f", {plain(emulated)}, emulated" if emulated else "")
    plan = account.plan
    if plan is None:
        return
    if plan.image is not None and not plan.wheels:
        yield "", f"{plan.image.reference}, {len(plan.image.layers)} layers"
        return
    wheels = "1 Python package" if len(plan.wheels) == 1 else f"{len(plan.wheels)} Python packages"
    yield (
        "",
        f"{plan.base if plan.image else f'{plan.family} {plan.suite}'}, Python {plan.interpreter.full}, {wheels}"
        + ("" if plan.image else f", {len(plan.debs)} of {plan.family}"),
    )
    wanted = [f"{w.name} {w.version}" for w in plan.wheels if w.requested]
    if wanted:
        yield (
            "",
            ", ".join(wanted[:LISTED])
            + (f" and {len(wanted) - LISTED} more" if len(wanted) > LISTED else ""),
        )


def _code(r: RunRecord) -> Iterator[tuple[str, str]]:
    if r.code:
        yield "code", f"{r.code.digest[:19]}, {_files(r.code.files)}, {size(r.code.bytes)}"
        if r.code.left_out:
            yield "", f"not in it: {', '.join(map(plain, r.code.left_out[:3]))}"
    if r.git:
        dirty = f", with changes: {', '.join(map(plain, r.git.changed[:3]))}" if r.git.dirty else ", clean"
        branch = f" on {plain(r.git.branch)}" if r.git.branch else ""
        yield ("" if r.code else "code"), f"commit {r.git.commit[:12] or 'none yet'}{branch}{dirty}"
        if r.git.remote:
            yield "", plain(r.git.remote)


def _data(r: RunRecord) -> Iterator[tuple[str, str]]:
    for i, d in enumerate(r.data):
        f = d.fingerprint
        status = {
            "complete": "all of it hashed",
            "stat-only": "known by names, sizes and times",
            "partial": "not listed to its end",
        }.get(f.status, plain(f.status))
        yield ("" if i else "data"), f"{plain(d.target)}: {_files(f.count)}, {size(f.bytes)}, {status}"
        yield "", plain(d.source)
    if r.data_from:
        yield ("" if r.data else "data"), f"to be had: {plain(r.data_from)}"


def _env(r: RunRecord) -> Iterator[tuple[str, str]]:
    shown = [(name, value) for name, value in r.env if value != INSIDE]
    for i, (name, value) in enumerate(shown[:LISTED]):
        yield ("" if i else "variables"), plain(f"{name}={value}")
    if len(shown) > LISTED:
        yield "", f"and {len(shown) - LISTED} more"
    if len(shown) < len(r.env):
        yield "", f"and {len(r.env) - len(shown)} that name the certificates of the host"
    if r.withheld:
        yield "withheld", plain(", ".join(r.withheld))


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _host(r: RunRecord) -> Iterator[tuple[str, str]]:
    h = r.host
    if h is None:
        return
    yield (
        "host",
        plain(f"{h.name}, Linux {h.kernel}, {h.cores} CPUs of {h.cpu} ({h.level}), {size(h.memory)}"),
    )
    if h.gpus:
        yield "", plain(f"{', '.join(h.gpus)}; {h.driver}")
    yield "", plain(f"bareboat {r.version}, engine {r.engine}")


def _newest(account: Account) -> Iterator[tuple[str, str]]:
    yield "results", f"in {plain(account.folder)}" + (", the newest:" if account.newest else ", nothing yet")
    now = time.time()
    for file in account.newest:
        yield "", f"{size(file.size):>8}  {about(now - file.written):>6} ago  {plain(file.path)}"
    if account.newest:
        yield "", f"metrics: bareboat show {account.record.id[:6]} --metrics"


def _results(r: RunRecord) -> Iterator[tuple[str, str]]:
    if not r.results.folder:
        return
    files, more = r.results.files, r.results.more
    yield "results", f"{len(files) + more} new or changed in {plain(r.results.folder)}"
    for f in files[:LISTED]:
        what = f"link to {plain(f.link)}" if f.link else f"{size(f.size):>8}  {f.sha256[:12] or 'not read'}"
        yield "", f"{what}  {plain(f.path)}"
    if len(files) + more > LISTED:
        yield "", f"and {len(files) + more - LISTED} more"

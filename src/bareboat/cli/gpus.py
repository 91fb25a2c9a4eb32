"""bareboat gpus."""

from __future__ import annotations

import argparse
import json
import sys

from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.verbs.gpus import Gpus, GpuUser, Lessee, Row

SUMMARY = "GPUs of this machine: memory, use, MIG instances, and who uses them, in containers and outside."
EXAMPLES = """\
  bareboat gpus
  bareboat gpus --json
  bareboat run --gpus device=0 -- python train.py
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """0, whether there are any or not; why there is none is said on standard error."""
    from bareboat.cli.plain import clip, width
    from bareboat.cli.term import Reporter, table
    from bareboat.verbs.gpus import gpus, none
    from bareboat.wiring import work

    reporter = Reporter(options.level)
    found = gpus(work(reporter))
    if options.json:
        print(json.dumps(document(found), indent=2))
        return 0
    if not found.rows:
        reporter.say(none(found))
        return 0
    head, *lines = table([("GPU", "NAME", "MEMORY", "BUSY"), *map(_head, found.rows)], right=(2, 3)).splitlines()
    most = width() if sys.stdout.isatty() else None
    shown = [head, *(x for row, line in zip(found.rows, lines, strict=True) for x in (line, *_users(row)))]
    print("\n".join(clip(line, most) if most else line for line in shown))
    if found.driver:
        print(f"\ndriver {found.driver}" + (f", CUDA {found.cuda}" if found.cuda else ""))
    sys.stdout.flush()
    for why in found.missing:
        reporter.say(why)
    return 0


def _head(row: Row) -> tuple[str, ...]:
    """The line of a GPU or an instance."""
    from bareboat.cli.term import size

    gpu, mig = row.gpu, row.mig
    of = mig or gpu
    memory = f"{size(of.used or 0)} of {size(of.memory)}" if of.memory else ""
    busy = "" if mig or gpu.utilisation is None else f"{gpu.utilisation} %"
    return (f"{gpu.index}:{mig.index}", f"  MIG {mig.name}", memory, busy) if mig else (
        str(gpu.index), gpu.name, memory, busy)


def _users(row: Row) -> list[str]:
    """A line for each lease, for each process, and for each container of ours that has neither."""
    from bareboat.cli.plain import plain

    using = {user.container for user in row.users} | {lessee.run for lessee in row.leases}
    lines = [*map(_lessee, row.leases), *map(_user, row.users),
             *(f"{h.name or h.container} holds it, without a process on it"
               for h in row.holders if h.container not in using)]
    if row.gpu.mig and row.mig is None:
        lines = ["in MIG mode: used by its instances" if row.gpu.migs else "in MIG mode, without an instance"]
    return [f"       {plain(line)}" for line in lines]


def _lessee(lessee: Lessee) -> str:
    import time

    if not lessee.kind:
        return f"{lessee.user}'s process {lessee.run} has it locked, and does not say for what"
    share = f"{lessee.share:.2g} of it, " if lessee.share < 1 else ""
    words = [f"{lessee.user}: {lessee.kind} {lessee.name or lessee.run}, {share}"
             f"since {_clock(lessee.since) if lessee.since else 'some time ago'}"]
    if lessee.ends:
        words.append(f"until {_clock(lessee.ends)}" + (", which has passed" if lessee.ends < time.time() else ""))
    return ", ".join(words) + (", asked to end" if lessee.ending else "")


def _clock(seconds: float) -> str:
    """The time of the day, with the day where it is another."""
    import time

    at = time.localtime(min(seconds, 1e11))
    return time.strftime("%H:%M" if at[:3] == time.localtime()[:3] else "%a %d %b %H:%M", at)


def _user(user: GpuUser) -> str:
    from bareboat.cli.term import size

    memory = f", {size(user.memory)}" if user.memory is not None else ""
    who = f"{user.name or user.container}" if user.container else f"{user.user or 'somebody'}, outside"
    return f"{who}: {user.command or 'a process that you may not see'} ({user.pid}{memory})"


def document(found: Gpus) -> dict[str, object]:
    """For programs: memory in bytes, utilisation in percent, null where it is not known; instances within their GPU."""
    from dataclasses import asdict

    listed: list[dict[str, object]] = []
    for row in found.rows:
        of = row.mig or row.gpu
        about = {name: value for name, value in asdict(of).items() if name not in ("migs", "processes")}
        about |= {"processes": [asdict(user) for user in row.users], "containers": [asdict(h) for h in row.holders],
                  "leases": [asdict(lessee) for lessee in row.leases]}
        if row.mig is None:
            listed.append({**about, "instances": []})
        else:
            instances = listed[-1]["instances"]
            assert isinstance(instances, list)
            instances.append(about)
    return {"driver": found.driver, "cuda": found.cuda, "gpus": listed, "cdi": list(found.specs),
            "missing": list(found.missing)}

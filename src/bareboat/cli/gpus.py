"""bareboat gpus."""

from __future__ import annotations

import argparse
import json
import sys

from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.verbs.gpus import Gpus, GpuUser, Row

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
    text = table([("GPU", "NAME", "MEMORY", "BUSY", "USED BY"), *(line for row in found.rows for line in _lines(row))],
                 right=(2, 3))
    print("\n".join(clip(line, width()) for line in text.splitlines()))
    if found.driver:
        print(f"\ndriver {found.driver}" + (f", CUDA {found.cuda}" if found.cuda else ""))
    sys.stdout.flush()
    for why in found.missing:
        reporter.say(why)
    return 0


def _lines(row: Row) -> list[tuple[str, ...]]:
    """A GPU's line with its first user, and a line for each other."""
    from bareboat.cli.term import size

    gpu, mig = row.gpu, row.mig
    of = mig or gpu
    memory = f"{size(of.used or 0)} of {size(of.memory)}" if of.memory else ""
    busy = "" if mig or gpu.utilisation is None else f"{gpu.utilisation} %"
    head = (f"{gpu.index}:{mig.index}", f"  MIG {mig.name}") if mig else (str(gpu.index), gpu.name)
    using = {user.container for user in row.users}
    users = [*map(_user, row.users), *(f"{h.name or h.container} holds it, without a process on it"
                                       for h in row.holders if h.container not in using)]
    if gpu.mig and not mig:
        users = ["MIG mode: used by its instances" if gpu.migs else "MIG mode, without an instance"]
    first, *rest = users or ["free"]
    return [(*head, memory, busy, first), *(("", "", "", "", user) for user in rest)]


def _user(user: GpuUser) -> str:
    from bareboat.cli.plain import clip
    from bareboat.cli.term import size

    memory = f", {size(user.memory)}" if user.memory is not None else ""
    who = f"{user.name or user.container}" if user.container else f"{user.user or 'somebody'}, outside"
    return f"{who}: {clip(user.command, 40) or 'a process that you may not see'} ({user.pid}{memory})"



def document(found: Gpus) -> dict[str, object]:
    """For programs: memory in bytes, utilisation in percent, null where it is not known; instances within their GPU."""
    from dataclasses import asdict

    listed: list[dict[str, object]] = []
    for row in found.rows:
        of = row.mig or row.gpu
        about = {name: value for name, value in asdict(of).items() if name not in ("migs", "processes")}
        about |= {"processes": [asdict(user) for user in row.users], "containers": [asdict(h) for h in row.holders]}
        if row.mig is None:
            listed.append({**about, "instances": []})
        else:
            instances = listed[-1]["instances"]
            assert isinstance(instances, list)
            instances.append(about)
    return {"driver": found.driver, "cuda": found.cuda, "gpus": listed, "cdi": list(found.specs),
            "missing": list(found.missing)}

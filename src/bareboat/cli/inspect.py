"""bareboat inspect."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

SUMMARY = "Layers, packages, and where the size goes."
EXAMPLES = "  bareboat inspect seg:1\n  bareboat inspect 3f2a --json\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a name, or the beginning of a plan digest")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """The layers, the largest first."""
    from bareboat.cli.term import Reporter, size, table
    from bareboat.verbs.images import inspect
    from bareboat.wiring import work

    plan, layers = inspect(options.image, work(Reporter(options.level)))
    total = sum(layer.bytes for layer in layers)
    if options.json:
        print(json.dumps({"plan": plan.digest, **plan.document(), "layers": [asdict(x) for x in layers],
                          "bytes": total}, indent=2))
        return 0
    print(f"plan      {plan.digest}\nplatform  {plan.platform}\nbase      {plan.family}:{plan.suite} as of {plan.date}"
          f"\npython    {plan.interpreter.full} ({plan.interpreter.executable}), {plan.libc}"
          f"\npackages  {len(plan.wheels)} Python, {len(plan.debs)} system\nsize      {size(total)}\n")
    rows = [(size(x.bytes), str(x.files), f"{x.bytes * 100 / total:.0f}%" if total else "", x.what)
            for x in sorted(layers, key=lambda x: -x.bytes)]
    print(table([("SIZE", "FILES", "", "LAYER"), *rows], right=(0, 1, 2)))
    return 0

"""bareboat inspect."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

SUMMARY = "Layers, packages, and where the size goes."
EXAMPLES = ("  bareboat inspect seg:1\n  bareboat inspect 3f2a --json\n"
            "  bareboat inspect --sizes                   of this project: by package, and what is there twice\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="a name, or the beginning of a plan digest "
                        "(default: the image of the project)")
    parser.add_argument("--sizes", action="store_true", help="by package and layer, what is there twice, and what only "
                        "a GPU can use")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """The layers, the largest first."""
    from bareboat.cli.sizes import page
    from bareboat.cli.term import Reporter, size, table
    from bareboat.host.facts import host_facts
    from bareboat.verbs.images import inspect
    from bareboat.verbs.sizes import sizes
    from bareboat.verbs.subject import subject
    from bareboat.wiring import work

    collaborators = work(Reporter(options.level))
    of = subject(options.image, None, collaborators) if options.sizes or options.image is None else None
    if options.sizes:
        assert of is not None
        found = sizes(of.plan, collaborators, host_facts().gpus)
        print(json.dumps(asdict(found), indent=2) if options.json else page(found))
        return 0
    plan, layers = inspect(of.plan.digest if of else options.image, collaborators)
    total = sum(layer.bytes for layer in layers)
    if options.json:
        print(json.dumps({"plan": plan.digest, **plan.document(), "layers": [asdict(x) for x in layers],
                          "bytes": total}, indent=2))
        return 0
    since = f" as of {plan.date}" if plan.date else ""
    python = f"{plan.interpreter.full} ({plan.interpreter.executable}), {plan.libc}"
    packages = f"{len(plan.wheels)} Python, {len(plan.debs)} system"
    if plan.image is not None and not plan.interpreter.full:  # made elsewhere: what is in it, --sizes looks up
        python = packages = "as in the image; bareboat inspect --sizes names them"
    print(f"plan      {plan.digest}\nplatform  {plan.platform}\nbase      {plan.base}{since}"
          f"\npython    {python}\npackages  {packages}\nsize      {size(total)}\n")
    rows = [(size(x.bytes), str(x.files), f"{x.bytes * 100 / total:.0f}%" if total else "", x.what)
            for x in sorted(layers, key=lambda x: -x.bytes)]
    print(table([("SIZE", "FILES", "", "LAYER"), *rows], right=(0, 1, 2)))
    return 0

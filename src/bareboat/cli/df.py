"""bareboat df."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

SUMMARY = "What takes space in the store, and which images share it."
EXAMPLES = "  bareboat df\n  bareboat df --json\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """Kinds first, then images with what only they have."""
    from bareboat.cli.term import Reporter, size, table
    from bareboat.wiring import work

    at_work = work(Reporter(options.level))
    used = at_work.store.usage()
    if options.json:
        print(json.dumps(asdict(used), indent=2))
        return 0
    print(f"{at_work.store.home}: {size(used.total)}, {size(used.free)} free on its disk\n")
    print(table([("KIND", "COUNT", "SIZE", "NOT NEEDED BY ANY IMAGE OR RUN"),
                 *((kind, str(a.count), size(a.bytes), size(a.reclaimable)) for kind, a in used.kinds)],
                right=(1, 2, 3)))
    if used.images:
        print()
        print(table([("IMAGE", "SIZE", "ONLY ITS OWN", "LAYERS"),
                     *((", ".join(i.names) or i.key.removeprefix("sha256:")[:12], size(i.bytes), size(i.unique),
                        str(len(i.trees))) for i in used.images)], right=(1, 2, 3)))
    return 0

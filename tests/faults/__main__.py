"""All fault rows with a count: python -m tests.faults --rounds 10000 prints one line for each."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

from tests.engine_kit import ENGINES
from tests.faults.concurrent import users, writers
from tests.faults.containers import killed_containers, strangers
from tests.faults.crash import crashes, has_strace
from tests.faults.full_disk import errors, failing_fsync, has_namespaces, small_disks
from tests.faults.kills import kills
from tests.faults.layers import layer_images
from tests.faults.leases import leases
from tests.faults.ledger import ledger
from tests.faults.rot import rot
from tests.faults.runs import runs
from tests.faults.sharing import sharing
from tests.faults.short import short


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000, help="of each row (default 10,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--registry", action="store_true", help="row 11 alone: every cell, and how each ended")
    parser.add_argument("--layers", type=int, default=0, help="instead: row 6 with so many hostile images")
    parser.add_argument("--skopeo", metavar="PROGRAM", help="row 11's faults with skopeo as the client, to compare")
    parser.add_argument("--containers", type=int, default=0, help="instead: row 18 with so many containers")
    parser.add_argument("--short", type=int, default=0, help="instead: so many short containers on each engine")
    parser.add_argument("--leases", type=int, default=0, help="instead: row 17 with so many kills")
    parser.add_argument("--sharing", type=int, default=0, help="instead: two users' random submissions on two GPUs")
    parser.add_argument("--queue", type=int, default=0, help="instead: row 19 with so many acknowledged operations")
    parser.add_argument("--runs", type=int, default=0, help="instead: row 15 with so many queued runs")
    options = parser.parse_args()
    if options.skopeo:
        return skopeo(options.skopeo)
    if options.registry:
        return registry()
    n, seed = options.rounds, options.seed
    rows = [lambda: kills(n, seed=seed), lambda: writers(n, seed=seed), lambda: users(n, seed=seed),
            lambda: rot(n, seed=seed), lambda: errors(n, seed=seed)]  # fmt: skip
    if options.layers:
        rows = [lambda: layer_images(options.layers, seed=seed),
                lambda: layer_images(options.layers, seed=seed, walled=True)]
    elif options.leases:
        rows = [lambda: leases(options.leases, seed=seed)]
    elif options.queue:
        rows = [lambda: ledger(options.queue, seed=seed)]
    elif options.runs:
        rows = [lambda: runs(options.runs, seed=seed)]
    elif options.sharing:
        rows = [lambda: sharing(options.sharing, seed=seed)]
    elif options.short:
        rows = [partial(short, kind, options.short) for kind in ENGINES]
    elif options.containers:
        rows = [lambda: killed_containers(options.containers, seed=seed), lambda: strangers(n)]
    elif has_strace:
        rows += [lambda: crashes(n, seed=seed), lambda: failing_fsync(10)]
    alone = (options.layers or options.containers or options.short or options.leases or options.sharing or options.runs
             or options.queue)
    if not alone and has_namespaces():
        rows.append(lambda: small_disks(max(1, n // 50)))
    failed = 0
    for row in rows:
        began = time.monotonic()
        figures = row()
        print(f"{figures.line()} ({time.monotonic() - began:.0f} s)", flush=True)
        for line in figures.bad[:10]:
            print(f"    {line}", flush=True)
        failed += bool(figures.bad)
    return 1 if failed else 0


def skopeo(program: str) -> int:
    """Three of row 11's operations, with another client."""
    from tests.faults.registry_peers import skopeo as cells

    counts, bad = cells(program)
    print(", ".join(f"{how} {count}" for how, count in sorted(counts.items())))
    print("\n".join(bad))
    return 0


def registry() -> int:
    """Row 11, a line a fault and a column an operation, and its controls."""
    from tests.faults.registry_table import OPERATIONS, controls, table

    began = time.monotonic()
    figures, outcomes = table()
    print("columns: " + ", ".join(operation.name for operation in OPERATIONS))
    for fault in dict.fromkeys(o.fault for o in outcomes):
        cells = [o for o in outcomes if o.fault == fault]
        print(f"{fault:44} " + " ".join("+" if o.how == "recovered" else o.code.removeprefix("registry.") or o.how
                                        for o in cells))
    print(f"{figures.line()} ({time.monotonic() - began:.0f} s)", flush=True)
    for line in figures.bad[:20]:
        print(f"    {line}")
    caught = controls()
    for name, count, first in caught:
        print(f"control: {name}: {count} bad findings, the first: {first[:160]}")
    return 1 if figures.bad or not all(count for _, count, _ in caught) else 0


if __name__ == "__main__":
    sys.exit(main())

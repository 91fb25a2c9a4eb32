"""Row 14 with a count: python -m tests.reproducible --rounds 1000 prints one line; --controls one for each control."""

from __future__ import annotations

import argparse
import sys
import time

from tests.reproducible.row import CONTROLS, rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reproducible", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--controls", action="store_true", help="the broken variants instead, which must be caught")
    options = parser.parse_args()
    failed = 0
    for control in CONTROLS if options.controls else [""]:
        began = time.monotonic()
        figures = rows(options.rounds, seed=options.seed, control=control)
        print(f"{figures.line()} ({time.monotonic() - began:.0f} s)", flush=True)
        for line in [] if control else figures.bad[:20]:
            print(f"    {line}", flush=True)
        failed += bool(figures.bad) != bool(control)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

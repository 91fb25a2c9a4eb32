"""bareboat doctor."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from bareboat.cli.plain import plain
from bareboat.cli.term import Reporter, style
from bareboat.engine.base import Check
from bareboat.errors import StoreError

SUMMARY = "Check that this machine can run bareboat; each line is ok or says what to do."
EXAMPLES = ("  bareboat doctor\n"
            "  bareboat doctor --json\n"
            "  sudo bareboat doctor --system      what users of this machine need of its administrator\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", action="store_true", help="for administrators: whether ordinary users can run here")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """0 when the main job can run here, 1 when it cannot."""
    found = _system() if options.system else _found(Reporter(options.level))
    if options.json:
        print(json.dumps([asdict(c) for c in found], indent=2))
    else:
        for c in found:
            word, colour = ("ok  ", "green") if c.ok else ("FAIL", "red") if c.fatal else ("note", "yellow")
            mark = style(word, colour, 1)
            print(f"{mark} {c.name:16} {plain(c.detail)}")
            if not c.ok and c.remedy:
                print(f"{'':21} → {c.remedy}")
    return 1 if any(c.fatal and not c.ok for c in found) else 0


def _system() -> list[Check]:
    from bareboat.verbs.doctor_system import Machine, checks
    from bareboat.wiring import engine, shared_owner

    return checks(Machine(engine, shared_owner))


def _found(tell: Reporter) -> list[Check]:
    """Every check; a store that cannot be opened is one of them, and the others are made all the same."""
    from bareboat.verbs.doctor import checks
    from bareboat.wiring import work

    try:
        return checks(work(tell))
    except StoreError as e:
        import tempfile
        from pathlib import Path

        from bareboat.store import Store
        from bareboat.verbs.collaborators import Work
        from bareboat.wiring import engine, settings

        broken = Check("store", False, f"{e.where}: {e.what}" if e.where else e.what, e.hint, fatal=True)
        with tempfile.TemporaryDirectory(prefix="bareboat-doctor-") as folder:
            chosen = settings()
            others = checks(Work(Store.open(Path(folder) / "store"), engine(chosen), chosen, tell))
        return [broken, *(c for c in others if c.name not in ("store", "disk"))]

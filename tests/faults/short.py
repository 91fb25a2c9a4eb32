"""Many short containers on one engine: each exit code its own, nothing lost of what it wrote, nothing left."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.engine_kit import Session
from tests.faults.kit import Figures


def short(kind: str, count: int) -> Figures:
    """Run so many, one after the other; kind: as in engine_kit.ENGINES."""
    figures = Figures(10, f"short containers on {kind}", {"run": 0})
    with tempfile.TemporaryDirectory(prefix="bareboat-short-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        session = Session(Path(folder))
        try:
            (Path(folder) / "store").mkdir()
            harness = session.harness(kind, Path(folder) / "store")
            for number in range(count):
                heard = harness.run("args", str(number))
                figures.add("run")
                if (heard.text, heard.outcome.code) != (f"<{number}>\n", 0):
                    figures.bad.append(f"{number}: {heard.text!r}, {heard.outcome}")
            if harness.by_daemon and (left := harness.engine.leftovers()):  # type: ignore[attr-defined]
                figures.bad.append(f"left: {left}")
        finally:
            session.end()
    return figures

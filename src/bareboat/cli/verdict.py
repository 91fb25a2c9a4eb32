"""Verdicts in words, for rerun and diff."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bareboat.cli.plain import plain
from bareboat.cli.term import style
from bareboat.errors import UsageError

if TYPE_CHECKING:
    from bareboat.record.tolerance import Tolerance
    from bareboat.record.verdict import Verdict

COLOURS = {"identical": "green", "within tolerance": "green", "differs": "red"}
SHOWN = 30  # files; those that differ come first


def add_tolerance(parser: argparse.ArgumentParser) -> None:
    """--rtol and --atol."""
    parser.add_argument(
        "--rtol",
        type=float,
        default=None,
        metavar="X",
        help="relative tolerance of numbers in CSV, JSON, npy and npz (1e-5)",
    )
    parser.add_argument("--atol", type=float, default=None, metavar="X", help="absolute tolerance (1e-8)")


def tolerance(options: argparse.Namespace) -> Tolerance:
    """What the options say. Raises UsageError usage.tolerance."""
    from bareboat.record.tolerance import Tolerance

    default = Tolerance()
    rtol = default.rtol if options.rtol is None else options.rtol
    atol = default.atol if options.atol is None else options.atol
    if not (0 <= rtol < float("inf") and 0 <= atol < float("inf")):
        raise UsageError(
            "usage.tolerance", "a tolerance is a number that is not negative", hint="as --rtol 1e-3"
        )
    return Tolerance(rtol, atol)


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """Files with their verdict, what differs and by how much; then notes and likely causes."""
    rank = {"differs": 0, "within tolerance": 1, "identical": 2}
    files = sorted(verdict.files, key=lambda f: (rank[f.verdict], f.path))
    for f in files[:SHOWN]:
        by = ""
        if f.absolute is not None and f.relative is not None:
            by = f" (at most {f.absolute:.3g}, relative {f.relative:.3g})"
        detail = f": {plain(f.detail)}" if f.detail else ""
        yield f"  {style(f.verdict, COLOURS[f.verdict], 1)}  {plain(f.path)}{detail}{by}"
    if len(files) > SHOWN:
        yield f"  and {len(files) - SHOWN} more"
    if not files:
        yield "  neither run left files"
    yield from (f"  {plain(note)}" for note in verdict.notes)
    if verdict.causes:
        yield "  likely cause:" if len(verdict.causes) == 1 else "  likely causes, the likeliest first:"
        yield from (f"    {plain(cause)}" for cause in verdict.causes)


def verdict_document(verdict: Verdict) -> dict[str, object]:
    """The verdict for programs; an infinite difference is the text "inf", which JSON has no number for."""

    def plain_number(value: float | None) -> float | str | None:
        return str(value) if value is not None and value in (float("inf"), float("-inf")) else value

    return {
        "verdict": verdict.verdict,
        "files": [
            {
                "path": f.path,
                "verdict": f.verdict,
                "detail": f.detail,
                "absolute": plain_number(f.absolute),
                "relative": plain_number(f.relative),
            }
            for f in verdict.files
        ],
        "notes": list(verdict.notes),
        "causes": list(verdict.causes),
    }

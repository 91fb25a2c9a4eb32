"""The table and the plot, from rows."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from html import escape
from pathlib import Path

from bench.measure import Figure, Row
from bench.place import Place

BAR, GAP, LEFT, WIDE = 14, 12, 330, 420


def machine(place: Place) -> list[tuple[str, str]]:
    """What the figures were taken on."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kilobytes = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    disk = subprocess.run(["df", "--output=fstype", place.work], capture_output=True, check=True).stdout.split()[-1]

    def says(*argv: object) -> str:
        done = subprocess.run([str(a) for a in argv], capture_output=True, check=False, env=place.subject.env)
        return (done.stdout or done.stderr).decode().strip().splitlines()[0]

    return [
        ("kernel", f"Linux {os.uname().release}, {os.uname().machine}"),
        ("processor", f"{processor.group(1).strip() if processor else '?'}, {os.cpu_count()} cores"),
        ("memory", f"{int(kilobytes.group(1)) / 1e6:.0f} GB" if kilobytes else "?"),
        ("file system of stores and images", disk.decode()),
        ("bareboat", says(place.subject.venv / "bin/bareboat", "--version")),
        ("its Python", platform.python_version()),
        ("uv, for both", says(place.subject.uv, "--version")),
        ("bubblewrap", says(place.subject.bwrap, "--version")),
        *([("Docker", place.docker.cli("version", "--format", "{{.Server.Version}}").strip()),
           ("buildx", place.docker.cli("buildx", "version").split()[-2])] if place.docker else []),
        ("load of the machine at the end", f"{os.getloadavg()[1]:.1f} (five minutes)"),
    ]


def table(figures: list[Figure], about: list[tuple[str, str]]) -> str:
    """docs/figures.md."""
    lines = [
        "# Figures", "",
        "Made by `python -m bench --peers DIR`, in one run, in turns with the peer. Times depend on the machine; the",
        "ratios are what counts. Each cell is the median, with minimum and maximum in brackets; a ratio is that of the",
        "medians, with the extremes of the pairs in brackets.", "",
        "![medians beside the peer's](figures.svg)", ""]
    for figure in figures:
        lines += [f"## {figure.title}", "", "| | environment | bareboat | beside it | ratio | goal |",
                  "|---|---|---|---|---|---|"]
        lines += [_line(row) for row in figure.rows]
        lines.append("")
        for text in figure.text:
            lines += [text, ""]
    lines += ["## Where they were taken", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in about]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    goal = "; ".join(f"{g.text}: {'met' if g.met else '**missed**'}" for g in row.goals) or "–"
    ratios = row.ratios
    spread = f" ({min(ratios):.2f}–{max(ratios):.2f})" if len(ratios) > 1 else ""
    return (f"| {row.title} | {row.environment or '–'} | {_samples(row.ours.samples, row.ours.median, row.unit)} | "
            f"{row.theirs.name}: {_samples(row.theirs.samples, row.theirs.median, row.unit)} | "
            f"{_digits(row.ratio)}{spread} | {goal} |")


def _samples(samples: tuple[float, ...], middle: float, unit: str) -> str:
    if len(samples) == 1:
        return f"{_digits(middle)} {unit}"
    return f"{_digits(middle)} {unit} ({_digits(min(samples))}–{_digits(max(samples))}, n={len(samples)})"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def plot(figures: list[Figure]) -> str:
    """docs/figures.svg: a pair of bars for each row, the longer one as wide as the plot, so that ratios show."""
    rows = [row for figure in figures for row in figure.rows]
    height = len(rows) * (2 * BAR + GAP) + 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + 110} {height}" '
             'font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="#fff"/>',
             '<rect x="8" y="8" width="10" height="10" fill="#1f6f8b"/><text x="22" y="17">bareboat</text>',
             '<rect x="90" y="8" width="10" height="10" fill="#c9a66b"/><text x="104" y="17">beside it; '
             'of each pair the longer bar has full width</text>']
    for number, row in enumerate(rows):
        y = 30 + number * (2 * BAR + GAP)
        most = max(row.ours.median, row.theirs.median)
        title = f"{row.title}{', ' + row.environment if row.environment else ''}"
        parts += [f'<text x="{LEFT - 8}" y="{y + BAR - 3}" text-anchor="end">{escape(title)}</text>',
                  f'<text x="{LEFT - 8}" y="{y + 2 * BAR - 3}" text-anchor="end" fill="#777">'
                  f'{escape(row.theirs.name)}</text>']
        for index, (series, colour) in enumerate(((row.ours, "#1f6f8b"), (row.theirs, "#c9a66b"))):
            width = max(1.0, WIDE * series.median / most)
            top = y + index * BAR
            parts += [f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>',
                      f'<text x="{LEFT + width + 4:.1f}" y="{top + BAR - 4}">{_digits(series.median)} '
                      f'{row.unit}</text>']
    return "\n".join([*parts, "</svg>"]) + "\n"

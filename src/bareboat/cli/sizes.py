"""The pages of inspect --sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bareboat.cli.plain import plain
from bareboat.cli.term import size, table

if TYPE_CHECKING:
    from bareboat.verbs.sizes import Sizes

SHOWN = 20  # packages, layers
TWICE_SHOWN = 10


def page(found: Sizes) -> str:
    """What people read: the largest packages and layers, what is there twice, and what has no use here."""
    lines = [f"{size(found.bytes)} in {found.files} files", ""]
    rows = [(size(s.bytes), f"{s.bytes * 100 / found.bytes:.0f}%" if found.bytes else "",
             size(s.packed) if s.packed else "", str(s.files), s.package) for s in found.packages[:SHOWN]]
    rest = found.packages[SHOWN:]
    if rest:
        rows.append((size(sum(s.bytes for s in rest)), "", "", str(sum(s.files for s in rest)),
                     f"{len(rest)} smaller packages"))
    lines += [table([("SIZE", "", "PACKED", "FILES", "PACKAGE"), *rows], right=(0, 1, 2, 3)), ""]
    layers = [(size(x.bytes) if x.bytes else "-", size(x.packed) if x.packed else "-", x.what[:100])
              for x in found.layers[:SHOWN]]
    if found.layers[SHOWN:]:
        layers.append(("", "", f"{len(found.layers) - SHOWN} smaller layers"))
    lines.append(table([("SIZE", "PACKED", "LAYER"), *layers], right=(0, 1)))
    if found.twice:
        lines += ["", f"more than once: {size(found.wasted)} could be spared"]
        for t in found.twice[:TWICE_SHOWN]:
            how = "the same bytes" if t.how == "content" else "several builds"
            lines.append(plain(f"  {size(t.extra):>7}  {t.what} ({how})"))
            lines += [plain(f"           {size(count):>7}  {package}: /{path}") for package, path, count in t.places]
        if found.twice[TWICE_SHOWN:]:
            lines.append(f"           and {len(found.twice) - TWICE_SHOWN} others: --json lists all")
    if found.advice:
        a = found.advice
        more = " and part of torch itself" if any(line.startswith("PyTorch") for line in a.write) else ""
        lines += ["", plain(f"this machine has no GPU: {size(a.saves)}{more} are of no use here: "
                            f"{', '.join(a.packages)}")]
        lines += [plain(f"  {line}") for line in a.write]
    return "\n".join(lines)

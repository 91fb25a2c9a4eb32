"""Row 5: one bit flipped, a file cut short, made longer, exchanged with its neighbour: each must be
noticed.
"""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.kit import Figures, tree_of, workplace

from bareboat.store import Store


def rot(rounds: int, *, control: bool = False, seed: int = 1) -> Figures:
    """control: the quick look that reads no contents, which cannot notice a flipped bit."""
    figures = Figures(5, "bit rot and exchange")
    chance = random.Random(seed)
    with workplace() as place:
        store = Store.open(place / "home")
        for number in range(4):
            store.make_tree(f"t{number}", tree_of(number))
            digest = store.put_blob([b"%d" % number, chance.randbytes(5000)])
            store.put_json("plans", f"p{number}", {"trees": [f"t{number}"], "blobs": [digest]})
            store.tag(f"name{number}", f"p{number}")
            store.runs.create(f"r{number}")
            store.runs.write(f"r{number}", {"number": number, "pins": [f"blob:{digest}"]})
        store.settle()
        files = sorted(_targets(store.home))
        for _ in range(rounds):
            path = chance.choice(files)
            good = path.read_bytes()
            how, bad = _damage(chance, path, files, good)
            if bad == good:
                continue
            path.chmod(0o644)
            path.write_bytes(bad)
            figures.add("damaged")
            noticed = bool(store.check(content=not control).damaged)
            figures.add("detected", int(noticed))
            if not noticed:
                figures.bad.append(f"{how}: {path.relative_to(store.home)}")
            path.write_bytes(good)
            path.chmod(0o444 if path.parent.name == "sha256" else 0o644)
        figures.bad += [f"afterwards: {d.key} {d.what}" for d in store.check().damaged]
    return figures


def _targets(home: Path) -> list[Path]:
    found = [p for p in (home / "trees").glob("*/root/**/*") if p.is_file() and not p.is_symlink()]
    found += (home / "trees").glob("*/manifest")
    found += (home / "blobs/sha256").iterdir()
    found += (home / "documents").glob("*/*")
    found += (home / "runs").glob("*/record.json")
    return found


def _damage(chance: random.Random, path: Path, files: list[Path], good: bytes) -> tuple[str, bytes]:
    how = chance.choice(("flip", "cut", "longer", "exchange"))
    if how == "flip" and good:
        place = chance.randrange(len(good))
        bad = good[:place] + bytes([good[place] ^ (1 << chance.randrange(8))]) + good[place + 1 :]
        if path.name == "record.json" and bad.split() == good.split():
            return how, good  # white space between values means nothing in JSON
        return how, bad
    if how == "cut":
        return how, good[: chance.randrange(len(good))] if good else good
    if how == "longer":
        return how, good + chance.randbytes(chance.randint(1, 100)).replace(b"\n", b"x").replace(b" ", b"x")
    others = [f for f in files if f.parent.parent == path.parent.parent and f != path] or files
    other = chance.choice(others).read_bytes()
    return "exchange", other

"""Row 6 at length: images from a grammar of hostile entries, unpacked and merged beside a canary that is hashed.

python -m tests.faults --layers 100000 prints the line, once without the second wall and once with it.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.builder.layer_factory import TYPES, E, image, member, put, tar
from tests.builder.test_layer_escapes import check_harmless
from tests.corpus.layers import canary
from tests.faults.kit import Figures, workplace

from bareboat.builder import layers
from bareboat.builder.layers import unpack_layer
from bareboat.errors import BareboatError
from bareboat.host.kernel import landlock_writes
from bareboat.image.limits import Limits
from bareboat.lock import BaseImage
from bareboat.store import Store

BATCH = 250  # images in one store
HANG = 20  # seconds for one image
LIMITS = Limits(bytes=8 << 20, entries=200, ratio_after=1 << 20)

Control = Callable[[list[bytes], Path], None]


def names(chance: random.Random, out: str) -> str:
    """A path: mostly of a few short parts, so that entries meet each other."""
    part = ["a", "b", "c", "a", "b", "..", ".", "", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh...", "n" * 99, "\n", "é"]
    roll = chance.random()
    if roll < 0.06:
        return out + chance.choice(["", "/file", "/new", "/dir/file", "/dir"])
    if roll < 0.12:
        return "../" * chance.randint(1, 12) + out.rpartition("/")[2] + chance.choice(["/file", "/new", "/dir"])
    if roll < 0.14:
        return chance.choice(["", ".", "/", "./", "..", "/..", "d/" * chance.randint(50, 300), "x" * 300])
    few = part[:5] if chance.random() < 0.8 else part
    return "/".join(chance.choice(few) for _ in range(chance.randint(1, 4)))


def mild(chance: random.Random, out: str, files: list[str]) -> E:
    """An entry that alone would be well-formed: what it does is up to those before it, of which files are some."""
    kind = chance.choices([b"0", b"5", b"2", b"1"], [35, 25, 25, 15 if files else 0])[0]
    parts = ["a", "b", "c", "d", "e"]
    path = "/".join(chance.choice(parts) for _ in range(chance.choice([1, 1, 1, 2, 2, 3])))
    if chance.random() < 0.1:
        head, _, last = path.rpartition("/")
        path = f"{head}/.wh.{last}" if chance.random() < 0.7 else f"{head}/.wh..wh..opq"
        kind = b"0"
    up = "../" * chance.randint(1, 8)
    link = chance.choice([*parts, "a/b", f"b/{up}", "/", ".", "..", out, f"{out}/file", f"{up}outside", "/a", "/b/c"])
    if kind == b"1" and chance.random() < 0.9:
        link = chance.choice(files)
    elif kind == b"0" and ".wh." not in path:
        files.append(path)
    return E(path, b"escaped" if kind == b"0" else b"", kind, link, chance.choice([0o644, 0o755, 0, 0o6777]))


def entry(chance: random.Random, out: str) -> bytes:
    kind = chance.choices([b"0", b"5", b"2", b"1", b"3", b"6", b"S", b"L", b"g", b"7", b"Z"],
                          [30, 20, 22, 18, 2, 1, 1, 2, 1, 1, 0.5])[0]
    pax: dict[str, str | bytes] = {}
    if chance.random() < 0.08:
        key = chance.choice(["path", "linkpath", "size", "mtime", "uid", "GNU.sparse.map", "GNU.sparse.size",
                             "GNU.sparse.major", "GNU.sparse.name", "SCHILY.xattr.user.overlay.opaque"])
        pax[key] = names(chance, out) if "path" in key or "name" in key else chance.choice(
            ["0", "1", "5", "-1", "9" * 18, "x", "", "0,1,3,2", "1.5"])
    content = b"escaped"[: chance.randint(0, 7)] if kind in b"07S" else b""
    if kind == b"L":
        content = names(chance, out).encode() + b"\0"
    size = None if chance.random() < 0.97 else chance.choice([0, 1, 512, 1 << 40])
    data = bytearray(member(E(names(chance, out), content, kind, names(chance, out), chance.choice(
        [0o644, 0o755, 0, 0o4755, 0o777, 0o7777]), chance.choice([0, 1000]), size=size, pax=pax)))
    if chance.random() < 0.01:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def hostile(seed: int, out: str) -> list[bytes]:
    """The layers of an image that is a function of a number."""
    chance = random.Random(seed)
    if chance.random() < 0.6:
        files: list[str] = []
        return [tar([mild(chance, out, files) for _ in range(chance.randint(1, 7))])
                for _ in range(chance.choice([1, 2, 2, 3]))]
    return [tar([entry(chance, out) for _ in range(chance.randint(1, 8))], bytes(chance.choice([1024, 1024, 512, 0])))
            for _ in range(chance.choice([1, 2, 2, 3]))]


def ours(store: Store, made: BaseImage) -> Path:
    for layer in made.layers:
        unpack_layer(store, layer, LIMITS)
    return layers._make(store, made)


def layer_images(count: int, *, seed: int = 1, walled: bool = False, control: Control | None = None) -> Figures:
    """Row 6. walled: writing elsewhere than in the store is made impossible besides. control: another extractor, which
    must be caught; it can write in the workplace alone.
    """
    figures = Figures(6, "hostile images" + (", walled" if walled else "") + (", control" if control else ""))
    with workplace() as place:
        outside = canary.make(place / "outside")
        inside = place / "inside"
        inside.mkdir()
        before, peak = canary.seen(outside), 0
        for start in range(0, count, BATCH):
            pid = os.fork()
            if not pid:
                code, begun = 1, _resident()
                try:
                    seeds = range(start, min(start + BATCH, count))
                    code = _batch(seeds, seed, inside, outside, walled, control, before)
                    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun
                    (inside / "grown").write_text(str(grown))  # a fork begins with what its parent had
                finally:
                    os._exit(code)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            report = place / "inside/report"
            lines = report.read_text().splitlines() if report.exists() else []
            for line in lines:
                name, _, rest = line.partition("\t")
                if name == "bad":
                    figures.bad.append(rest)
                else:
                    figures.add(name, int(rest))
            if (inside / "grown").exists():
                peak = max(peak, int((inside / "grown").read_text()))
            if status:
                figures.bad.append(f"a batch from {start} ended with {status}")
            shutil.rmtree(inside)
            inside.mkdir()
            if canary.seen(outside) != before:
                shutil.rmtree(outside)
                before = canary.seen(canary.make(outside))
            if sorted(os.listdir(place)) != ["inside", "outside"]:
                figures.bad.append(f"{start}: new in the workplace: {sorted(os.listdir(place))}")
                for name in set(os.listdir(place)) - {"inside", "outside"}:
                    shutil.rmtree(place / name) if (place / name).is_dir() else (place / name).unlink()
    figures.counts["peak MB"] = peak // 1024
    return figures


def _resident() -> int:
    """KiB of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def _batch(seeds: range, seed: int, inside: Path, outside: Path, walled: bool,
           control: Control | None, before: str) -> int:
    counts: dict[str, int] = {}
    bad: list[str] = []
    if (walled or control) and not landlock_writes(os.fsencode(inside if walled else inside.parent)):
        return 0
    os.chdir(inside)

    def hang(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, hang)
    store = Store.open(inside / "home")
    kinds = list(TYPES)
    for number in seeds:
        data = hostile(number * 1_000_003 + seed, str(outside))
        what = ""
        signal.alarm(HANG)
        try:
            if control is not None:
                control(data, inside / f"to{number}")
                what = "extracted"
            else:
                made = image([put(store, layer, kinds[number % 3]) for layer in data])
                check_harmless(ours(store, made))
                what = "merged"
        except BareboatError as error:
            what = "refused"
            if error.code.startswith("store."):
                bad.append(f"{number}: {error}")
        except TimeoutError:
            bad.append(f"{number}: hangs")
        except Exception as error:  # whatever it is, it is no refusal
            if control is None:
                bad.append(f"{number}: {type(error).__name__} {error}")
        signal.alarm(0)
        if canary.seen(outside) != before:
            bad.append(f"{number}: escaped")
            before = canary.seen(outside)
        counts["tried"] = counts.get("tried", 0) + 1
        if what:
            counts[what] = counts.get(what, 0) + 1
    (inside / "report").write_text("".join(f"{k}\t{v}\n" for k, v in counts.items())
                                   + "".join(f"bad\t{line!r}\n" for line in bad))
    return 0

"""Row 14: the same inputs in other circumstances give the same digests; one byte of them gives others.

Each build is a process of its own, with its own user, umask, time zone, locale, directory, file system and order of
directory entries. A control breaks bareboat on purpose in it, and must be caught.
"""

from __future__ import annotations

import json
import locale
import os
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.archive_factory import Key
from tests.faults.kit import Figures
from tests.reproducible.building import build
from tests.reproducible.inputs import CHANGES, Inputs, inputs, write

NOBODY = 65534  # stands for any user who is not root
ZONES = ("UTC", "Pacific/Kiritimati", "America/St_Johns", "<X>-14:59")
LOCALES = ("C", "C.UTF-8", "POSIX")
UMASKS = (0o022, 0o077, 0o002, 0o027)


@dataclass(frozen=True)
class Circumstances:
    """Where and by whom an image is built."""

    home: Path
    uid: int
    umask: int
    zone: str
    locale: str
    order: int  # seed of the order of directory entries


def rows(rounds: int, *, seed: int = 1, control: str = "", changes: Sequence[str] = CHANGES) -> Figures:
    """Rounds of three builds: here, elsewhere, and here again with one byte changed. See Figures.

    changes: the kinds of input of which a byte may be changed.
    """
    figures = Figures(14, f"same inputs, same digests{f' (control: {control})' if control else ''}")
    key = Key()
    with places() as (first, second):
        warm(first / "warm", key)
        for number in range(rounds):
            chance = random.Random(f"{seed}-{number}")
            given = inputs(chance.randrange(1 << 30))
            one = circumstances(chance, first / str(number), 0)
            other = circumstances(chance, second / f"ü {number}", NOBODY)
            a = built(given, one, key, control)
            b = built(given, other, key, control)
            if a is None or b is None:
                figures.bad.append(f"round {number}: a build failed")
            else:
                figures.add("builds compared")
                figures.add("digests equal", sum(a[k] == b.get(k) for k in a))
                figures.bad += [f"round {number}: {k} differs" for k in sorted(a.keys() | b.keys())
                                if a.get(k) != b.get(k)]
                changed = inputs(given.seed, chance.choice(changes))
                c = built(changed, one, key, control)
                figures.add("bytes changed")
                wrong = unchanged(a, c, changed) if c is not None else ["a build failed"]
                figures.bad += [f"round {number}: {changed.touched} changed: {w}" for w in wrong]
                figures.add("seen", not wrong)
            for place in (one.home, other.home):
                shutil.rmtree(place, ignore_errors=True)
    return figures


def unchanged(before: dict[str, str], after: dict[str, str], given: Inputs) -> list[str]:
    """What should have changed with the input and did not; what changed that does not depend on it."""
    wrong = [f"{k} is the same" for k in ("plan", "manifest", "config", "archive") if before[k] == after[k]]
    kind = given.touched_tree
    for form in ("tree", "layer"):
        names = [n for n in before if n.startswith(f"{form} ") and before[n] != after.get(n)]
        kinds = sorted({n.split(" ", 2)[2] for n in names})
        if kind == "base":
            kinds = [k for k in kinds if k != "base-extra"]  # whose key names the base below it
        if kinds != ([kind] if kind else []):
            wrong.append(f"{form}s that changed: {kinds}, not {kind or 'none'}")
        elif kind == "wheel" and len(names) != 1:
            wrong.append(f"{len(names)} {form}s of wheels changed")
    return wrong


def places() -> Any:
    """Two directories on two file systems where there are two, open to every user."""
    from contextlib import contextmanager

    @contextmanager
    def made() -> Iterator[tuple[Path, Path]]:
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        found = [Path(tempfile.mkdtemp(prefix="bareboat-row14-", dir=d)) for d in (shared, None)]
        for path in found:
            path.chmod(0o777)
        try:
            yield found[0], found[1]
        finally:
            for path in found:
                shutil.rmtree(path, ignore_errors=True)

    return made()


def circumstances(chance: random.Random, home: Path, uid: int) -> Circumstances:
    """Others each time; uid: of the build where this process may choose, else its own."""
    return Circumstances(home, uid if os.getuid() == 0 else os.getuid(), chance.choice(UMASKS), chance.choice(ZONES),
                         chance.choice(LOCALES), chance.randrange(1 << 30))


def warm(home: Path, key: Key) -> None:
    """Import what a build imports late, since another user may not read this Python's library."""
    home.mkdir()
    given = inputs(0)
    write(given, home / "mirror", key)
    build(given, home / "mirror", key, home / "store")


def built(given: Inputs, where: Circumstances, key: Key, control: str = "") -> dict[str, str] | None:
    """The digests of a build in a process of its own; None when it failed, its error on standard error."""
    where.home.mkdir(exist_ok=True)
    os.chown(where.home, where.uid, -1)
    mirror = where.home / f"mirror{given.touched}"
    write(given, mirror, key)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            enter(where)
            CONTROLS.get(control, lambda: None)()
            found = build(given, mirror, key, where.home / "store")
            with os.fdopen(writer, "w") as file:
                json.dump(found, file)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    return json.loads(text) if os.waitpid(pid, 0)[1] == 0 else None


def enter(where: Circumstances) -> None:
    """Take on the circumstances, for good."""
    os.chdir(where.home)
    if os.getuid() == 0 and where.uid:
        os.setgroups([])
        os.setgid(where.uid)
        os.setuid(where.uid)
    os.umask(where.umask)
    os.environ.update(TZ=where.zone, LC_ALL=where.locale, LANG=where.locale, HOME=str(where.home))
    time.tzset()
    try:
        locale.setlocale(locale.LC_ALL, where.locale)
    except locale.Error:
        pass  # not on this machine
    shuffle(where.order)


def shuffle(seed: int) -> None:
    """Let directories give their entries in another order from now on."""
    chance = random.Random(seed)
    listdir, scandir = os.listdir, os.scandir

    def shuffled_listdir(*arguments: Any) -> list[Any]:
        names = sorted(listdir(*arguments))
        chance.shuffle(names)
        return names

    class Shuffled:
        def __init__(self, *arguments: Any) -> None:
            with scandir(*arguments) as entries:
                found = sorted(entries, key=lambda e: os.fsencode(e.name))
            chance.shuffle(found)
            self._entries = iter(found)

        def __enter__(self) -> Shuffled:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __iter__(self) -> Iterator[Any]:
            return self._entries

        def __next__(self) -> Any:
            return next(self._entries)

        def close(self) -> None:
            pass

    os.listdir, os.scandir = shuffled_listdir, Shuffled  # type: ignore[assignment,misc]


# What goes wrong in other tools, done to bareboat on purpose; each runs in the process of one build.


def current_time_in_trees() -> None:
    from bareboat.store import treewriter

    now = time.time_ns()
    treewriter._TIMES = (now, now)


def current_time_in_layers() -> None:
    from bareboat.image import layer

    layer.EPOCH = int(time.time() * 1000) % (1 << 32)


def modes_by_umask() -> None:
    mask = os.umask(0)
    os.umask(mask)
    fchmod = os.fchmod
    os.fchmod = lambda fd, mode: fchmod(fd, mode & ~mask)


def directory_order() -> None:
    from bareboat.builder import blobs

    blobs.sorted = lambda entries, **_: list(entries)  # type: ignore[attr-defined]


def owner_in_layers() -> None:
    from bareboat.image import layer

    block = layer._block
    owner = b"%07o\0" % os.getuid()
    layer._block = lambda *a: (b := block(*a))[:108] + owner + b[116:]


def stale_cache() -> None:
    from bareboat.builder import blobs

    blobs.wheel_tree_key = lambda wheel, _: f"wheel-{wheel.name}-1"


CONTROLS: dict[str, Callable[[], None]] = {
    "current time in trees": current_time_in_trees,
    "current time in layers": current_time_in_layers,
    "modes by umask": modes_by_umask,
    "directory order": directory_order,
    "owner in layers": owner_in_layers,
    "stale cache": stale_cache,
}

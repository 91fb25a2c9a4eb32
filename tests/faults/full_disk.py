"""Rows 20 and the second half of 2: errors of the disk at every step, by injection and on a file system
that is full.
"""

from __future__ import annotations

import errno
import os
import random
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.kit import Figures, chunked, content, corrupt, sha256, tree_of, workplace

from bareboat.errors import BareboatError
from bareboat.store import Store, blobs
from bareboat.store.gc import Policy

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE)
CALLS = ("open", "write", "fsync", "rename", "mkdir", "link", "symlink", "fchmod", "utime", "unlink", "rmdir",
         "statvfs", "listdir", "scandir", "stat", "close")  # fmt: skip


class Injector:
    """Makes the n-th call of the os module fail. With n beyond the last it only counts."""

    def __init__(self, number: int, error: int) -> None:
        self.left, self.error, self.hit = number, error, ""

    @contextmanager
    def armed(self) -> Iterator[None]:
        real = {name: getattr(os, name) for name in CALLS}
        try:
            for name, function in real.items():
                setattr(os, name, self._wrapped(name, function))
            yield
        finally:
            for name, function in real.items():
                setattr(os, name, function)

    def _wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.hit = name
                if name == "close":
                    real(*args, **named)  # the descriptor is gone even when close fails (close(2))
                raise OSError(self.error, os.strerror(self.error))
            return real(*args, **named)

        return call


def in_place(self: blobs.Blobs, chunks: Iterable[bytes], digest: str | None, size: object, where: str) -> str:
    """The control: bytes go where they will be seen."""
    assert digest is not None
    fd = os.open(self._layout.blob(digest), os.O_WRONLY | os.O_CREAT, 0o600)
    for chunk in chunks:
        os.write(fd, chunk)
    os.close(fd)
    return digest


def errors(rounds: int, *, control: bool = False, seed: int = 1) -> Figures:
    """Row 20, by injection: each operation with each error at a random step; then the store is whole and
    gc works.
    """
    figures = Figures(20, "errors of the disk at each step")
    chance = random.Random(seed)
    real_put = blobs.Blobs.put
    if control:
        blobs.Blobs.put = in_place  # type: ignore[method-assign]
    try:
        with workplace() as place:
            store = Store.open(place / "home")
            for number in range(rounds):
                _one(store, chance, figures)
                if number % 50 == 0:
                    store.close()  # what was asked for so far may be collected
            store.close()
            store.gc(Policy(older_than=1e9, grace=0))
            figures.bad += [f"left: {name}" for name in os.listdir(store.home / "tmp")]
    finally:
        blobs.Blobs.put = real_put  # type: ignore[method-assign]
    return figures


def _one(store: Store, chance: random.Random, figures: Figures) -> None:
    number = chance.randrange(1 << 40)
    operation, verify = _operation(store, chance, number)
    injector = Injector(chance.randint(1, 40), chance.choice(ERRORS))
    done = False
    try:
        with injector.armed():
            operation()
        done = True
    except BareboatError as error:
        figures.add("clean errors")
        if not error.where or not error.code.startswith(("store.", "record.")):
            figures.bad.append(f"an error that does not say where: {error.code} {error}")
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-3:]
        where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(place))
        figures.bad.append(f"{type(error).__name__} after {injector.hit}: {error} in {where}")
    figures.add("injected", int(injector.left <= 0))
    if done and not verify():
        figures.bad.append(f"acknowledged and not there, after {injector.hit}")
    if chance.random() < 0.1:
        figures.bad += corrupt(store)


def _operation(
    store: Store, chance: random.Random, number: int
) -> tuple[Callable[[], object], Callable[[], bool]]:
    data = content(number)
    digest = sha256(data)

    def build_and_settle() -> None:
        store.make_tree(f"t{number}", tree_of(number))
        store.settle()

    def run() -> None:
        store.runs.create(f"r{number}")
        store.runs.write(f"r{number}", {"n": number})

    def collect() -> None:
        store.gc(Policy(older_than=0, grace=0, now=time.time() + 10))

    return chance.choice((
        (lambda: store.put_blob(chunked(data), sha256=digest), lambda: store.blob(digest) is not None),
        (lambda: store.put_json("notes", str(number % 20), number),
         lambda: store.get_json("notes", str(number % 20)) == number),
        (lambda: store.make_tree(f"t{number}", tree_of(number)),
         lambda: store.tree(f"t{number}") is not None),
        (build_and_settle, lambda: store.tree(f"t{number}") is not None),
        (run, lambda: store.runs.read(f"r{number}") == {"n": number}),
        (collect, lambda: True),
    ))  # fmt: skip


SMALL_DISK = """
import os, sys
from pathlib import Path
from tests.faults.full_disk import on_a_small_disk
print(on_a_small_disk(Path(sys.argv[1]), int(sys.argv[2])))
"""

_MOUNT = 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"'


def has_namespaces() -> bool:
    """Whether an ordinary user may mount a small disk here."""
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode == 0


def small_disks(rounds: int) -> Figures:
    """Row 20, for real: disks with room for a little more each time, in bytes and in inodes."""
    figures = Figures(20, "a disk that is really full")
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    with workplace() as place:
        (place / "mnt").mkdir()
        for number in range(rounds):
            options = (
                f"nr_inodes={40 + number * 7},size=4m" if number % 2 else f"size={(20 + number * 9) * 4}k"
            )
            command = ["unshare", "-Urm", "sh", "-c", _MOUNT, "sh", options, str(place / "mnt"),
                       sys.executable, "-c", SMALL_DISK, str(place / "mnt/home"), str(number)]  # fmt: skip
            done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True)
            figures.add("disks")
            if done.returncode != 0:
                figures.bad.append(f"{options}: {done.stderr.strip()[-300:]}")
                continue
            refused, found = done.stdout.strip().split(" ", 1)
            figures.add("refused with path", int(refused))
            if found != "[]":
                figures.bad.append(f"{options}: {found}")
    return figures


def on_a_small_disk(home: Path, seed: int) -> str:
    """Fill it by every kind of operation, then collect with no byte free. Returns "REFUSED [bad, …]"."""
    refused, bad, chance = 0, [], random.Random(seed)
    try:
        store = Store.open(home)
    except BareboatError as error:
        return f"1 {[] if error.code == 'store.full' else [str(error)]}"
    for _ in range(60):
        number = chance.randrange(1 << 40)
        operation, verify = _operation(store, chance, number)
        try:
            operation()
            if not verify():
                bad.append("acknowledged and not there")
        except BareboatError as error:
            refused += 1
            if error.code != "store.full" or not error.where or "gc" not in error.hint:
                bad.append(f"{error.code}: {error}")
    try:
        store.close()
        with open(home.parent / "ballast", "wb") as file:
            while file.write(bytes(4096)):
                file.flush()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            bad.append(str(error))
    bad += corrupt_without_leases(home)
    store.gc(Policy(older_than=0, grace=0, now=time.time() + 1e6))
    left = [*os.listdir(home / "tmp"), *os.listdir(home / "trees"), *os.listdir(home / "blobs/sha256")]
    return f"{refused} {bad + [f'gc left {name}' for name in left]}"


def corrupt_without_leases(home: Path) -> list[str]:
    """What is visible and wrong; looking needs no room."""
    return corrupt(Store.open(home))


ONE_PUT = """
import sys
from pathlib import Path
from bareboat.store import Store
store = Store.open(Path(sys.argv[1]))
try:
    print("acknowledged", store.put_blob([b"x" * 100000]))
except Exception as error:
    print("refused", getattr(error, "code", type(error).__name__), error)
"""


def failing_fsync(rounds: int) -> Figures:
    """Row 2, second half: the k-th fsync of a put reports EIO. Never acknowledged, never tried again."""
    figures = Figures(2, "fsync that fails")
    for number in range(1, rounds + 1):
        with workplace() as place:
            Store.open(place / "home")
            log = place / "strace"
            command = ["strace", "-f", "-y", "-e", "trace=fsync", "-e",
                       f"inject=fsync:error=EIO:when={number}", "-o", str(log),
                       sys.executable, "-c", ONE_PUT, str(place / "home")]  # fmt: skip
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            failed = [m.group(1) for m in re.finditer(r"fsync\(\d+<(.*)>\) += -1 EIO", log.read_text())]
            if not failed:
                figures.bad += [] if done.stdout.startswith("acknowledged") else [done.stdout]
                break
            figures.add("failed")
            again = log.read_text().count(f"<{failed[0]}>")
            if not done.stdout.startswith("refused store.io") or again != 1:
                figures.bad.append(f"fsync {number} of {failed[0]}: {done.stdout} ({again} times)")
            if number == 1 and os.listdir(place / "home/blobs/sha256") + os.listdir(place / "home/tmp"):
                figures.bad.append("bytes that were never synced are visible")
    return figures

"""Collecting: what nobody used for long and nothing keeps goes.

Kept whatever its age: what a living process leases; what tags name; what records pin; what the `keep` most
recently used images need, and what any image used since `older_than` needs; all that is younger than the
grace. Decided and made invisible under the exclusive store lock, so nobody can take hold of a thing in
between; removed after it. Needs no free space: a file is unlinked, a tree renamed aside or, where even that
fails, hidden by unlinking.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from dataclasses import dataclass

from bareboat.host.files import remove_tree
from bareboat.store.disk_errors import disk_error
from bareboat.store.leases import leased_keys
from bareboat.store.locks import store_lock
from bareboat.store.paths import Layout
from bareboat.store.references import TREE, Ref
from bareboat.store.runs import RunStore
from bareboat.store.survey import Item, Survey

GRACE = 3600.0
DAY = 86400.0
CODE = "code"  # fetched by --code


@dataclass(frozen=True)
class Policy:
    """older_than, grace in seconds; keep: how many of the last used images stay whatever their age.

    now: seconds since the epoch, for tests. Things used in the future (a clock that was wrong) count as
    young.
    """

    older_than: float = 30 * DAY
    keep: int = 0
    dry_run: bool = False
    grace: float = GRACE
    now: float | None = None


@dataclass(frozen=True)
class Removed:
    """Something that went (or would). bytes: what its removal frees, hard links to what stays not counted."""

    kind: str  # "tree", "blob", "document", "code", or "leftover" of a process that died
    key: str
    bytes: int
    used: float


@dataclass(frozen=True)
class GcReport:
    """removed: in order of kind and key; kept: things that stay; bytes: freed in all."""

    removed: tuple[Removed, ...]
    kept: int
    bytes: int
    dry_run: bool


def collect(layout: Layout, policy: Policy) -> GcReport:
    """See Store.gc. Raises StoreError; what could not be removed is tried again by the next gc."""
    now = time.time() if policy.now is None else policy.now
    survey = Survey()
    try:
        survey.read(layout)  # the long part, before anybody has to wait
        with store_lock(layout, exclusive=True):
            survey.read(layout)
            leased = leased_keys(layout, remove=not policy.dry_run)
            doomed = _doomed(survey, leased, policy, now)
            leftovers = [*_leftovers(layout, policy, now), *_checkouts(layout, leased, policy, now)]
            doomed, claims = _unheld(doomed) if layout.lent else (doomed, [])
            sizes, going = _Sizes(), (*doomed, *leftovers)
            try:
                aside = [] if policy.dry_run else [_hide(layout, item) for item in going]
            finally:
                for fd in claims:
                    os.close(fd)
        gone = [(item, sizes.measure(item.path)) for item in going] if policy.dry_run else []
        for item, hidden, size in aside:
            gone.append((item, size + sizes.measure(hidden) if hidden else size))
            if hidden:
                remove_tree(hidden)
    except OSError as error:
        raise disk_error(error, layout.home) from error
    removed = [Removed(item.ref.kind, item.ref.key, size, item.used) for item, size in gone]
    removed.sort(key=lambda r: (r.kind, r.key))
    kept = len(survey.items) - len(doomed)
    return GcReport(tuple(removed), kept, sum(r.bytes for r in removed), policy.dry_run)


def _doomed(survey: Survey, leased: set[str], policy: Policy, now: float) -> list[Item]:
    oldest = now - max(policy.older_than, policy.grace)
    images = survey.images()
    roots = {ref for found in (*survey.tags.values(), *survey.runs.values()) for ref in found}
    roots |= {i.ref for n, i in enumerate(images) if n < policy.keep or i.used >= oldest}
    marked = survey.closure(frozenset(roots))
    marked |= survey.closure(
        frozenset(r for r, i in survey.items.items() if r.key in leased or i.used >= oldest)
    )
    return [item for ref, item in sorted(survey.items.items()) if ref not in marked]


def _unheld(doomed: list[Item]) -> tuple[list[Item], list[int]]:
    """Without the trees that another user's process has, and locks that keep others from taking hold of the rest."""
    from bareboat.store.lending import claim

    free, claims = [], []
    for item in doomed:
        fd = claim(item.path) if item.ref.kind == TREE else -1
        if fd is None:
            continue
        free.append(item)
        if fd >= 0:
            claims.append(fd)
    return free, claims


def _leftovers(layout: Layout, policy: Policy, now: float) -> list[Item]:
    """What dead processes left in tmp/, runs without a record, and marks of trees that are gone."""
    found = []
    for name in os.listdir(layout.at("tmp")):
        path = layout.at("tmp", name)
        limit = max(policy.older_than, policy.grace) if name.startswith("partial-") else 0.0
        used = _used(path)
        if used is not None and now - used >= limit and not _is_locked(path):
            found.append(Item(Ref("leftover", f"tmp/{name}"), path, used))
    runs = RunStore(layout)
    for name in set(os.listdir(layout.at("runs"))) - set(runs.ids()):
        path = layout.at("runs", name)
        used = _used(path)
        if used is not None and now - used >= policy.grace and not runs.is_alive(name):
            found.append(Item(Ref("leftover", f"runs/{name}"), path, used))
    for key in os.listdir(layout.at("unsettled")):
        if (
            not os.path.exists(layout.tree(key))
            and now - (_used(layout.at("unsettled", key)) or now) >= policy.grace
        ):
            found.append(Item(Ref("leftover", f"unsettled/{key}"), layout.at("unsettled", key), 0.0))
    return found


def _checkouts(layout: Layout, leased: set[str], policy: Policy, now: float) -> list[Item]:
    """Fetched code that nobody used for long, and that no container which can be started again has mounted: it can be
    fetched again.
    """
    found = []
    needed = _started_from(layout)
    for name in _listed(layout.at("checkouts")):
        path = layout.at("checkouts", name)
        used = _used(path)
        if used is not None and now - used >= max(policy.older_than, policy.grace) and \
                f"checkout:{name}" not in leased and f'"checkout:{name}"'.encode() not in needed:
            found.append(Item(Ref(CODE, name), path, used))
    return found


def _started_from(layout: Layout) -> bytes:
    """What listed containers are started from (verbs/launch.py), as it is written: only whole keys are looked for."""
    found = []
    for name in _listed(layout.at("documents", "starts")):
        try:
            with open(layout.at("documents", "starts", name), "rb") as file:
                found.append(file.read())
        except OSError:
            continue
    return b"\n".join(found)


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _used(path: str) -> float | None:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None


def _is_locked(path: str) -> bool:
    """Whether a living process is at it. A scratch directory has its lock inside, a file is its own."""
    for target in (f"{path}/lock", path):
        try:
            fd = os.open(target, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except IsADirectoryError:
            return False
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ENOENT, errno.ELOOP):
                continue
            return True  # what cannot be looked at stays
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False
    return False


def _hide(layout: Layout, item: Item) -> tuple[Item, str, int]:
    """Make an item invisible: it, what of it is still to be removed ("" when nothing is), and bytes freed
    already.
    """
    ref = item.ref
    if ref.kind in (TREE, CODE):
        aside = layout.at("tmp", f"gone-{os.urandom(8).hex()}")
        try:
            os.rename(item.path, aside)
        except FileNotFoundError:
            return item, "", 0
        except OSError:  # no room for another name: without its marks it counts as absent
            for mark in ("synced", "boot") if ref.kind == TREE else ():
                _unlink(f"{item.path}/{mark}")
            aside = item.path
        if ref.kind == TREE:
            _unlink(layout.at("unsettled", ref.key))
        return item, aside, 0
    if ref.kind == "leftover" and os.path.isdir(item.path):
        return item, item.path, 0
    size = _Sizes().measure(item.path)
    _unlink(item.path)
    return item, "", size


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


class _Sizes:
    """Bytes that removing frees: a file with several names counts when the last of them goes."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], int] = {}

    def measure(self, path: str) -> int:
        total = 0
        pending = [path]
        while pending:
            current = pending.pop()
            try:
                status = os.lstat(current)
                if (status.st_mode & 0o170000) == 0o040000:
                    pending.extend(f"{current}/{name}" for name in os.listdir(current))
            except OSError:
                continue
            if status.st_nlink > 1 and (status.st_mode & 0o170000) != 0o040000:
                seen = self._names.get((status.st_dev, status.st_ino), 0) + 1
                self._names[(status.st_dev, status.st_ino)] = seen
                if seen < status.st_nlink:
                    continue
            total += status.st_blocks * 512
        return total

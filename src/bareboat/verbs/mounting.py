"""The mounts of a run: those of the command line read, and volumes found, made and filled."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import StoreError
from bareboat.project.values import ProjectMount
from bareboat.project.volumes import NOWHERE
from bareboat.record.values import timestamp
from bareboat.values import replace
from bareboat.verbs import caches
from bareboat.verbs.collaborators import Work
from bareboat.workload import Mount, Workload

if TYPE_CHECKING:
    from bareboat.verbs.environment import Environment
    from bareboat.verbs.prepare import RunRequest


def asked(request: RunRequest) -> tuple[ProjectMount, ...]:
    """What -v, --mount and --tmpfs say, parents before what is inside them. Raises ProjectError "project.*"."""
    from bareboat.project import stacked
    from bareboat.project.mounts import parse_mount, parse_tmpfs
    from bareboat.project.volumes import parse_volume

    here = Path.cwd()
    found = [*(parse_volume(text, here) for text in request.volumes),
             *(parse_mount(text, here) for text in request.mounts), *(parse_tmpfs(text) for text in request.tmpfs)]
    return stacked(found, "command line")


def placed(mounts: tuple[ProjectMount, ...], environment: Environment, work: Work, *,
           cache: bool = False) -> tuple[ProjectMount, ...]:
    """The mounts with the directory of each named volume as its source. One that is new, or empty, gets what the image
    has at its place. cache: with the user's cache, unless something else is mounted where it goes. Raises StoreError.
    """
    trees = [tree for tree in work.store.trees(environment.trees) if tree is not None]
    found = tuple(_named(mount, trees, work) if mount.kind == "volume" else mount for mount in mounts)
    if not cache or any(mount.target == caches.TARGET for mount in mounts):
        return found
    return (*found, _cache(work))


def points_in(code: Mapping[str, str], mounts: Iterable[Mount], others: Iterable[str]) -> tuple[tuple[str, bool], ...]:
    """Where something is mounted within code of a snapshot: the path in the snapshot, and whether it is a directory.

    code: where in the snapshot ("" for all of it) what is mounted at each target lies. others: targets that are
    directories made for the run.
    """
    found = []
    folders = ((target, True) for target in others)
    for target, directory in (*((m.target, not os.path.isfile(m.source)) for m in mounts), *folders):
        above = max((c for c in code if target.startswith(c.rstrip("/") + "/")), key=len, default=None)
        if above is not None and target not in code:
            inner = target[len(above.rstrip("/")) + 1:]
            found.append((f"{code[above]}/{inner}" if code[above] else inner, directory))
    return tuple(found)


def _cache(work: Work) -> ProjectMount:
    own = work.settings.cache_directory
    if own is None:
        return _named(ProjectMount(NOWHERE, caches.TARGET, False, "cache", caches.VOLUME, copy=False), (), work)
    try:
        own.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("cache.directory", f"the cache cannot be made: {error.strerror}", where=os.fspath(own),
                         hint="correct the setting cache-directory, or run with --no-cache") from None
    return ProjectMount(own, caches.TARGET, False, "cache")


def _named(mount: ProjectMount, trees: Sequence[Path], work: Work) -> ProjectMount:
    def fill(data: str) -> str:
        count = _filled(trees, mount.target, data) if mount.copy else 0
        if count:
            files = f"{count} file{'s' if count != 1 else ''}"
            work.tell.say(f"volume {mount.name}: begins with {files} that the image has at {mount.target}")
        return f"the image's {mount.target}" if count else ""

    found = None
    while found is None:  # removed by somebody else before it was ours
        work.store.volumes.make(mount.name, {}, timestamp(time.time()), fill)
        found = work.store.volumes.find(mount.name)
    return replace(mount, source=found.data)


def _filled(trees: Sequence[Path], target: str, into: str) -> int:
    from bareboat.store.filling import fill

    return fill([os.fspath(tree) for tree in trees], target, into)


@contextmanager
def anonymous(load: Workload, targets: Sequence[tuple[str, bool]], work: Work) -> Iterator[Workload]:
    """The workload with a new directory of the store's disk for each anonymous volume; gone afterwards, however this
    process ends. targets: with whether it begins with what the image has there.
    """
    with work.store.scratch("volumes") as folder:
        mounts = []
        for number, (target, copy) in enumerate(targets):
            place = folder / str(number)
            place.mkdir(0o755)
            if copy:
                _filled(load.root.trees, target, os.fspath(place))
            mounts.append(Mount(place, target))
        yield replace(load, mounts=(*load.mounts, *mounts))

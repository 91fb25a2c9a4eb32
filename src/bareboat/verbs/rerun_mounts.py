"""What a repetition mounts: code from its snapshot, data where they are, results into the fresh folder.

A record of somebody else's names folders of their machine. Here those names mean nothing, or worse, the receiver's own
home: each is mounted only from where the receiver says (docs/decisions/0121).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import RecordError, UsageError
from bareboat.record.values import RecordedMount, RunRecord
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.workload import Mount, Tmpfs

if TYPE_CHECKING:
    from bareboat.store import Store
    from bareboat.verbs.rerun import RerunRequest


def mounts(old: RunRecord, request: RerunRequest, work: Work, results: Path) -> tuple[Mount, ...]:
    """The mounts of the repetition, all but results read-only. Makes nothing but a tree of the code.

    Raises RecordError "record.code-gone", "record.data-gone", "record.data-needed", "record.mount-needed", UsageError
    "usage.mount".
    """
    given = given_for(old, request)
    code: Path | None = None
    found: list[Mount] = []
    for mount in old.mounts:
        if mount.target in given:
            found.append(_from_here(mount, given[mount.target], work))
        elif mount.kind == "results":
            found.append(Mount(results, mount.target))
        elif mount.kind == "code" and old.code is not None and _is_snapshot(mount, old):
            if code is None:
                from bareboat.store.codetree import materialise

                code = materialise(work.store, old.code, _points(old, given)).resolve()
            found.append(_of_code(mount, code, old))
        elif mount.kind == "anonymous":
            continue  # a new one, as every run has: anonymous()
        elif mount.kind == "startup":
            found.append(_script(mount, old, work))
        elif mount.kind == "cache":
            found += _cache(mount, old, work)
        elif not made_here(old):
            found.append(_nothing(mount, old, work))
        elif mount.kind == "volume":
            found.append(_volume(mount, work))
        else:
            found.append(_from_here(mount, Path(mount.source), work))
    return tuple(found)


def _points(old: RunRecord, given: Mapping[str, Path]) -> tuple[tuple[str, bool], ...]:
    """What the repetition mounts within the code of the snapshot."""
    from bareboat.verbs.mounting import points_in

    within = {m.target: m.within for m in old.mounts if m.kind == "code" and _in_snapshot(m, old)}
    here = made_here(old)  # what a stranger's record names is not even looked at: a directory, unless it is given
    others = (Mount(given.get(m.target, Path(m.source if here else "/")), m.target) for m in old.mounts
              if m.kind != "startup")
    return points_in(within, others, (memory.target for memory in old.tmpfs))


def anonymous(old: RunRecord, made: tuple[Mount, ...]) -> tuple[tuple[str, bool], ...]:
    """The volumes that the repetition has new, as Prepared.anonymous."""
    taken = {m.target for m in made}
    return tuple((m.target, m.kind == "anonymous") for m in old.mounts
                 if m.kind in ("anonymous", "cache") and m.target not in taken)


def in_memory(old: RunRecord) -> tuple[Tmpfs, ...]:
    """The file systems in memory as recorded; of a record from elsewhere no larger than half of this machine's."""
    if not foreign(old):
        return old.tmpfs
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return tuple(t if t.size is None else replace(t, size=min(t.size, most)) for t in old.tmpfs)


def given_for(old: RunRecord, request: RerunRequest) -> dict[str, Path]:
    """Target inside → what the caller gives for it: --data for all data, a volume for its own target.

    Raises UsageError "usage.mount" for what the run did not have, for results, and for code of the snapshot, which is
    what is repeated.
    """
    open_to = [m.target for m in old.mounts if not _is_snapshot(m, old) and m.kind not in ("anonymous", "cache")]
    found: dict[str, Path] = {}
    if request.data is not None:
        found = {m.target: request.data.absolute() for m in old.mounts if m.kind == "data"}
        if not found:
            raise UsageError("usage.mount", "the run had no data", where="--data", hint="leave out --data")
    for target, source in request.volumes:
        if target not in open_to:
            raise UsageError("usage.mount", f"the run had no folder of its machine at {target}", where="-v",
                             hint=f"it had them at: {', '.join(open_to)}" if open_to else "leave out -v")
        found[target] = source.absolute()
    return found


def data_of(old: RunRecord, made: tuple[Mount, ...]) -> tuple[tuple[str, Path], ...]:
    """Target inside → folder, once for each folder of the data, by the target that the record fingerprints it at."""
    sources = {m.target: m.source for m in made}
    known = {d.target for d in old.data}
    found: dict[Path, str] = {}
    for mount in reversed(old.mounts):
        if mount.kind == "data" and mount.target in sources:
            source = sources[mount.target]
            if source not in found or mount.target in known:
                found[source] = mount.target
    return tuple((target, source) for source, target in found.items())


def recorded(mount: RecordedMount, made: tuple[Mount, ...]) -> RecordedMount:
    """The mount as it is now; code keeps its source, which says where in the snapshot it is."""
    now = next((m for m in made if m.target == mount.target), None)
    if mount.kind in ("code", "startup") or now is None:
        return mount
    if mount.kind == "cache" and not now.read_only:
        return mount
    own = mount.kind in ("volume", "anonymous", "cache")
    kind = "mount" if own else mount.kind  # a folder of this machine's by now
    return RecordedMount(os.fspath(now.source), mount.target, now.read_only, kind, mount.within)


def overlays(old: RunRecord, store: Store) -> tuple[tuple[str, Path], ...]:
    """The trees of compiled extensions by the code mount they are laid over. RecordError "record.extension-gone"."""
    found = []
    for target, key in old.overlays:
        tree = store.tree(key)
        if tree is None:
            raise RecordError("record.extension-gone", "the store does not have the project's compiled extensions",
                              where=f"run {old.id}")
        found.append((target, tree))
    return tuple(found)


def foreign(old: RunRecord) -> bool:
    """Whether the run is somebody else's, so that its program may be a stranger's: it was taken in from outside,
    repeats one that was, or was recorded on another machine.
    """
    return bool(old.origin) or not made_here(old)


def made_here(old: RunRecord) -> bool:
    """Whether this machine recorded it, so that the folders it names were given here. What was taken in has no mark
    of a machine, whatever it came with: its sender may have seen ours.
    """
    from bareboat.host.facts import mark

    host = old.host
    return host is not None and host.name == os.uname().nodename and host.mark == mark() and bool(
        host.mark or not old.origin)


def _is_snapshot(mount: RecordedMount, old: RunRecord) -> bool:
    """Whether what is mounted is bareboat's affair alone."""
    return mount.kind == "results" or (mount.kind == "code" and old.code is not None and _in_snapshot(mount, old))


def _in_snapshot(mount: RecordedMount, old: RunRecord) -> bool:
    """Whether the source was in the project; code from elsewhere (-v) is in no snapshot."""
    return bool(mount.within) or mount.source == old.root


def _of_code(mount: RecordedMount, code: Path, old: RunRecord) -> Mount:
    source = code / mount.within if mount.within else code
    # neither ".." nor a link in the snapshot of a stranger's record leads out of it
    if not source.exists() or ".." in source.parts or source.resolve() != source or code not in (
            source, *source.parents):
        raise RecordError("record.code-gone", f"the snapshot of the code has no {mount.within}", where=f"run {old.id}")
    return Mount(source, mount.target, True)


def _from_here(mount: RecordedMount, source: Path, work: Work) -> Mount:
    if not source.exists():
        raise RecordError(
            "record.data-gone", f"what the run had at {mount.target} is not there",
            where=str(source),
            hint="name a copy of it: --data DIR" if mount.kind == "data" else "put it back there",
        )  # fmt: skip
    if not mount.read_only:
        work.tell.say(f"{source} is mounted read-only at {mount.target}: a repetition changes no folder of yours")
    return Mount(source, mount.target, True)


def _volume(mount: RecordedMount, work: Work) -> Mount:
    found = work.store.volumes.find(mount.source)
    if found is None:
        raise RecordError("record.data-gone", f"the volume {mount.source} that the run had at {mount.target} is gone",
                          where=mount.target, hint=f"say what is to be there, read-only: -v DIR:{mount.target}")
    return _from_here(mount, found.data, work)


def _script(mount: RecordedMount, old: RunRecord, work: Work) -> Mount:
    """The script as it was when it ran, whatever its file is now; one of a run from elsewhere came along with it."""
    blob = work.store.blob(mount.within)
    if blob is None:
        raise RecordError("record.code-gone", f"the store does not have the startup script {mount.source}",
                          where=f"run {old.id}", hint=f"give it: -v FILE:{mount.target}")
    return Mount(blob, mount.target, True)


def cache_variables(old: RunRecord) -> dict[str, str]:
    """The variables by which a program finds the cache, where the run had it."""
    from bareboat.verbs.caches import variables

    return variables(old.home) if any(m.kind == "cache" for m in old.mounts) else {}


def _cache(mount: RecordedMount, old: RunRecord, work: Work) -> list[Mount]:
    """The user's cache as the run had it; an empty one where that is gone, and for the program of a stranger, which
    could put into it what other projects load.
    """
    if foreign(old):
        return []
    if mount.source.startswith("/"):
        return [Mount(Path(mount.source), mount.target)] if os.path.isdir(mount.source) else []
    found = work.store.volumes.find(mount.source)
    return [] if found is None else [Mount(found.data, mount.target)]


def _nothing(mount: RecordedMount, old: RunRecord, work: Work) -> Mount:
    """What stands for a folder of another machine that nobody gave: an empty one where it was empty, else nothing."""
    facts = _facts(old).get(mount.target)
    if mount.kind == "data" and facts is not None and facts[0] == 0:
        return Mount(work.store.make_tree("empty", lambda writer: None), mount.target, True)
    if mount.kind == "data":
        size = f": {facts[0]} file{'s' if facts[0] != 1 else ''}, {facts[1]:,} bytes" if facts is not None else ""
        there = f"; they can be had here: {old.data_from}" if old.data_from else ""
        raise RecordError("record.data-needed", f"the run had data at {mount.target}{size}", where=f"run {old.id}",
                          hint=f"say where they are on this machine: --data DIR{there}")
    what = f"the volume {mount.source}" if mount.kind == "volume" else mount.source
    raise RecordError(
        "record.mount-needed", f"the run had {what} of another machine at {mount.target}, and nothing of this "
        "machine is mounted because a record says so", where=f"run {old.id}",
        hint=f"say what is to be there, read-only: -v DIR:{mount.target}")


def _facts(old: RunRecord) -> Mapping[str, tuple[int, int]]:
    """Files and bytes of the data by every target that had them; nothing for those that were not listed to the end."""
    by_source = {d.source: d.fingerprint for d in old.data if d.fingerprint.sizes}
    return {m.target: (by_source[m.source].count, by_source[m.source].bytes) for m in old.mounts
            if m.kind == "data" and m.source in by_source}

"""Where metrics of one run come from, and names that tell them apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bareboat.training.series import Series, Track
from bareboat.values import dataclass, field

Path = tuple[str, ...]

_VERSION = re.compile(r"version_(\d{1,9})")


@dataclass(frozen=True)
class Source:
    """A table, a folder of event files, or a run of MLflow's. path: the folders to it and, of a table, its name."""

    path: Path
    tracks: dict[str, Track] = field(default_factory=dict)


def named(sources: Sequence[Source]) -> list[Series]:
    """All metrics, by name. A name that several sources have is preceded by what tells these apart: the shortest part
    of their paths. version_N folders (Lightning's, one for each start) that go on where the one before was are one.
    """
    holders: dict[str, list[Source]] = {}
    for source in _joined(sources):
        for name in source.tracks:
            holders.setdefault(name, []).append(source)
    found: dict[str, Series] = {}
    for name, of in sorted(holders.items(), key=lambda item: (len(item[1]), item[0])):
        for source, label in zip(of, labels([source.path for source in of]), strict=True):
            wanted = f"{label}/{name}" if label else name
            if wanted in found:
                wanted = "/".join((*source.path, name))
            count = 1
            unique = wanted
            while unique in found:
                count += 1
                unique = f"{wanted} ({count})"
            found[unique] = source.tracks[name].series(unique)
    return [found[name] for name in sorted(found)]


def labels(paths: Sequence[Path]) -> list[str]:
    """For each of several paths the shortest text that is no other's: without what all have at their ends, and as few
    folders as do. "" for one alone.
    """
    if len(paths) < 2:
        return [""] * len(paths)
    stems = [(*path[:-1], path[-1].rpartition(".")[0] or path[-1]) if path else path for path in paths]
    if len(set(stems)) == len(set(paths)):
        paths = stems
    while all(paths) and len({path[-1] for path in paths}) == 1:
        paths = [path[:-1] for path in paths]
    return ["/".join(_shortest(path, [other for at, other in enumerate(paths) if at != place]))
            for place, path in enumerate(paths)]


def _shortest(path: Path, others: Sequence[Path]) -> Path:
    for length in range(1, len(path)):
        if all(other[-length:] != path[-length:] for other in others):
            return path[-length:]
    return path


def _joined(sources: Sequence[Source]) -> Iterator[Source]:
    latest: dict[Path, Source] = {}
    for source in sorted(sources, key=lambda source: [_order(part) for part in source.path]):
        version = next((at for at, part in enumerate(source.path) if _VERSION.fullmatch(part)), None)
        if version is None:
            yield source
            continue
        key = (*source.path[:version], "", *source.path[version + 1:])
        before = latest.get(key)
        if before is not None and _goes_on(before, source):
            for name, track in source.tracks.items():
                before.tracks.setdefault(name, Track()).follow(track)
            continue
        if before is not None:
            yield before
        latest[key] = source
    yield from latest.values()


def _order(part: str) -> tuple[int, str]:
    match = _VERSION.fullmatch(part)
    return (int(match[1]) if match else 0, part)


def _goes_on(before: Source, later: Source) -> bool:
    """Whether a later start began beyond the first step of the one before."""
    pairs = [(before.tracks[name].first, track.first) for name, track in later.tracks.items() if name in before.tracks]
    return bool(pairs) and all(old is not None and new is not None and new > old for old, new in pairs)

"""Where code, data and results are, here and inside: convention, the project file, and the command line."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.project.values import Overrides, ProjectMount
from bareboat.project.volumes import host_path, parse_volume, stacked, target_path
from bareboat.values import Any, dataclass

APP = "/app"


@dataclass(frozen=True, eq=False, repr=False, match_args=False)  # made on every start: as cheap as can be
class Layout:
    """A root, the project file's table, how errors name its keys, and what the command line says instead."""

    root: Path
    table: dict[str, Any]
    prefix: str
    chosen: Overrides


def mounts(layout: Layout, notes: list[str]) -> tuple[ProjectMount, ...]:
    """Every mount of the project, parents before what is inside them. Nothing is made, and no disk checked.

    Raises ProjectError "project.mount-target", "project.mount-clash", "project.volume",
    "project.contradiction".
    """
    code = _code(layout)
    whole = any(mount.target == APP for mount in code)  # the project itself is at /app, its folders with it
    data = _data(layout, whole, notes)
    results = _results(layout, whole)
    _apart(layout, code, data, results)
    more = [_more(layout, at, value) for at, value in enumerate(layout.table.get("mounts", ()))]
    own = [*code, *data, *results, *more]
    given = {mount.target for mount in layout.chosen.mounts}
    where = f"{layout.prefix}mounts" if layout.prefix else str(layout.root)
    return stacked([mount for mount in own if mount.target not in given] + list(layout.chosen.mounts), where)


def _place(layout: Layout, key: str, given: Path | None) -> tuple[Path | None, str | None, bool]:
    """What is said about a place: the directory, an only target, and whether it is switched off."""
    if given is not None:
        return Path(os.path.abspath(layout.root / given)), None, False
    value = layout.table.get(key)
    where = f"{layout.prefix}{key}"
    if value is None or value is False:
        return None, None, value is False
    if isinstance(value, str):
        return host_path(value, layout.root, where), None, False
    return (
        host_path(value["source"], layout.root, where),
        target_path(value["target"], f"{where}.target"),
        False,
    )


def _below_app(root: Path, source: Path, otherwise: str) -> str:
    """The target that keeps relative paths true: /app/<relative> for what is inside the root."""
    if source == root:
        return APP
    return (
        f"{APP}/{source.relative_to(root).as_posix()}"
        if source.is_relative_to(root)
        else f"{APP}/{otherwise}"
    )


def _code(layout: Layout) -> list[ProjectMount]:
    source, target, off = _place(layout, "code", layout.chosen.code)
    if off:
        return []
    if source is None:
        source = layout.root / "src" if (layout.root / "src").is_dir() else layout.root
    return [ProjectMount(source, target or _below_app(layout.root, source, source.name), True, "code")]


def _data(layout: Layout, whole: bool, notes: list[str]) -> list[ProjectMount]:
    source, target, off = _place(layout, "data", layout.chosen.data)
    if off:
        return []
    if source is None:
        source = layout.root / "data"
        if not source.is_dir():
            if source.is_symlink() and not source.exists():  # said to be somewhere, and is not: check() refuses it
                return [ProjectMount(source, "/data", True, "data")]
            if source.exists():
                notes.append("data is a file, not a directory: not mounted")
            return []
    if target:
        return [ProjectMount(source, target, True, "data")]
    named = source if layout.chosen.data is None else _place(layout, "data", None)[0] or layout.root / "data"
    targets = ["/data", _below_app(layout.root, named, "data")]
    if whole and not source.is_relative_to(layout.root) and not (layout.root / "data").is_dir():
        targets.pop()  # the read-only project at /app has no directory there to mount on
    return [ProjectMount(source, target, True, "data") for target in targets]


def _results(layout: Layout, whole: bool) -> list[ProjectMount]:
    source, target, off = _place(layout, "results", layout.chosen.results)
    if off:
        return []
    if source is None:
        source = layout.root / "results"
    if target:
        return [ProjectMount(source, target, False, "results")]
    # another folder for one run is still where the program writes: at the place of the one it stands in for
    named = source
    if layout.chosen.results is not None:
        named = _place(layout, "results", None)[0] or layout.root / "results"
    targets = ["/results", _below_app(layout.root, named, "results")]
    return [ProjectMount(source, target, False, "results") for target in targets]


def _apart(layout: Layout, *kinds: list[ProjectMount]) -> None:
    """Results must not be, or hold, the code or the data: a writable mount would undo read-only ones."""
    results = {mount.source for mount in kinds[-1]}
    for mount in (mount for kind in kinds[:-1] for mount in kind):
        for kept in results:
            if mount.source == kept or mount.source.is_relative_to(kept):
                raise ProjectError(
                    "project.contradiction",
                    f"results ({kept}) is, or contains, the {mount.kind} ({mount.source})",
                    where=f"{layout.prefix}results".strip(": ") or str(layout.root),
                    hint="Give results a directory of its own.",
                )


def _more(layout: Layout, at: int, value: str | dict[str, Any]) -> ProjectMount:
    where = f"{layout.prefix}mounts[{at}]"
    if isinstance(value, str):
        return parse_volume(value, layout.root, where=where)
    if value.get("type", "bind") != "bind" or "size" in value or "mode" in value:
        from bareboat.project.mounts import of_table

        return of_table(value, where)
    if "source" not in value:
        raise ProjectError("project.missing-key", "the key 'source' is missing", where=where,
                           hint='For example: source = "/models"')
    return ProjectMount(
        host_path(value["source"], layout.root, f"{where}.source"),
        target_path(value["target"], f"{where}.target"),
        value.get("read-only", False),
        "mount",
    )

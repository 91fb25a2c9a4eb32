"""Two folders of text as a unified patch. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LARGE = 2 << 20  # bytes of a file beyond which lines are not compared


@dataclass(frozen=True)
class Side:
    """One file of one folder: its bytes and mode; a symlink is its target with link True."""

    data: bytes
    mode: int = 0o644
    link: bool = False


def file_patch(path: str, old: Side | None, new: Side | None) -> Iterator[str]:
    """The lines of the patch of one file, without line ends; None: not there. Nothing for two that are equal.
    """
    if old == new:
        return
    before, after = (
        ("/dev/null" if old is None else f"a/{path}"),
        ("/dev/null" if new is None else f"b/{path}"),
    )
    yield f"diff {before} {after}"
    if old and new and old.mode != new.mode:
        yield f"mode {old.mode:04o} became {new.mode:04o}"
    if (old and old.link) or (new and new.link):
        yield f"link {_target(old)} became {_target(new)}"
        return
    a, b = (old.data if old else b""), (new.data if new else b"")
    if a == b:
        return
    if max(len(a), len(b)) > LARGE or _binary(a) or _binary(b):
        yield f"binary, {len(a)} bytes became {len(b)}"
        return
    from difflib import unified_diff

    left, right = _lines(a), _lines(b)
    yield from unified_diff(left, right, before, after, lineterm="")
    if a and b and a.endswith(b"\n") != b.endswith(b"\n"):
        yield "\\ one of the two has no newline at its end"


def _target(side: Side | None) -> str:
    if side is None:
        return "nothing"
    return side.data.decode("utf-8", "replace") if side.link else "a file"


def _binary(data: bytes) -> bool:
    return b"\0" in data[:8192]


def _lines(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "replace").split("\n")
    return lines[:-1] if not lines[-1] else lines

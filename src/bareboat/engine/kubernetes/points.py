"""The runs of a submission as text that the pod of each finds its own in: a shell's case, in parts that fit. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bareboat.errors import EngineError
from bareboat.training.values import Point

PART_MOST = 900_000  # bytes of one; a ConfigMap has at most 1 MiB (kubernetes.io/docs/concepts/configuration/configmap)
PARTS_MOST = 20
POINTS_MOST = 100_000  # an Indexed Job with a limit for each index has no more completions
_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")


def parts(points: Sequence[Point]) -> tuple[int, tuple[str, ...]]:
    """How many runs are in each part, and the parts, in order. Raises EngineError "kubernetes.too-large"."""
    if len(points) > POINTS_MOST:
        raise _too_large(f"{len(points)} runs in one Job, which has at most {POINTS_MOST}")
    arms = [_arm(index, point) for index, point in enumerate(points)]
    sizes = [len(arm.encode("utf-8", "surrogateescape")) for arm in arms]
    each = max(len(arms), 1)
    while each > 1 and any(sum(sizes[at:at + each]) > PART_MOST for at in range(0, len(arms), each)):
        each = -(-each // 2)
    found = tuple("case $point in\n" + "".join(arms[at:at + each]) + "esac\n" for at in range(0, len(arms), each))
    if max(sizes, default=0) > PART_MOST or len(found) > PARTS_MOST:
        raise _too_large(f"{sum(sizes)} bytes of arguments and variables in {len(points)} runs")
    return each, found


def _arm(index: int, point: Point) -> str:
    """One run: its words, its id and its variables; found says that there was one."""
    said = [f"export {_variable(name)}={quoted(value)};" for name, value in point.env]
    words = " ".join(quoted(word) for word in point.argv)
    return f"{index}) {' '.join([*said, ''])}export BAREBOAT_RUN={quoted(point.run)}; set -- {words}; found=1 ;;\n"


def quoted(text: str) -> str:
    """A word of a shell that means exactly this text, newlines included."""
    return "'" + text.replace("'", "'\\''") + "'"


def _variable(name: str) -> str:
    if not name or name[0] not in _START or not all(c in _START or c.isdigit() for c in name) or not name.isascii():
        raise EngineError("kubernetes.variable", "a variable of a sweep needs a name that a shell accepts",
                          where=repr(name[:60]))
    return name


def _too_large(what: str) -> EngineError:
    return EngineError("kubernetes.too-large", f"{what}: more than a cluster keeps",
                       hint="send it in several submissions, or put what is long into files of the project")

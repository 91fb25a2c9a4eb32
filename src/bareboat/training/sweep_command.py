"""The values of a point put into a command: {lr} in any word. No shell, and never more words than were written. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from bareboat.errors import UsageError
from bareboat.training.sweep import NAME, Sweep, variable
from bareboat.training.values import Point

NAME_MOST = 128  # as verbs/containers.check_name has it
_PLACE = re.compile(rf"\{{\{{|\}}\}}|\{{({NAME})\}}|[{{}}]")
Fill = Callable[[Sequence[str]], tuple[str, ...]]


def points(sweep: Sweep, single: Point, env: Sequence[tuple[str, str]] = ()) -> tuple[Point, ...]:
    """A point for each row, from the run that was asked for: {NAME} is replaced in the words of its argv and in the
    values of env, which is what -e gave, and each parameter is in a variable besides. Ids and results: left to others.

    Raises UsageError "sweep.unknown", "sweep.brace", "sweep.unused".
    """
    command, in_command = filler(single.argv, sweep.names, "the command")
    given, in_env = filler([value for _, value in env], sweep.names, "-e")
    check_used(sweep.names, in_command | in_env, (*single.argv, *(value for _, value in env)))
    own = [name for name, _ in env]
    variables = [variable(name) for name in sweep.names]
    made: list[Point] = []
    for index, row in enumerate(sweep.rows):
        made.append(Point("", point_name(single.name, index), index, command(row),
                          tuple(zip(sweep.names, row, strict=True)),
                          (*zip(own, given(row), strict=True), *zip(variables, row, strict=True))))
    return tuple(made)


def point_name(base: str, index: int) -> str:
    """The name of a point: its place from 0 in four digits or more, so that names sort as points do."""
    return f"{base}-{index:04d}"


def check_fits(base: str, count: int) -> None:
    """Raises UsageError "sweep.name" where the names of so many points are too long for names of runs."""
    longest = point_name(base, max(count - 1, 0))
    if len(longest) > NAME_MOST:
        raise UsageError("sweep.name", f"points would be called {longest[:40]}…, which has {len(longest)} characters",
                         where="--name", hint=f"a name of at most {NAME_MOST - len(longest) + len(base)} characters")


def filler(words: Sequence[str], names: Sequence[str], where: str) -> tuple[Fill, frozenset[str]]:
    """A function from a point's values to the words with {NAME} replaced, and the names that occur in them.

    A value stays within its word, whatever is in it; {{ and }} are braces. Raises UsageError "sweep.unknown" for a
    name that is no parameter, "sweep.brace" for a brace that stands alone.
    """
    place = {name: at for at, name in enumerate(names)}
    used: set[str] = set()
    made: list[list[tuple[str, int]]] = []  # of each word: text, and the place of the value behind it, -1 for none
    for word in words:
        pieces: list[tuple[str, int]] = []
        text, at = "", 0
        for match in _PLACE.finditer(word):
            text += word[at:match.start()]
            at, name = match.end(), match.group(1)
            if name is None:
                text += _brace(match.group(), word, where)
            elif name in place:
                used.add(name)
                pieces.append((text, place[name]))
                text = ""
            else:
                raise _unknown(name, names, word, where)
        pieces.append((text + word[at:], -1))
        made.append(pieces)

    def fill(values: Sequence[str]) -> tuple[str, ...]:
        row = (*values, "")
        return tuple(["".join([text + row[at] for text, at in pieces]) for pieces in made])

    return fill, frozenset(used)


def check_used(names: Sequence[str], used: frozenset[str], words: Sequence[str]) -> None:
    """Raises UsageError "sweep.unused" for a parameter that occurs nowhere: neither as {NAME} nor as its variable."""
    for name in names:
        if name not in used and not any(variable(name) in word for word in words):
            raise UsageError("sweep.unused", f"the parameter {name} is not used by the command", where=name,
                             hint=f"write {{{name}}} where its value belongs, or for a variable: "
                                  f"-e {name.upper()}={{{name}}}")


def _brace(found: str, word: str, where: str) -> str:
    if len(found) == 2:
        return found[0]
    raise UsageError("sweep.brace", f"{found!r} in {word!r} stands for no parameter", where=where,
                     hint="in a sweep {lr} stands for the value of lr; write {{ and }} for braces")


def _unknown(name: str, names: Sequence[str], word: str, where: str) -> UsageError:
    near = difflib.get_close_matches(name, names, 1)
    return UsageError("sweep.unknown", f"{{{name}}} in {word!r} is no parameter of the sweep", where=where,
                      hint=f"did you mean {{{near[0]}}}?" if near else
                      f"parameters are: {', '.join(names)}; write {{{{ and }}}} for braces")

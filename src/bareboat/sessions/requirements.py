"""A requirements file with versions put in: the lines that are there keep their order, comments and markers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bareboat.sessions.installed import normalised

_HEAD = re.compile(r"(\s*[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?")


@dataclass(frozen=True)
class Edited:
    """The new text, and the names that must be written by hand (the text has none of them changed)."""

    text: str
    refused: tuple[str, ...] = ()


def edit(text: str, wanted: Mapping[str, str], *, append: bool = True) -> Edited:
    """Make each name of `wanted` (name → its requirement, "rich==13.9.4") the one that the file asks for.

    A line of that name is changed in place; a name without one is appended, unless append is False. Refused are names
    whose line is continued on the next, demands hashes, or stands there several times; and all of them where the file
    demands a hash for everything. Idempotent.
    """
    lines = text.splitlines(keepends=True)
    if any(line.split("#")[0].lstrip().startswith("--require-hashes") for line in lines):
        return Edited(text, tuple(wanted))
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    places = _places(lines)
    refused, missing = [], []
    for name, requirement in wanted.items():
        found = places.get(normalised(name), [])
        if not found:
            missing.append(requirement)
            continue
        number = found[0]
        changed = _changed(lines[number], requirement) if len(found) == 1 and _is_alone(lines, number) else None
        if changed is None:
            refused.append(name)
        else:
            lines[number] = changed
    if missing and append:
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += ending
        lines += [requirement + ending for requirement in missing]
    return Edited("".join(lines), tuple(refused))


def names(text: str) -> frozenset[str]:
    """The normalised names that lines of a requirements file begin with."""
    return frozenset(_places(text.splitlines(keepends=True)))


def _places(lines: list[str]) -> dict[str, list[int]]:
    """Normalised name → numbers of the physical lines that begin a requirement of it."""
    found: dict[str, list[int]] = {}
    continued = False
    for number, line in enumerate(lines):
        begins, bare = not continued, line.rstrip("\r\n")
        continued = bare.endswith("\\") and not bare.lstrip().startswith("#")
        text = bare.lstrip().lstrip("\ufeff")
        match = re.match(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", text)
        if begins and match and "://" not in text[: match.end() + 3] and not text[match.end():].startswith(("/", "\\")):
            found.setdefault(normalised(match[0]), []).append(number)
    return found


def _is_alone(lines: list[str], number: int) -> bool:
    return not lines[number].rstrip("\r\n").endswith("\\")


def _changed(line: str, requirement: str) -> str | None:
    """The line with its version, and all that is about it but name, extras, marker and comment, replaced."""
    bare = line.rstrip("\r\n")
    ending = line[len(bare):]
    mark = "\ufeff" if bare.startswith("\ufeff") else ""
    text, comment = _split(bare[len(mark):], r"\s+#")
    text, marker = _split(text, r"\s+;" if "@" in text else r"\s*;")
    head = _HEAD.match(text)
    if head is None or " --" in text or " --" in marker:
        return None
    what = re.sub(r"^[A-Za-z0-9._-]+", "", requirement)
    if marker and " @ " in requirement and not marker[0].isspace():
        marker = f" {marker}"  # or it would be the URL's
    return f"{mark}{head[1]}{head[2] or ''}{what}{marker}{comment}{ending}"


def _split(text: str, before: str) -> tuple[str, str]:
    """A text in two, the second part from the first match on."""
    found = re.search(before, text)
    return (text, "") if found is None else (text[: found.start()], text[found.start():])

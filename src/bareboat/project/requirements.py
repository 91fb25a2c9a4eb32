"""Which files a requirements file pulls in, by pip's grammar; what they ask for is the resolver's to read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bareboat import toml
from bareboat.errors import ProjectError

INCLUDING = ("-r", "--requirement", "-c", "--constraint")
LARGEST_CHAIN = 1000  # files; more is a mistake that would take for ever


def included_files(root: Path, first: str, where: str = "") -> tuple[str, ...]:
    """The file and all it includes by -r and -c, transitively, as paths relative to the root, each once.

    first: relative to the root. Order: as met, depth first. URLs are left out (they are no files); a file
    that includes itself is read once. Raises ProjectError "project.missing-file", "project.encoding",
    "project.requirements".
    """
    found: dict[str, None] = {}
    waiting = [(os.path.normpath(first), where)]
    while waiting:
        name, asked = waiting.pop()
        if name in found:
            continue
        found[name] = None
        if len(found) > LARGEST_CHAIN:
            raise ProjectError(
                "project.requirements", f"more than {LARGEST_CHAIN} files include one another", where=first
            )
        content = read_named(root, name, asked)
        text = toml.decode(content, name, "project", ProjectError)
        below = []
        for line, target in _included(text, name):
            below.append((os.path.normpath(Path(name).parent / target), f"{name}:{line}"))
        waiting.extend(reversed(below))
    return tuple(found)


def read_named(root: Path, name: str, where: str) -> bytes:
    """The bytes of a file that something names.

    Raises ProjectError "project.missing-file" or "project.unreadable".
    """
    try:
        return (root / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        raise ProjectError(
            "project.missing-file",
            f"{name} does not exist",
            where=where or str(root),
            hint="Create it, or correct the name.",
        ) from None
    except OSError as wrong:
        raise ProjectError(
            "project.unreadable",
            f"{name} cannot be read: {wrong.strerror}",
            where=where or str(root),
        ) from None


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with their numbers: continuations joined, comments dropped, blank ones left out.

    A comment begins with # at the start or after white space; a comment line ends a continuation, as in pip.
    """
    joined, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start or number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment:
            joined += line[:-1]
            continue
        if not comment:
            joined += line
        bare = _without_comment(joined).strip()
        if bare:
            yield start, bare
        joined, start = "", 0
    bare = _without_comment(joined).strip()
    if bare:
        yield start, bare


def _without_comment(line: str) -> str:
    at = line.find("#")
    while at > 0 and not line[at - 1].isspace():
        at = line.find("#", at + 1)
    return line if at < 0 else line[:at]


def _included(text: str, name: str) -> Iterator[tuple[int, str]]:
    for number, line in lines(text):
        target = _target(line)
        if target is None:
            continue
        target = _expanded(target)
        if not target:
            raise ProjectError(
                "project.requirements",
                f"{line!r} names no file",
                where=f"{name}:{number}",
                hint="Write -r FILE or -c FILE.",
            )
        if "://" not in target:
            yield number, target
        elif target.startswith("file:///"):
            yield number, target.removeprefix("file://")


def _target(line: str) -> str | None:
    """What -r or -c names, or None for every other line."""
    for option in INCLUDING:
        if line == option:
            return ""
        if line.startswith(option):
            rest = line[len(option) :]
            if rest[0] in "= \t":
                return rest[1:].strip().strip("\"'")
            if not option.startswith("--"):
                return rest.strip().strip("\"'")  # -rfile, as optparse reads it
    return None


def _expanded(text: str) -> str:
    """${NAME} in upper case becomes the environment's value where it is set, as pip does."""
    if "${" not in text:
        return text
    import re

    return re.sub(r"\$\{([A-Z0-9_]+)\}", lambda found: os.environ.get(found[1], found[0]), text)

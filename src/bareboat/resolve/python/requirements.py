"""requirements.txt as far as we must understand it ourselves; resolving what it says is uv's. Pure.

Grammar: pip's requirements file format. uv reads the file itself; we need the names that were asked for directly,
the hashes that are demanded (uv does not check them when it only resolves), and what must be built first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

_INCLUDES = {"-r": "-r", "--requirement": "-r", "--requirements": "-r", "-c": "-c", "--constraint": "-c"}
_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz", ".tar", ".whl")


@dataclass(frozen=True)
class Line:
    """One requirement or option. text: without comment, hashes and continuation; kind: see `kind_of`.

    file: where it stands, relative to the root; number: its first line, from 1.
    """

    text: str
    kind: str
    hashes: tuple[str, ...] = ()
    file: str = ""
    number: int = 0
    constraint: bool = False


def read(name: str, text_of: Callable[[str], str], constraint: bool = False) -> tuple[Line, ...]:
    """All lines of a file and of what it includes, in reading order; each file once. text_of: file name → text."""
    return tuple(_read(name, text_of, constraint, set()))


def _read(name: str, text_of: Callable[[str], str], constraint: bool, seen: set[str]) -> Iterator[Line]:
    if name in seen:
        return
    seen.add(name)
    for number, logical in _logical(text_of(name)):
        text, hashes = _hashes(logical)
        head, _, rest = text.replace("=", " ", 1).partition(" ") if text.startswith("--") else text.partition(" ")
        if text.startswith(("-r", "-c")) and not text.startswith("--") and head not in _INCLUDES:
            head, rest = text[:2], text[2:]
        include = _INCLUDES.get(head)
        if include:
            path = rest.strip()
            if "://" not in path:
                inner = str(PurePosixPath(name).parent / path)
                yield from _read(inner, text_of, constraint or include == "-c", seen)
            continue
        yield Line(text, kind_of(text), hashes, name, number, constraint)


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined over backslashes, without comments: a # counts at the start or after white space."""
    parts: list[str] = []
    start = 0
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = raw.strip()
        comment = 0 if line.startswith("#") else line.find(" #")
        if comment < 0:
            comment = line.find("\t#")
        if comment >= 0:
            line = line[:comment].rstrip()
        if not parts:
            start = number
        more = line.endswith("\\")
        parts.append(line[:-1].strip() if more else line)
        if not more:
            joined = " ".join(p for p in parts if p)
            parts = []
            if joined:
                yield start, joined
    joined = " ".join(p for p in parts if p)
    if joined:
        yield start, joined


def _hashes(text: str) -> tuple[str, tuple[str, ...]]:
    if "--hash" not in text:
        return text, ()
    words = text.replace("--hash=", "--hash ").split(" --hash ")
    return words[0].strip(), tuple(w.strip().lower() for w in words[1:])


def kind_of(text: str) -> str:
    """"option", "named" (from an index), "wheel" (URL or path), "archive", "directory" or "vcs"."""
    editable = text.startswith(("-e ", "--editable ", "--editable=", "-e="))
    if text.startswith("-") and not editable:
        return "option"
    target = location(text)
    if not target:
        return "named"
    if target.startswith(("git+", "hg+", "svn+", "bzr+")):
        return "vcs"
    path = target.split("#")[0].split("?")[0]
    if path.endswith(".whl"):
        return "wheel"
    return "archive" if path.endswith(_ARCHIVES) else "directory"


def location(text: str) -> str:
    """The URL or path of a direct requirement without its marker, or "" for one that an index answers."""
    for flag in ("-e ", "--editable ", "--editable=", "-e="):
        if text.startswith(flag):
            return text[len(flag) :].split(" ;")[0].strip()
    name, at, rest = text.partition("@")
    if at and name.strip() and all(c.isalnum() or c in "-_.[], " for c in name) and "+" not in name:
        return rest.split(" ;")[0].strip()
    head = text.split(" ;")[0].strip()
    if "://" in head or head.startswith((".", "/", "~")):
        return head
    if head.split("[")[0].endswith(_ARCHIVES) or ("/" in head and ";" not in head.split("/")[0]):
        return head
    return ""


def name_of(text: str) -> str:
    """The normalised name (PEP 503) a line begins with, "" where only building would tell."""
    if kind_of(text) != "named" and "@" not in text:
        return ""
    if text.startswith("-"):
        return ""
    end = 0
    while end < len(text) and (text[end].isalnum() or text[end] in "-_."):
        end += 1
    return normalize(text[:end])


def normalize(name: str) -> str:
    """PEP 503: lower case, runs of -_. become one hyphen."""
    out = name.lower().replace("_", "-").replace(".", "-")
    while "--" in out:
        out = out.replace("--", "-")
    return out

"""requirements.txt as far as we must understand it ourselves; resolving what it says is uv's. Pure.

Grammar: pip's requirements file format. uv reads the file itself; we need the names that were asked for
directly, the hashes that are demanded (uv does not check them when it only resolves), and what must be
built first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from posixpath import dirname, normpath

from bareboat.project.requirements import lines

_INCLUDES = {"-r": "-r", "--requirement": "-r", "--requirements": "-r", "-c": "-c", "--constraint": "-c"}
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*@\s*(?=\S)")  # name[extras] @ …
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


Reader = Callable[[str], str]  # file name relative to the root → its text


def read(name: str, text_of: Reader) -> tuple[Line, ...]:
    """All lines of a file and of what it includes, in reading order; each file once."""
    return tuple(_read(name, text_of, False, set()))


def included(name: str, text_of: Reader) -> set[str]:
    """The file and every file it includes, also those without a line of their own."""
    seen: set[str] = set()
    for _ in _read(name, text_of, False, seen):
        pass
    return seen


def _read(name: str, text_of: Reader, constraint: bool, seen: set[str]) -> Iterator[Line]:
    name = normpath(name)
    if name in seen:
        return
    seen.add(name)
    for number, logical in lines(text_of(name)):
        text, hashes = _hashes(logical)
        option, path = _include(text)
        if option and "://" not in path:
            yield from _read(f"{dirname(name)}/{path}".lstrip("/"), text_of, constraint or option == "-c", seen)
        else:
            yield Line(text, kind_of(text), hashes, name, number, constraint)


def _include(text: str) -> tuple[str, str]:
    """("-r" or "-c", file name) of an including line, else ("", "")."""
    for word, option in _INCLUDES.items():
        rest = text[len(word) :]
        if text.startswith(word) and rest and (rest[0] in "= \t" or not word.startswith("--")):
            return option, rest.lstrip("= \t").strip("\"'")
    return "", ""


def _hashes(text: str) -> tuple[str, tuple[str, ...]]:
    if "--hash" not in text:
        return text, ()
    words = text.replace("--hash=", "--hash ").split(" --hash ")
    return words[0].strip(), tuple(w.strip().lower() for w in words[1:])


def kind_of(text: str) -> str:
    """ "option", "named" (from an index), "wheel" (URL or path), "archive", "directory" or "vcs"."""
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
    named = _NAMED.match(text)
    if named:
        return text[named.end() :].split(" ;")[0].strip()
    head = text.split(" ;")[0].strip()
    if "://" in head or head.startswith((".", "/", "~")):
        return head
    if head.split("[")[0].endswith(_ARCHIVES) or ("/" in head and ";" not in head.split("/")[0]):
        return head
    return ""


def name_of(text: str) -> str:
    """The normalised name (PEP 503) a line begins with, "" where only building would tell."""
    if text.startswith("-") or (kind_of(text) != "named" and not _NAMED.match(text)):
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

"""What a maintainer script would have set up and can be read off its text: alternatives. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bareboat.image.deb import merged_path


@dataclass(frozen=True)
class Alternative:
    """One `update-alternatives --install`: link and path relative to the root; slaves as (link, name,
    path)."""

    link: str
    name: str
    path: str
    priority: int
    slaves: tuple[tuple[str, str, str], ...] = ()


def parse_alternatives(script: str) -> list[Alternative]:
    """Every alternative that a script installs, whatever the conditions around the call.

    Understood: literal words, variables that an unindented line sets to a literal, and loops over words. A
    call that still holds a variable is passed over.
    """
    if "update-alternatives" not in script:
        return []
    import itertools
    import shlex

    found = []
    variables: dict[str, str] = {}
    loops: list[tuple[str, list[str]]] = []
    for raw in script.replace("\\\n", " ").splitlines():
        line = raw.strip()
        name, equals, value = raw.partition("=")
        if equals and name.isidentifier():
            variables[name] = _expand(value.strip().strip("\"'"), variables)
        elif line.startswith("for ") and " in " in line:
            variable, _, words = line[4:].partition(" in ")
            loops.append((variable.strip(), _expand(words.partition(";")[0], variables).split()))
        elif line == "done" or line.startswith(("done ", "done;")):
            loops = loops[:-1]
        _, call, rest = line.partition("update-alternatives")
        if not call or "--install" not in rest or line.startswith("#"):
            continue
        try:
            words_of_call = shlex.split(
                rest.partition("||")[0].partition("&&")[0].partition(";")[0], comments=True
            )
        except ValueError:
            continue
        for chosen in itertools.islice(itertools.product(*(words for _, words in loops)), 200):
            scope = {**variables, **{loop[0]: word for loop, word in zip(loops, chosen, strict=True)}}
            one = _from_words([_expand(word, scope) for word in words_of_call])
            if one is not None:
                found.append(one)
    return found


def _expand(text: str, variables: dict[str, str]) -> str:
    from string import Template

    return Template(text).safe_substitute(variables) if "$" in text else text


def _from_words(words: list[str]) -> Alternative | None:
    slaves: list[tuple[str, str, str]] = []
    main: list[str] = []
    at = 0
    while at < len(words):
        if words[at] == "--install":
            main = words[at + 1 : at + 5]
            at += 5
        elif words[at] == "--slave":
            link, name, path = [*words[at + 1 : at + 4], "", "", ""][:3]
            if _literal(link, name, path):
                slaves.append((_relative(link), name, _relative(path)))
            at += 4
        else:
            at += 1
    if len(main) < 4 or not _literal(*main[:3]) or not main[3].lstrip("-").isdigit():
        return None
    return Alternative(_relative(main[0]), main[1], _relative(main[2]), int(main[3]), tuple(slaves))


def _literal(link: str, name: str, path: str) -> bool:
    return (
        all(p.startswith("/") and ".." not in p.split("/") for p in (link, path))
        and bool(name)
        and not any(c in text for text in (link, name, path) for c in "$`*?[\0")
        and "/" not in name
        and name not in (".", "..")
    )


def _relative(path: str) -> str:
    return merged_path("/".join(p for p in path.split("/") if p))


def choose(alternatives: Iterable[Alternative]) -> list[Alternative]:
    """Of each name the one with the highest priority, as automatic mode does; a tie goes to the first path
    by name."""
    best: dict[str, Alternative] = {}
    for one in sorted(alternatives, key=lambda a: (a.name, -a.priority, a.path)):
        best.setdefault(one.name, one)
    return [best[name] for name in sorted(best)]

"""Which Python a project asks for: every place that says so, brought together or told apart."""

from __future__ import annotations

from bareboat.errors import ProjectError
from bareboat.project.values import PythonRequest

ALLOWED = "a version like 3.12, or a specifier like >=3.10 or ==3.11.*"
OPERATORS = ("===", "==", "~=", "!=", "<=", ">=", "<", ">")
KNOWN = ("2.7", *(f"3.{minor}" for minor in range(41)))  # what a range is tried against
PATCHES = 41


def pinned(text: str) -> str | None:
    """X.Y of a bare version ("3.11", "3.11.4", "3.11.*", "3.13.0rc1"); None when it is not one."""
    parts = text.strip().split(".")
    if len(parts) == 3 and parts[2] == "*":
        del parts[2]
    if not 2 <= len(parts) <= 3 or not all(part[:1].isdigit() and part.isascii() for part in parts):
        return None
    if not parts[0].isdigit() or not parts[1].isdigit() or len(parts[0]) > 2 or len(parts[1]) > 3:
        return None
    return f"{int(parts[0])}.{int(parts[1])}"


def request(text: str, source: str, code: str = "project.python-version") -> PythonRequest:
    """What one place says. Raises ProjectError (the code given) where it is no version and no specifier."""
    version = pinned(text)
    if version:
        return PythonRequest(version, source)
    clauses = [clause.strip() for clause in text.split(",") if clause.strip()]
    if not clauses or not all(_clause(clause) and _standard(clause) for clause in clauses):
        raise ProjectError(code, f"{text!r} is not a Python version", where=source, hint=f"Write {ALLOWED}.")
    return PythonRequest(",".join(clauses), source)


def _clause(text: str) -> tuple[str, str] | None:
    """Operator and version of one clause; None when it is malformed."""
    for operator in OPERATORS:
        if text.startswith(operator):
            version = text[len(operator) :].strip()
            bare = version.removesuffix(".*") if operator in ("==", "!=") else version
            parts = bare.split(".")
            fine = (
                all(part[:1].isdigit() and part.isascii() and part.isalnum() for part in parts)
                and len(bare) < 40
            )
            return (operator, version) if fine and not (operator == "~=" and len(parts) < 2) else None
    return None


def _standard(clause: str) -> bool:
    """Whether a clause is one of PEP 440. The library is slow to import: only rare forms are asked of it."""
    operator, version = _clause(clause) or ("", "")
    if _numbers(version) is not None:
        return not (operator == "~=" and "." not in version)
    from packaging.specifiers import InvalidSpecifier, Specifier

    try:
        Specifier(clause)
    except InvalidSpecifier:
        return False
    return True


def allows(specifier: str, version: str) -> bool:
    """Whether any X.Y.z of a bare X.Y satisfies a specifier (PEP 440); a bare X.Y allows only itself."""
    if pinned(specifier):
        return pinned(specifier) == version
    clauses = [found for clause in specifier.split(",") if (found := _clause(clause.strip()))]
    numbers = [_numbers(wanted) for _, wanted in clauses]
    if any(
        number is None for number in numbers
    ):  # pre-releases and other rare forms: the library knows them all
        from packaging.specifiers import SpecifierSet

        wanted = SpecifierSet(specifier, prereleases=True)
        return any(f"{version}.{patch}" in wanted for patch in range(PATCHES))
    simple = [
        (operator, number, wanted.endswith(".*"))
        for (operator, wanted), number in zip(clauses, numbers, strict=True)
        if number is not None
    ]
    major, minor = (int(part) for part in version.split("."))
    return any(all(_holds((major, minor, patch), *clause) for clause in simple) for patch in range(PATCHES))


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.removesuffix(".*").split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else None


def _holds(candidate: tuple[int, int, int], operator: str, wanted: tuple[int, ...], prefix: bool) -> bool:
    if prefix:
        return (candidate[: len(wanted)] == wanted) == (operator == "==")
    padded = (*wanted, 0, 0, 0)[: max(3, len(wanted))]
    here = (*candidate, 0, 0)[: len(padded)]
    if operator == "~=":
        return here >= padded and candidate[: len(wanted) - 1] == wanted[:-1]
    return {
        "===": here == padded,
        "==": here == padded,
        "!=": here != padded,
        "<=": here <= padded,
        ">=": here >= padded,
        "<": here < padded,
        ">": here > padded,
    }[operator]


def agreed(requests: list[PythonRequest]) -> PythonRequest:
    """One request from all places, most important first: a bare version beats ranges, which must allow it.

    Raises ProjectError "project.python-contradiction" naming both places when no Python satisfies them all.
    """
    if not requests:
        return PythonRequest()
    exact = [each for each in requests if pinned(each.specifier)]
    for chosen in exact[:1]:
        for other in requests:
            if not allows(other.specifier, chosen.specifier):
                raise _contradiction(chosen, other)
        return chosen
    if len(requests) == 1:
        return requests[0]
    for at, other in enumerate(requests):
        if not any(all(allows(each.specifier, version) for each in requests[: at + 1]) for version in KNOWN):
            raise _contradiction(requests[0], other)
    return PythonRequest(
        ",".join(dict.fromkeys(each.specifier for each in requests)),
        " and ".join(each.source for each in requests),
    )


def _contradiction(one: PythonRequest, other: PythonRequest) -> ProjectError:
    return ProjectError(
        "project.python-contradiction",
        f"{one.source} asks for Python {one.specifier}, and {other.source} for {other.specifier}",
        where=f"{one.source}, {other.source}",
        hint="Make them agree, or remove one of them.",
    )


def from_version_file(text: str, file: str) -> tuple[PythonRequest | None, str]:
    """What .python-version or runtime.txt says in its first line that is not a comment, and a note about it.

    "3.11.4", "python-3.11.4", "cpython@3.12" count as X.Y. The name of a virtual environment, or "system",
    asks for no version: a note. Raises ProjectError "project.python-version" for another implementation or a
    bad version.
    """
    words = [line.split("#")[0].strip() for line in text.splitlines()]
    word = next((word for word in words if word), "")
    bare = word
    for prefix in ("cpython", "python"):
        if bare.lower().startswith(prefix):
            bare = bare[len(prefix) :].lstrip("-@")
            break
    if bare.split("-")[0] != bare and pinned(bare.split("-")[0]):
        bare = bare.split("-")[0]  # "3.12-dev", "cpython-3.12.1-linux-x86_64-gnu"
    if not word:
        return None, f"{file} is empty"
    if (
        word.lower().startswith(("pypy", "graalpy", "jython", "ironpython"))
        or (bare.endswith("t")
        and pinned(bare[:-1]))
    ):
        raise ProjectError(
            "project.python-version",
            f"{word!r} is a Python that no Debian suite has",
            where=file,
            hint=f"Write {ALLOWED}.",
        )
    if not bare[:1].isdigit() and bare[:1] not in tuple("<>=!~"):
        return None, f"{file} says {word!r}, which names no version"
    asked = request(bare, file)
    return asked, f"{file} says {word}: only {asked.specifier} counts" if bare.count(".") > 1 else ""

"""The requirements that pyproject.toml states, where uv must not be left to read the file itself. Pure.

PEP 621 dependencies and extras, PEP 735 groups. uv reads the file in the plain case; these lines are for
knowing what was asked for directly and for rewriting direct references to wheels that have been built.
"""

from __future__ import annotations

from typing import Any

from bareboat.errors import ResolveError
from bareboat.resolve.python.requirements import normalize


def stated(document: dict[str, Any], extras: tuple[str, ...], groups: tuple[str, ...]) -> tuple[str, ...]:
    """PEP 508 lines of the project, the extras and the groups asked for. Raises ResolveError
    "python.pyproject"."""
    project = document.get("project", {})
    lines = list(_strings(project.get("dependencies", []), "project.dependencies"))
    table = {normalize(k): v for k, v in project.get("optional-dependencies", {}).items()}
    own = normalize(str(project.get("name", "")))
    done: set[str] = set()
    waiting = [normalize(e) for e in extras]
    while waiting:
        extra = waiting.pop(0)
        if extra in done:
            continue
        done.add(extra)
        for line in _strings(table.get(extra, []), f"project.optional-dependencies.{extra}"):
            name, bracket, rest = line.partition("[")
            if bracket and normalize(name.strip()) == own:  # all = ["me[a,b]"]
                waiting += [normalize(e.strip()) for e in rest.partition("]")[0].split(",")]
            else:
                lines.append(line)
    members = {normalize(k): v for k, v in document.get("dependency-groups", {}).items()}
    for group in groups:
        lines += _group(members, normalize(group), ())
    return tuple(lines)


def is_dynamic(document: dict[str, Any], extras: tuple[str, ...]) -> bool:
    """Whether only the build backend knows the dependencies (PEP 621 dynamic, or no [project] at all)."""
    project = document.get("project")
    if not isinstance(project, dict):
        return "dependency-groups" not in document
    dynamic = project.get("dynamic", [])
    return "dependencies" in dynamic or (bool(extras) and "optional-dependencies" in dynamic)


def required(metadata: str, extras: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of Requires-Dist in a METADATA text that hold for these extras, their extra clauses
    answered."""
    from packaging.requirements import InvalidRequirement, Requirement

    lines = []
    for field in metadata.replace("\r\n", "\n").split("\n\n")[0].split("\n"):
        if not field.startswith("Requires-Dist:"):
            continue
        text = field.partition(":")[2].strip()
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            lines.append(text)
            continue
        marker = str(requirement.marker or "")
        if "extra" not in marker:
            lines.append(text)
            continue
        for extra in extras:
            # a marker without its extra clause is what is left for uv to evaluate for the target
            for clause in (f'extra == "{extra}"', f'extra == "{normalize(extra)}"'):
                if clause in marker:
                    rest = marker.replace(f" and {clause}", "").replace(f"{clause} and ", "").replace(clause, "")
                    bare = text.partition(";")[0].strip()
                    lines.append(f"{bare} ; {rest}" if rest.strip() else bare)
                    break
    return tuple(dict.fromkeys(lines))


def _group(members: dict[str, Any], name: str, above: tuple[str, ...]) -> list[str]:
    if name in above:
        raise ResolveError("python.pyproject", f"dependency group {name!r} includes itself", where="pyproject.toml")
    if name not in members:
        known = ", ".join(sorted(members)) or "none"
        raise ResolveError(
            "python.pyproject",
            f"there is no dependency group {name!r}",
            where="pyproject.toml",
            hint=f"Known groups: {known}.",
        )
    lines: list[str] = []
    for entry in members[name]:
        if isinstance(entry, str):
            lines.append(entry)
        elif isinstance(entry, dict) and isinstance(entry.get("include-group"), str):
            lines += _group(members, normalize(entry["include-group"]), (*above, name))
    return lines


def _strings(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ResolveError("python.pyproject", "must be a list of strings", where=f"pyproject.toml: {where}")
    return value

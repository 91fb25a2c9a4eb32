"""[tool.uv.sources]: where uv's users say that a dependency is a folder, a commit or a file. Pure.

uv reads the table itself while everything has a wheel; sources that must be built are stated as direct references
(PEP 508) instead, for rewriting. What names an index stays uv's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bareboat.errors import ResolveError
from bareboat.resolve.python.requirements import name_of, normalize
from bareboat.resolve.python.target import Target, marker_environment


def with_sources(document: Mapping[str, Any], texts: tuple[str, ...], target: Target) -> tuple[str, ...]:
    """The requirements with a direct reference wherever the table has a path, git or url for them.

    target: whose marker values choose among entries with a marker. Raises ResolveError
    "python.pyproject", "python.workspace".
    """
    tool = document.get("tool")
    uv = tool.get("uv") if isinstance(tool, dict) else None
    table = uv.get("sources") if isinstance(uv, dict) else None
    if not isinstance(table, dict) or not table:
        return texts
    entries = {normalize(str(name)): entry for name, entry in table.items()}
    environment = marker_environment(target)
    return tuple(_stated(text, entries.get(name_of(text)), environment) for text in texts)


def _stated(text: str, entry: object, environment: Mapping[str, str]) -> str:
    from packaging.markers import InvalidMarker, Marker
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
        for each in entry if isinstance(entry, list) else [entry]:
            if not isinstance(each, dict) or requirement.url:
                continue
            marker = each.get("marker")
            if marker and not Marker(str(marker)).evaluate(dict(environment)):
                continue
            location = _location(each, requirement.name)
            if not location:
                return text
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            tail = f" ; {requirement.marker}" if requirement.marker else ""
            return f"{requirement.name}{extras} @ {location}{tail}"
    except InvalidRequirement:
        return text  # uv says what is wrong with it
    except InvalidMarker as e:
        raise ResolveError("python.pyproject", str(e), where="pyproject.toml: tool.uv.sources") from None
    return text


def _location(entry: Mapping[str, Any], name: str) -> str:
    """The location a source stands for, "" for one that uv finds by itself."""
    below = entry.get("subdirectory")
    fragment = f"#subdirectory={below}" if below else ""
    if entry.get("workspace"):
        raise ResolveError("python.workspace", f"{name} is a member of a uv workspace",
                           where=f"pyproject.toml: tool.uv.sources.{name}",
                           hint='Run `uv lock`: uv.lock is taken as it is. Or name its folder: path = "…".')
    if entry.get("git"):
        revision = entry.get("rev") or entry.get("tag") or entry.get("branch") or ""
        return f"git+{entry['git']}" + (f"@{revision}" if revision else "") + fragment
    if entry.get("url"):
        return f"{entry['url']}{fragment}"
    path = str(entry.get("path") or "")
    if not path:
        return ""
    return path if path.startswith(("./", "../", "/", "~")) else f"./{path}"

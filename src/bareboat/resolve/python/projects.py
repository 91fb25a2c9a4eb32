"""What the project's own folder depends on, when a requirement names it (-e .) or only its backend knows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from bareboat.resolve.python import pyproject, requirements, stated
from bareboat.resolve.python.building import BuildSpec, Resolve, build_system, environment, run_driver
from bareboat.resolve.python.directories import copy_source, file_digest
from bareboat.resolve.python.origins import Origin
from bareboat.resolve.python.requirements import Line

if TYPE_CHECKING:
    from bareboat.resolve.python.rewriting import Session

# What a backend computes dependencies from; a change in any of them asks it again.
_READ = ("pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in")


def project_lines(s: Session, resolve: Resolve, extras: tuple[str, ...]) -> tuple[Line, ...]:
    """The requirements of the project folder itself with these extras (and the groups asked for)."""
    request = s.request
    document = stated.pyproject_document(request)
    d = request.dependencies
    groups = d.groups if d.source == "pyproject" else ()
    if not pyproject.is_dynamic(document, extras):
        texts = pyproject.stated(document, extras, groups)
    else:
        texts = pyproject.required(_metadata(s, resolve), extras)
        texts += pyproject.stated({**document, "project": {}}, (), groups)
    return tuple(Line(t, requirements.kind_of(t), file="pyproject.toml") for t in texts)


def _metadata(s: Session, resolve: Resolve) -> str:
    """METADATA of the project as its backend writes it, in the sandbox; remembered by what it is computed
    from."""
    root = s.request.root
    files = dict.fromkeys((*_READ, *s.request.dependencies.files))
    read = [[name, file_digest(root / name)] for name in files if (root / name).is_file()]
    key = hashlib.sha256(json.dumps(["metadata", read, s.request.target.python]).encode()).hexdigest()
    known = s.room.remembered(key)
    if known is not None:
        return str(known["metadata"])
    scratch = Path(mkdtemp(prefix="project-", dir=s.request.scratch))
    copy = scratch / "source"
    copy_source(root, copy, project=True)
    origin = Origin("the project", copy, "", "")
    system = build_system(origin)
    requires = resolve(system.requires)
    spec = BuildSpec(
        "the project", copy, "", scratch, "metadata", s.request.target, requires, False, environment(system)
    )
    report = run_driver(s.room, spec, 1)
    if "requires" in report:
        requires = resolve((*system.requires, *report["requires"]))
        spec = BuildSpec(
            "the project",
            copy,
            "",
            scratch,
            "metadata-now",
            s.request.target,
            requires,
            False,
            environment(system),
        )
        report = run_driver(s.room, spec, 2)
    text = str(report["metadata"])
    s.room.remember(key, {"metadata": text})
    return text

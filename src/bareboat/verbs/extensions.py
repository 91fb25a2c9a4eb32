"""The compiled extensions of a packaged project: built into a wheel, and laid over the mounted code.

Python files stay the mount's, so edits show at once; the wheel is built again only when something else changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import ArchiveError
from bareboat.project.values import Project
from bareboat.verbs.collaborators import Work

if TYPE_CHECKING:
    from bareboat.image.plan import Plan
    from bareboat.lock import Wheel
    from bareboat.store.treewriter import TreeWriter
    from bareboat.verbs.environment import Environment

NOT_COMPILED = (".py", ".pyc", ".pyi", ".md", ".rst", ".txt", ".ipynb", ".so", ".o")
COMPILED = (".so", ".pyd")
LARGEST = 64 << 20  # bytes; sources are not larger
MANY = 20_000


def extensions(project: Project, made: Environment, work: Work) -> tuple[tuple[str, str], ...]:
    """Target of the code mount → store key of the tree with its compiled extensions; () for pure Python.

    Raises ResolveError "python.build-failed" with the end of the compiler's output.
    """
    if project.package is None or not project.package.native:
        return ()
    from bareboat.verbs.images import plan_of

    code = next((m for m in project.mounts if m.kind == "code"), None)
    if code is None or not project.package.import_path.startswith(code.target):
        return ()
    plan = plan_of(made.plan_blob, work)
    key = "ext-" + _digest(project, plan)
    if work.store.tree(key) is None:
        wheel = _build(project, plan, work)
        below = project.package.import_path[len(code.target):].strip("/")
        _make(key, wheel, plan, below, work)
    return ((code.target, key),)


def _digest(project: Project, plan: Plan) -> str:
    """Of everything a compiler may read, and of the Python and libc it compiles for."""
    digest = hashlib.sha256(f"1\0{plan.interpreter.full}\0{plan.libc}\0{plan.platform}".encode())
    for path in _sources(project):
        digest.update(os.fsencode(path.relative_to(project.root)) + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(project: Project) -> Iterator[Path]:
    apart = {m.source for m in project.mounts if m.kind != "code"}
    count = 0
    for folder, folders, names in os.walk(project.root):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__pycache__")) and here / f not in apart
                            and f not in ("build", "dist", "target", "node_modules") and not f.endswith(".egg-info")
                            and not (here / f / "pyvenv.cfg").exists())
        for name in sorted(names):
            path = here / name
            compiled = not name.endswith((*NOT_COMPILED, ".lock")) and not name.startswith(".")
            if name == "setup.py" or compiled:
                if path.is_file() and path.stat().st_size <= LARGEST and name not in ("pylock.toml", "bareboat.toml"):
                    yield path
                count += 1
                if count > MANY:
                    return


def _build(project: Project, plan: Plan, work: Work) -> Wheel:
    from bareboat.builder.image import base_of
    from bareboat.host.git import begin
    from bareboat.lock import PlatformLock
    from bareboat.resolve.python.acquire import acquire
    from bareboat.resolve.python.building import build_wheel
    from bareboat.resolve.python.rewriting import resolver, session
    from bareboat.store.codetree import materialise
    from bareboat.store.codewalk import CodeRules
    from bareboat.store.snapshots import snapshot
    from bareboat.verbs.lock import python_request, room

    assert project.package is not None
    locked = PlatformLock(plan.platform, base_of(plan), ())
    apart = tuple(os.fspath(m.source.relative_to(project.root)) for m in project.mounts
                  if m.kind != "code" and m.source.is_relative_to(project.root))
    # of a clean copy: the folder itself may hold data, results and environments, and is nobody's to build in
    taken = snapshot(work.store, project.root, CodeRules(exclude=apart, ignored=begin(project.root).finish().ignored))
    source = materialise(work.store, taken.snapshot)
    work.tell.say(f"compiling the extensions of {project.package.name}")
    with work.store.scratch("extensions") as scratch:
        at = session(python_request(project, locked, scratch, work), (), room(locked, work), 0)
        origin = acquire("directory", os.fspath(source), project.package.name, at.place)
        return build_wheel(origin, at.request.target, scratch, at.room, resolver(at))


def _make(key: str, wheel: Wheel, plan: Plan, below: str, work: Work) -> None:
    from bareboat.builder.wheels import make_wheel_tree

    tree = make_wheel_tree(work.store, wheel, plan.interpreter)
    site = tree / plan.interpreter.site.lstrip("/")
    found = sorted(p for p in site.rglob("*") if p.name.endswith(COMPILED) and p.is_file())
    if not found:
        raise ArchiveError("wheel.no-extension", "the project was built, and nothing in its wheel is compiled",
                           where=wheel.filename, hint="its build system is said to compile; see its own options")

    def fill(writer: TreeWriter) -> None:
        for path in found:
            name = path.relative_to(site).as_posix()
            writer.link_file(path, f"{below}/{name}" if below else name)

    work.store.make_tree(key, fill)

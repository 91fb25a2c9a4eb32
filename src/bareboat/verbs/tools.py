"""The tools of sessions: locked by the resolver of projects, unpacked into the same store, kept apart from both."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.builder.stacking import lowers
from bareboat.image.plan import Plan
from bareboat.lock import Wheel
from bareboat.sessions.tools import Tool, tool_key, tool_plan
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, of_document

BOUND = 60  # trees of one tool in a stack: the smallest go together


def tool(wanted: Tool, plan: Plan, work: Work, *, upgrade: bool = False) -> Environment:
    """The trees of a tool for the Python of a plan: locked on first use, then as they were. upgrade: locked anew.

    Its trees are those above the base. Raises ResolveError, ArchiveError, StoreError.
    """
    key = tool_key(wanted, plan)
    document = work.store.get_json("cache", key)
    if isinstance(document, dict) and not upgrade:
        found = of_document(document)
        if None not in work.store.trees(found.trees):
            return found
    pylock = str(document.get("pylock", "")) if isinstance(document, dict) and not upgrade else ""
    wheels, pylock = _lock(wanted, plan, pylock, work)
    made = _assemble(wanted, tool_plan(wanted, wheels, plan), work)
    work.store.put_json("cache", key, {**made.__dict__, **_assembly(), "pylock": pylock})
    return made


def stacked(made: Environment, work: Work) -> tuple[Path, ...]:
    """The directories to lay over an image for a tool, bottom to top."""
    # the base's bytecode belongs to the image below, and no tree may be in a stack twice
    return lowers(work.store, made.trees, ("none", *made.bytecode[1:]), BOUND)


def _assembly() -> dict[str, int]:
    from bareboat.verbs.environment import ASSEMBLY

    return {"assembly": ASSEMBLY}


def _lock(wanted: Tool, plan: Plan, pylock: str, work: Work) -> tuple[tuple[Wheel, ...], str]:
    from bareboat.project.values import Dependencies
    from bareboat.resolve.python.locking import lock_wheels
    from bareboat.resolve.python.request import Request
    from bareboat.resolve.python.target import Target

    with work.store.scratch("tool") as scratch:
        root, files = scratch / "root", ["requirements.txt"]
        root.mkdir()
        lines = list(wanted.requirements)
        if wanted.constraints:
            (root / "constraints.txt").write_text("".join(f"{line}\n" for line in wanted.constraints), encoding="utf-8")
            lines.append("-c constraints.txt")
            files.append("constraints.txt")
        (root / files[0]).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        python = plan.interpreter
        request = Request(
            root=root, dependencies=Dependencies("requirements", tuple(files), named=(files[0],)),
            target=Target(python.full, plan.libc, plan.platform), scratch=scratch, previous=pylock,
            offline=work.settings.offline, index_age=work.settings.index_max_age, env=dict(os.environ))
        locked = lock_wheels(request)
    there = {line.partition("==")[0] for line in wanted.constraints}  # a constraint names what stands there already
    return tuple(w for w in locked.wheels if w.name not in there), locked.pylock_text


def _assemble(wanted: Tool, plan: Plan, work: Work) -> Environment:
    from bareboat.builder.image import bottom_keys, make_trees
    from bareboat.record.codec import encode_bytes
    from bareboat.verbs.lock import sources

    made = make_trees(work.store, plan, sources(work), work.tell.progress)
    if made.fetched or made.made:
        work.tell.say(f"{wanted.name} for sessions: {len(plan.wheels)} packages"
                      + (f", fetched {made.fetched_bytes / 1e6:.0f} MB" if made.fetched else ""))
    blob = work.store.put_blob([encode_bytes(plan)])
    found = Environment(plan.digest, blob, made.keys, made.bytecode, (), "/", platform=plan.platform)
    return replace(found, trees=made.keys[len(bottom_keys(plan)):])

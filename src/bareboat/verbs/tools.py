"""The tools of sessions: locked by the resolver of projects, unpacked into the same store, kept apart from both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bareboat.builder.stacking import compiled, lowers, stack
from bareboat.image.plan import Plan
from bareboat.lock import Wheel
from bareboat.sessions.tools import Tool, interpreter_for, lock_key, tool_key, tool_plan
from bareboat.values import dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import ASSEMBLY, Environment, of_document
from bareboat.workload import Mount


@dataclass(frozen=True)
class Made:
    """A tool on this machine. environment: its trees, those above the base; and its plan, to be compiled after."""

    tool: Tool
    site: str
    environment: Environment

    @property
    def keys(self) -> tuple[str, ...]:
        """What gc must leave alone while it is used."""
        return (*self.environment.trees, *self.environment.bytecode)


def tool(wanted: Tool, plan: Plan, work: Work, *, upgrade: bool = False) -> Made:
    """A tool for the Python of a plan: locked on first use, then as it was. upgrade: locked anew.

    Raises ResolveError, ArchiveError, StoreError.
    """
    site = interpreter_for(wanted, plan.interpreter).site
    key = tool_key(wanted, plan)
    document = None if upgrade else work.store.get_json("cache", key)
    if isinstance(document, dict):
        found = of_document(document)
        if None not in work.store.trees(found.trees):
            return Made(wanted, site, found)
    made = _assemble(wanted, tool_plan(wanted, _wheels(wanted, plan, work, upgrade), plan), work)
    work.store.put_json("cache", key, {**made.__dict__, "assembly": ASSEMBLY})
    return Made(wanted, site, made)


def stacked(made: Made, work: Work) -> tuple[Path, ...]:
    """The directories to lay over an image for a tool of the project's own prefix, bottom to top."""
    # the base's bytecode belongs to the image below, and no tree may be in a stack twice
    return lowers(work.store, made.environment.trees, ("none", *made.environment.bytecode[1:]))


def mounted(made: Made, work: Work) -> tuple[Mount, ...]:
    """A tool as read-only mounts, for every engine: its prefix whole, merged into one tree by hard links; in the
    project's own prefix each thing that it has there.
    """
    keys, bytecode = made.environment.trees, made.environment.bytecode[1:]
    wheels = tuple(key for key in keys if key.startswith("wheel-"))
    own = [key for key in keys if key not in wheels]  # first, for what is there stays
    (merged,) = work.store.trees(stack(work.store, [*own, *compiled(work.store, wheels, bytecode)], 1))
    assert merged is not None
    prefix = made.tool.prefix
    if prefix:
        return (Mount(merged / prefix.lstrip("/"), prefix, True),)
    places = (made.site, f"{made.site.partition('/lib/')[0]}/bin")
    return tuple(Mount(entry, f"{place}/{entry.name}", True) for place in places
                 for entry in sorted((merged / place.lstrip("/")).iterdir()))


def _wheels(wanted: Tool, plan: Plan, work: Work, upgrade: bool) -> tuple[Wheel, ...]:
    """The wheels of the tool's lock, made where there is none: what is generated for a project is not in it."""
    from bareboat.record.codec import encode_bytes
    from bareboat.verbs.images import plan_of

    key = lock_key(wanted, plan)
    document = None if upgrade else work.store.get_json("cache", key)
    pylock = ""
    if isinstance(document, dict):
        pylock = str(document.get("pylock", ""))
        if work.store.blob(str(document.get("plan_blob", ""))) is not None:
            return plan_of(document["plan_blob"], work).wheels
    wheels, pylock = _lock(wanted, plan, pylock, work)
    blob = work.store.put_blob([encode_bytes(tool_plan(replace(wanted, generated=()), wheels, plan))])
    work.store.put_json("cache", key, {"plan_blob": blob, "pylock": pylock})
    return wheels


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
            _write(root / "constraints.txt", wanted.constraints)
            lines.append("-c constraints.txt")
            files.append("constraints.txt")
        _write(root / files[0], lines)
        python = plan.interpreter
        request = Request(
            root=root, dependencies=Dependencies("requirements", tuple(files), named=(files[0],)),
            target=Target(python.full, plan.libc, plan.platform), scratch=scratch, previous=pylock,
            offline=work.settings.offline, index_age=work.settings.index_max_age, env=dict(os.environ))
        locked = lock_wheels(request)
    there = {line.partition("==")[0] for line in wanted.constraints}  # a constraint names what stands there already
    return tuple(w for w in locked.wheels if w.name not in there), locked.pylock_text


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _assemble(wanted: Tool, plan: Plan, work: Work) -> Environment:
    from bareboat.builder.image import bottom_keys, make_trees
    from bareboat.record.codec import encode_bytes
    from bareboat.verbs.lock import sources

    made = make_trees(work.store, plan, sources(work), work.tell.progress)
    if made.fetched:
        count = len(plan.wheels)
        work.tell.say(f"{wanted.name} for sessions: {count} package{'s' if count != 1 else ''}, fetched "
                      f"{made.fetched_bytes / 1e6:.0f} MB")
    blob = work.store.put_blob([encode_bytes(plan)])
    found = Environment(plan.digest, blob, made.keys, made.bytecode, (), "/", platform=plan.platform)
    return replace(found, trees=made.keys[len(bottom_keys(plan)):])

"""build: make the image of a project without running anything in front of people but its bytecode."""

from __future__ import annotations

from pathlib import Path

from bareboat.errors import UsageError
from bareboat.host.kernel import platform
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, assemble, environment
from bareboat.verbs.lock_mode import LockMode

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/:")


def build(folder: Path, names: tuple[str, ...], mode: LockMode, work: Work, *,
          code: bool = True) -> tuple[Environment, ...]:
    """Lock and assemble a project, compile its bytecode, and give the image its names. mode.platforms: what for, else
    what the project names, else this machine; of several, this machine's is the first of what is returned.

    code: put the project's code on top, so that the image runs where the project is not. Nothing of another platform is
    executed. Raises UsageError "image.name" before anything is made, and what locking and assembling raise.
    """
    from bareboat.builder.bytecode import compile_missing
    from bareboat.project import load
    from bareboat.verbs.images import plan_of

    for name in names:
        check_name(name)
    project, here = load(folder), platform()
    platforms = mode.platforms or project.platforms or (here,)
    mode = replace(mode, platforms=platforms)
    made = [environment(project, mode, work, "" if p == here else p)
            for p in sorted(platforms, key=lambda p: p != here)]
    if code:
        from bareboat.verbs.shipping import travelling

        made = [assemble(travelling(project, one, work), work) for one in made]
    compiled = sum(compile_missing(work.store, work.engine, plan_of(one.plan_blob, work)) for one in made)
    if compiled:
        work.tell.say(f"compiled bytecode of {compiled} layers")
    work.store.settle()
    rows = tuple((m.platform, m.plan) for m in made) if len(made) > 1 else ()
    for name in names:
        work.store.tag(name, made[0].plan, rows)
    return tuple(made)


def check_name(name: str) -> None:
    """A repository, with a tag or not, as distribution-spec's grammar has them."""
    repository, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "x")
    parts = repository.split("/")
    good = (len(name) <= 255 and NAME_CHARACTERS.issuperset(name) and tag
            and all(p and p[0].isalnum() and p[-1].isalnum() for p in parts))
    if not good:
        raise UsageError("image.name", f"{name!r} is no image name",
                         hint="lower-case letters, digits and . _ - /, and :TAG, as in lab/seg:1")

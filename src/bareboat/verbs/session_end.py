"""The end of a session: what was installed in it by hand, and what of that goes into the project."""

from __future__ import annotations

from collections.abc import Callable

from bareboat.errors import BareboatError
from bareboat.image.plan import Plan
from bareboat.project.values import Project
from bareboat.sessions.installed import Installed, debian_files, debian_installed, normalised, python_installed
from bareboat.values import replace
from bareboat.verbs.collaborators import Work

SHOWN = 8


class Watch:
    """Looks at a session's thin layer at its end. found: what was installed there."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.found = plan, Installed()

    def layer(self, layer: int) -> frozenset[bytes]:
        """For engine.base.Streams.layer."""
        before = {normalised(w.name): w.version for w in self.plan.wheels}
        found = python_installed(layer, self.plan.interpreter.site, before)
        python = tuple(d for d in found.python if normalised(d.name) != "pip")
        self.found = replace(found, python=python, apt=debian_installed(layer, (d.name for d in self.plan.debs)))
        return found.files | debian_files(layer) if self.found.apt else found.files


def end(project: Project, found: Installed, keep: bool | None, work: Work, ask: Callable[[str], bool]) -> None:
    """Say what was installed by hand, and keep it in the project where that is wanted.

    A project that cannot be edited is said to be so, with the lines to add: a session never fails for it.
    """
    from bareboat.sessions.keeping import keep as write

    if not found.python and not found.apt:
        return
    asked = found.asked
    names = [d.requirement for d in asked] + [f"{name} (apt)" for name, _ in found.apt]
    more = len(found.python) - len(asked)
    work.tell.say(f"installed by hand: {_some(names)}" + (f", and {more} that they need" if more > 0 else ""))
    if keep is None:
        keep = ask("put them into the project, so that the next run has them?")
    if not keep:
        work.tell.say("they are gone with the session; shell --keep puts such packages into the project")
        return
    try:
        done = write(project, asked, tuple(name for name, _ in found.apt))
    except BareboatError as error:
        work.tell.say(f"not kept: {error.what}; {error.hint}")
        return
    for line in done:
        work.tell.say(line)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

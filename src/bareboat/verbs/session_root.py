"""A session of root's has apt-get: the image with a package manager on top, for the session alone."""

from __future__ import annotations

from bareboat.errors import BareboatError
from bareboat.image.plan import Plan
from bareboat.project.values import Project
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, assemble


def with_apt(project: Project, made: Environment, plan: Plan, work: Work) -> tuple[Environment, Plan]:
    """The environment with apt and what it needs; as it is where that is an image of others, or cannot be had."""
    from bareboat.resolve.debian.lockbase import BaseRequest, lock_base
    from bareboat.sessions.apt import PACKAGES, files, united
    from bareboat.verbs.lock import archive

    if plan.image is not None or not plan.debs:
        return made, plan
    try:
        source = archive(plan.family, work)
        request = BaseRequest(suite=plan.suite, apt=PACKAGES, apt_source="shell --root", platform=plan.platform,
                              bare=True)
        more = lock_base(request, source).packages
        generated = (*plan.generated, *files(source, plan.suite))
        new = replace(plan, debs=united(plan.debs, more),
                      generated=tuple(sorted(generated, key=lambda f: f.path.encode())))
        return replace(assemble(new, work), locks=made.locks), new
    except BareboatError as error:
        work.tell.say(f"this session has no apt-get: {error.what}")
        return made, plan

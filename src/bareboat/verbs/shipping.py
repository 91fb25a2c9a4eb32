"""From a project's environment to the plan of the image that travels: code, command, variables, labels on top."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bareboat.image.plan import Plan, PlanCode
from bareboat.project.values import Project
from bareboat.record.secrets import withhold
from bareboat.values import replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment

if TYPE_CHECKING:
    from bareboat.record.gathered import GitFacts

STARTUP = "/opt/bareboat/startup"
TITLE, VERSION, REVISION, SOURCE = (f"org.opencontainers.image.{name}"
                                    for name in ("title", "version", "revision", "source"))


def travelling(project: Project, made: Environment, work: Work) -> Plan:
    """The plan with the project's code as it is now, and what its runs are given.

    Variables whose names or values look like secrets are left out, and named. Raises ProjectError, RecordError.
    """
    from bareboat.host.git import begin
    from bareboat.store.snapshots import snapshot
    from bareboat.verbs.extensions import extensions
    from bareboat.verbs.images import plan_of
    from bareboat.verbs.prepare import code_rules

    answer = begin(project.root).finish()
    taken = snapshot(work.store, project.root, code_rules(project, answer.ignored))
    for warning in taken.warnings:
        work.tell.say(warning)
    places = [(os.fspath(m.source.relative_to(project.root)), m.target) for m in project.mounts
              if m.kind == "code" and m.source.is_relative_to(project.root)]
    if project.startup:
        places.append((project.startup, STARTUP))
    of = taken.snapshot
    code = PlanCode(of.digest, of.index, of.packs,
                    tuple(("" if within == "." else within, target) for within, target in places),
                    extensions(project, made, work))
    own, withheld = withhold(project.env)
    if withheld:
        work.tell.say(f"not put into the image, since they look like secrets: {', '.join(withheld)}")
    env = dict(made.env) | {n: v for n, v in own if n not in withheld}
    start = ("/bin/sh", "-e", "-c", '. "$0"; set +e; exec "$@"', STARTUP) if project.startup else ()
    return replace(plan_of(made.plan_blob, work), code=code if places else None, env=tuple(sorted(env.items())),
                   cmd=project.command, entrypoint=start, labels=_labels(project, answer.facts))


def _labels(project: Project, git: GitFacts | None) -> tuple[tuple[str, str], ...]:
    """OCI's predefined keys (annotations.md), where the project knows them. A dirty tree has no revision, and the name
    of a folder is no title: the image must be the same wherever the folder lies."""
    found = {TITLE: project.name} if project.named else {}
    if project.package is not None:
        found[VERSION] = project.package.version
    if git is not None and git.commit and not git.dirty:
        found[REVISION] = git.commit
        if git.remote.startswith(("http://", "https://", "git@", "ssh://", "git://")):
            found[SOURCE] = git.remote
    return tuple(sorted(found.items()))

"""A run whose container Pyxis starts: its image in a registry when it is sent, the engine for it on the node."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.engine.scheduler import Submission
from bareboat.engine.slurm.pyxis import OPTION, Pyxis, unfit, uri
from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.host.process import Command, ProcessError, run
from bareboat.training.values import Point, Training
from bareboat.values import replace
from bareboat.verbs.cluster import Through
from bareboat.verbs.collaborators import Work

IMAGE = "image"  # in the submission's folder: the image, as enroot takes it


class ByPyxis(Through):
    """Slurm, where submissions that ask for Pyxis have their image pushed first."""

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Push, then submit. Raises EngineError "slurm.pyxis" where there is no Pyxis or it cannot do this, and what
        pushing raises.
        """
        repository = dict(submission.training.options).get(OPTION)
        if repository is not None and not (submission.folder / IMAGE).exists():
            wrong = unfit(submission.workload, os.getuid()) or missing()
            if wrong:
                raise EngineError("slurm.pyxis", f"Pyxis cannot carry it out: {wrong}", where="--pyxis",
                                  hint="leave --pyxis out: bareboat's own engine needs user namespaces alone")
            try:
                image = _pushed(submission, repository, self._work)
            except BareboatError as error:
                if error.code.endswith(".unreachable"):  # the registry, and nothing has reached Slurm
                    raise EngineError("slurm.image", error.what, where=error.where, hint=error.hint) from None
                raise
            (submission.folder / IMAGE).write_text(image, encoding="utf-8")
        return self._scheduler.submit(submission)

    def resume(self, submission: Submission, point: Point) -> str:
        """With the image of its submission."""
        return self._scheduler.resume(submission, point)

    def explain(self, submission: Submission) -> str:
        """The scheduler's."""
        return self._scheduler.explain(submission)


def missing() -> str:
    """Why this cluster's srun takes no image; "" where it does."""
    try:
        said = run(Command(("srun", "--help"), timeout=30)).stdout
    except ProcessError as error:
        return str(error)
    return "" if b"--container-image" in said else "srun knows no --container-image here"


def with_pyxis(training: Training, submission: Path, run_folder: Path, work: Work) -> Work:
    """The work of an attempt, with the engine that its submission asks for. Raises EngineError "slurm.pyxis"."""
    if OPTION not in dict(training.options):
        return work
    try:
        image = (submission / IMAGE).read_text(encoding="utf-8")
    except OSError as error:
        raise EngineError("slurm.pyxis", f"where its image was pushed cannot be read: {error.strerror}",
                          where=os.fspath(submission / IMAGE)) from None
    return replace(work, engine=Pyxis(image, run_folder / "pyxis", os.getuid()))


def _pushed(submission: Submission, repository: str, work: Work) -> str:
    """The environment alone: code is mounted, so that what changes in it brings no new image to the nodes."""
    from bareboat.registry.places import REGISTRY, parse_place
    from bareboat.verbs.environment import assemble
    from bareboat.verbs.images import plan_of
    from bareboat.verbs.push import push

    if submission.record is None:
        raise EngineError("cluster.record", "a submission without an account of its runs has no image to be sent")
    plan = plan_of(submission.record.plan_blob, work)
    tag = "env-" + plan.digest.removeprefix("sha256:")[:16]
    place = parse_place(f"{repository.rstrip('/')}:{tag}")
    if place.kind != REGISTRY or place.reference is None:
        raise UsageError("cluster.repository", "Pyxis gets the image from a registry", where=f"--pyxis {repository}",
                         hint="--pyxis HOST/REPOSITORY")
    push(assemble(plan, work).plan, place, work)
    return uri(place.reference.registry, place.reference.repository, tag)

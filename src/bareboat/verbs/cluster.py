"""A run on its way to a cluster: its image with its code in it, pushed where the nodes can have it (decision 0183)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bareboat.engine.base import Streams
from bareboat.engine.scheduler import Entering, Scheduler, Submission
from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.image.plan import Plan, PlanCode
from bareboat.record.values import RunRecord
from bareboat.training.values import Observation, Point
from bareboat.values import cast, replace
from bareboat.verbs.collaborators import Work
from bareboat.workload import Exec, Outcome

OPTION, SETTING = "repository", "cluster.repository"
NOTE = "image"  # in the submission's folder: where its image was pushed


class Through:
    """What stands before a cluster's scheduler when something is sent, and passes all else on."""

    def __init__(self, scheduler: Scheduler, work: Work) -> None:
        self.name, self._scheduler, self._work = scheduler.name, scheduler, work

    def poll(self, jobs: Sequence[str]) -> dict[str, Observation]:
        """The scheduler's."""
        return self._scheduler.poll(jobs)

    def stop(self, jobs: Sequence[str]) -> None:
        """The scheduler's."""
        self._scheduler.stop(jobs)

    def logs(self, job: str, follow: bool = False) -> Iterator[bytes]:
        """The scheduler's."""
        return self._scheduler.logs(job, follow)


class Carrying(Through):
    """A scheduler of a cluster that gets each submission with its image in a registry."""

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Push, then submit. Raises what both do; EngineError "NAME.image" where the registry could not be reached."""
        return self._scheduler.submit(self._pushed(submission))

    def resume(self, submission: Submission, point: Point) -> str:
        """With the image of its submission."""
        return self._scheduler.resume(self._pushed(submission), point)

    def explain(self, submission: Submission) -> str:
        """Without pushing: the reference is by digest where the image was made before, else by the tag it would get."""
        return self._scheduler.explain(named(submission, self._work))

    def exec(self, job: str, call: Exec, streams: Streams) -> Outcome:
        """The scheduler's."""
        return cast(Entering, self._scheduler).exec(job, call, streams)

    def _pushed(self, submission: Submission) -> Submission:
        if submission.image:
            return submission
        note = submission.folder / NOTE
        try:
            return replace(travelling(submission), image=note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        try:
            sent = pushed(submission, self._work)
        except BareboatError as error:
            if error.code.endswith(".unreachable"):  # of the registry, and nothing has reached the cluster
                raise EngineError(f"{self.name}.image", error.what, where=error.where, hint=error.hint) from None
            raise
        note.write_text(sent.image, encoding="utf-8")
        return sent


def travelling(submission: Submission) -> Submission:
    """The submission without the mounts that are in its image. Raises EngineError "cluster.startup" for a script that
    is neither in the project nor in the image.
    """
    record = _record(submission)
    code = {mount.target for mount in record.mounts if mount.kind == "code"}
    for mount in record.mounts:
        if mount.kind == "startup":
            raise EngineError("cluster.startup", "a startup script from outside the project is not on the cluster",
                              where=mount.source, hint="put it into the project, and leave --startup away")
    load = submission.workload
    return replace(submission, workload=replace(
        load, mounts=tuple(m for m in load.mounts if m.target not in code), code_overlays=()))


def named(submission: Submission, work: Work) -> Submission:
    """As pushed, but nothing is assembled or sent."""
    plan, repository = image_plan(_record(submission), work), _repository(submission, work)
    document = work.store.get_json("plans", plan.digest)
    digest = document.get("manifest") if isinstance(document, dict) else None
    image = f"{repository or 'REPOSITORY'}" + (f"@{digest}" if digest else f":{_tag(plan)}")
    return replace(travelling(submission), image=image)


def pushed(submission: Submission, work: Work) -> Submission:
    """The submission with its image in the registry, referred to by digest. Idempotent. Raises UsageError
    "cluster.repository", RegistryError, and what assembling raises.
    """
    from bareboat.registry.places import REGISTRY, parse_place
    from bareboat.verbs.environment import assemble
    from bareboat.verbs.push import push

    repository = _repository(submission, work)
    if not repository:
        raise UsageError("cluster.repository", "the nodes of a cluster get the image from a registry: none is named",
                         where=f"--{OPTION}", hint=f"--{OPTION} ghcr.io/lab/runs, or {SETTING} in the settings")
    carried = travelling(submission)
    plan = image_plan(_record(submission), work)
    place = parse_place(f"{repository}:{_tag(plan)}")
    if place.kind != REGISTRY:
        raise UsageError("cluster.repository", "the nodes of a cluster get the image from a registry", where=repository,
                         hint=f"--{OPTION} HOST/REPOSITORY")
    made = assemble(plan, work)
    digest = push(made.plan, place, work).digest
    assert place.reference is not None
    return replace(carried, image=f"{place.reference.registry}/{place.reference.repository}@{digest}")


def image_plan(record: RunRecord, work: Work) -> Plan:
    """The plan of the image of a run with its code on top, at the places where the run mounts it."""
    from bareboat.verbs.images import plan_of

    plan = plan_of(record.plan_blob, work)
    places = tuple((mount.within, mount.target) for mount in record.mounts if mount.kind == "code")
    if record.code is None or not places:
        return plan
    code = record.code
    return replace(plan, code=PlanCode(code.digest, code.index, code.packs, places, record.overlays))


def _record(submission: Submission) -> RunRecord:
    if submission.record is None:
        raise EngineError("cluster.record", "a submission without an account of its runs has no image to be sent")
    return submission.record


def _repository(submission: Submission, work: Work) -> str:
    said = dict(submission.training.options).get(OPTION) or work.settings.cluster_repository or ""
    return said.rstrip("/")


def _tag(plan: Plan) -> str:
    return "run-" + plan.digest.removeprefix("sha256:")[:16]

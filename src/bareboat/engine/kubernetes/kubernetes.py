"""The scheduler Kubernetes: each run an index of a Job, or a Job of its own, on a cluster of a kubeconfig.

Nothing of it has met a real cluster yet: docs/kubernetes.md says what it was held against instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from bareboat.engine.base import Streams
from bareboat.engine.kubernetes import manifest, names, states
from bareboat.engine.kubernetes.api import Api, Call, Clock, Document, Refused, core_path, jobs_path, metadata, of_kind
from bareboat.engine.kubernetes.kubeconfig import access
from bareboat.engine.kubernetes.logs import Logs
from bareboat.engine.kubernetes.names import Named, parse_named
from bareboat.engine.kubernetes.options import Options, parse_options
from bareboat.engine.kubernetes.shown import to_yaml
from bareboat.engine.kubernetes.stopping import Stopping
from bareboat.engine.scheduler import Submission
from bareboat.errors import BareboatError, EngineError, UsageError
from bareboat.record.states import final
from bareboat.training.values import Observation, Point
from bareboat.values import replace
from bareboat.workload import Exec, Outcome

MERGE = "application/merge-patch+json"
SELECTED_MOST = 30  # Jobs that are asked for by name; of more all of ours are
MANY = 200  # runs, from which on pods that succeeded are not listed
LOOKED_MOST = 20  # Jobs that a list did not have and that are asked for each on its own


class Kubernetes:
    """A Scheduler (engine/scheduler.py). folder: for the logs of pods that were stopped; architecture: of the images
    that are sent, as Kubernetes says it; env: where KUBECONFIG and proxies are said.
    """

    name = "kubernetes"

    def __init__(self, folder: Path, env: Mapping[str, str], architecture: str = "",
                 clock: Clock | None = None) -> None:
        self._folder, self._env, self._architecture, self._clock = folder, dict(env), architecture, clock

    def explain(self, submission: Submission) -> str:
        """The objects as YAML, in the order they are sent, secrets withheld. Asks no cluster; the same words twice give
        the same text, so that runs that will get ids at random have none in it.
        """
        if submission.id == "dry-run":
            submission = replace(submission, points=tuple(
                replace(point, run=f"run-{point.index}") for point in submission.points))
        found = []
        for bundle in manifest.bundles(submission, self._options(submission)):
            found += [bundle.job, *map(manifest.withheld, bundle.others)]
        return to_yaml(found)

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """As Scheduler. Idempotent: what is there already of this submission is gone on with."""
        if submission.training.after:
            first = submission.training.after[0]
            raise UsageError("kubernetes.after", f"{first} is not over, and a cluster has no order between Jobs",
                             where="--after",
                             hint=f'wait for it: test "$(bareboat wait {first})" = 0 && bareboat train …')
        options = self._options(submission)
        with closing(self._api(options.context)) as api:
            options = manifest.for_namespace(options, api.access.namespace)
            bundles = manifest.bundles(submission, options)
            _claims_are_there(api, options)
            made: list[Document] = []
            try:
                for bundle in bundles:
                    self._create(api, bundle, options, made)
            except EngineError as error:
                if error.code != "kubernetes.unreachable":
                    self._withdraw(api, options.namespace, made)
                raise
        return tuple(str(Named(options.namespace, bundle.name, place if bundle.indexed else -1, options.context))
                     for bundle in bundles for place, _ in enumerate(bundle.points))

    def poll(self, jobs: Sequence[str]) -> dict[str, Observation]:
        """As Scheduler: a list of Jobs, and of pods where the Jobs do not say it all, for each namespace."""
        found: dict[str, Observation] = {}
        groups: dict[tuple[str, str], list[Named]] = {}
        for named in _known(jobs):
            groups.setdefault((named.context, named.namespace), []).append(named)
        failed: list[BareboatError] = []
        for (context, namespace), wanted in groups.items():
            try:
                with closing(self._api(context)) as api:
                    found |= _polled(api, namespace, wanted)
            except EngineError as error:
                failed.append(error)
        if failed and len(failed) == len(groups):
            first = failed[0]
            raise EngineError("kubernetes.unreachable", first.what, where=first.where, hint=first.hint)
        return found

    def stop(self, jobs: Sequence[str]) -> None:
        """As Scheduler. Where it runs, its end is waited for as long as it may take, to keep what it still says."""
        groups: dict[tuple[str, str, str], set[int]] = {}
        for named in _known(jobs):
            groups.setdefault((named.context, named.namespace, named.job), set()).add(named.index)
        for (context, namespace, job), indexes in groups.items():
            with closing(self._api(context)) as api:
                Stopping(api, namespace, self._logs(api)).stop(job, indexes)

    def resume(self, submission: Submission, point: Point) -> str:
        """As Scheduler: a Job of its own. submission: as it was sent, with all of its points. Raises EngineError
        "kubernetes.ending" while a pod of the last attempt is there.
        """
        options = self._options(submission)
        with closing(self._api(options.context)) as api:
            options = manifest.for_namespace(options, api.access.namespace)
            first = next(b for b in manifest.bundles(submission, options) if any(p.run == point.run for p in b.points))
            index = next(i for i, p in enumerate(first.points) if p.run == point.run) if first.indexed else -1
            before, number = [Named(options.namespace, first.name, index, options.context)], 2
            while True:
                bundle = manifest.again(submission, point, number, options)
                named = Named(options.namespace, bundle.name, -1, options.context)
                if _get(api, jobs_path(options.namespace, bundle.name)) is None:
                    break
                before, number = [*before, named], number + 1
            seen = _polled(api, options.namespace, before[-1:]).get(str(before[-1]), states.GONE)
            if not final(seen.state):
                raise EngineError("kubernetes.ending", f"its last attempt is {seen.state}: {seen.reason}",
                                  where=str(before[-1]), hint="wait for its end, and resume it then")
            notes = {states.BEFORE: " ".join(map(str, before)), states.ATTEMPTS: str(seen.attempt)}
            job = {**bundle.job, "metadata": {**bundle.job["metadata"], "annotations": {
                **bundle.job["metadata"]["annotations"], **notes}}}
            made: list[Document] = []
            try:
                self._create(api, replace(bundle, job=job), options, made)
            except EngineError as error:
                if error.code != "kubernetes.unreachable":
                    self._withdraw(api, options.namespace, made)
                raise
        return str(named)

    def logs(self, job: str, follow: bool = False) -> Iterator[bytes]:
        """As Scheduler, of every pod that the cluster still has, and of those whose end was asked for here."""
        named = parse_named(job)
        with closing(self._api(named.context)) as api:
            yield from self._logs(api).of(named, follow)

    def exec(self, job: str, call: Exec, streams: Streams) -> Outcome:
        """As Entering; of several nodes in the first's pod."""
        from bareboat.engine.kubernetes.exec import execute

        named = parse_named(job)
        with closing(self._api(named.context)) as api:
            selector = ("labelSelector", f"{names.JOB}={named.job}")
            pods, _ = api.items(core_path(named.namespace, "pods"), selector)
            running = [pod for pod in pods if states.runs(pod) and states.index_of(pod) == max(named.index, 0)]
            if not running:
                seen = _polled(api, named.namespace, [named]).get(job)
                what = f"{seen.state}: {seen.reason}".rstrip(": ") if seen is not None else "nowhere"
                raise EngineError("kubernetes.not-running", f"no pod of the run is running; it is {what}",
                                  where=job, hint="bareboat queue")
            return execute(api, named.namespace, str(metadata(running[-1])["name"]), call, streams)

    def _api(self, context: str) -> Api:
        return Api(access(context, self._env), self._env, self._clock)

    def _logs(self, api: Api) -> Logs:
        return Logs(api, self._folder)

    def _options(self, submission: Submission) -> Options:
        found = parse_options(submission.training.options)
        foreign = submission.workload.platform.partition("/")[2].partition("/")[0]
        return replace(found, architecture=found.architecture or foreign or self._architecture)

    def _create(self, api: Api, bundle: manifest.Bundle, options: Options, made: list[Document]) -> None:
        """The Job held back, then what it owns, then let go: none of it is left where one is refused, and no pod starts
        before all that it needs is there.
        """
        job = _created(api, options.namespace, manifest.suspended(bundle.job))
        made.append(job)
        for document in bundle.others:
            _created(api, options.namespace, manifest.owned(document, job))
        if not options.queue and (job.get("spec") or {}).get("suspend"):
            api.ask(Call("PATCH", jobs_path(options.namespace, bundle.name), (), {"spec": {"suspend": False}}, MERGE))

    def _withdraw(self, api: Api, namespace: str, made: list[Document]) -> None:
        """What was made goes with the Jobs that own it."""
        for job in made:
            try:
                api.ask(Call("DELETE", jobs_path(namespace, metadata(job)["name"]),
                             (("propagationPolicy", "Background"),)))
            except EngineError:
                pass  # the first failure is the one to tell


def _created(api: Api, namespace: str, document: Document) -> Document:
    """Create it, or find that it was created before, by a try whose answer was lost."""
    path, name = of_kind(namespace, document), document["metadata"]["name"]
    try:
        return api.ask(Call("POST", path, (), document))
    except Refused as error:
        if error.kind != "AlreadyExists":
            raise _explained(error, namespace, str(document["kind"])) from None
    there = api.ask(Call("GET", f"{path}/{name}"))
    if (metadata(there).get("labels") or {}).get(names.SUBMISSION) != document["metadata"]["labels"][names.SUBMISSION]:
        raise Refused(409, "AlreadyExists", f"a {document['kind']} {name} is there, and it is not this submission's",
                      where=f"{path}/{name}", hint="delete it, or give the run another name")
    return there


def _explained(error: Refused, namespace: str, kind: str) -> Refused:
    """The refusal with what to do about it."""
    what, hint = error.what, error.hint
    if "exceeded quota" in what:
        hint = "ask for less, wait for others to end, or ask the cluster's administrator for more"
    elif error.status == 404:
        what = what if "not found" in what else f"there is no namespace {namespace}"
        hint = "name one that there is: --namespace; kubectl get namespaces lists them"
    elif error.status == 403:
        hint = f"your account may not do this in {namespace}; docs/kubernetes.md has the rights that are needed"
    elif error.status in (400, 422):
        hint = "bareboat train --dry-run shows what was sent; Kubernetes 1.29 is the oldest that has all of it"
    elif error.status == 413 or "too large" in what.lower():
        hint = "send it in several submissions, or put what is long into files of the project"
    return Refused(error.status, error.kind, f"{kind}: {what}", where=error.where, hint=hint)


def _claims_are_there(api: Api, options: Options) -> None:
    """Refuse a submission whose pods would wait for a claim for ever. Raises Refused."""
    for claim in (options.results, options.data):
        if claim is None:
            continue
        try:
            found = _get(api, core_path(options.namespace, "persistentvolumeclaims", claim.name))
        except Refused as error:
            if error.status in (401, 403):
                continue  # who may not look finds out by the pod
            raise _explained(error, options.namespace, "PersistentVolumeClaim") from None
        if found is None:
            raise Refused(404, "NotFound", f"there is no PersistentVolumeClaim {claim.name}",
                          where=f"namespace {options.namespace}",
                          hint="make one, with access mode ReadWriteMany where several nodes shall use it, or name "
                               "another: --results-claim, --data-claim")


def _get(api: Api, path: str) -> Document | None:
    try:
        return api.ask(Call("GET", path))
    except Refused as error:
        if error.status == 404:
            return None
        raise


def _polled(api: Api, namespace: str, wanted: Sequence[Named]) -> dict[str, Observation]:
    asked = sorted({named.job for named in wanted})
    selector = f"{names.JOB} in ({','.join(asked)})" if len(asked) <= SELECTED_MOST else names.SELECTOR
    listed, _ = api.items(jobs_path(namespace), ("labelSelector", selector))
    jobs = {str(metadata(job).get("name")): job for job in listed}
    missing = [name for name in asked if name not in jobs]
    gone = set()
    for name in missing[:LOOKED_MOST]:
        job = _get(api, jobs_path(namespace, name))
        if job is None:
            gone.add(name)
        else:
            jobs[name] = job
    mine = {name: jobs[name] for name in asked if name in jobs}
    pods: dict[str, list[Document]] = {}
    if states.needs_pods(mine.values()):
        query = [("labelSelector", selector)]
        if sum(int((job.get("spec") or {}).get("completions") or 1) for job in mine.values()) > MANY:
            query.append(("fieldSelector", "status.phase!=Succeeded"))  # of which the Jobs have a list
        for pod in api.items(core_path(namespace, "pods"), *query)[0]:
            pods.setdefault(str((metadata(pod).get("labels") or {}).get(names.JOB)), []).append(pod)
    events: dict[str, list[Document]] = {}
    if any(name not in pods and states.condition(job, "Complete") is None for name, job in mine.items()):
        for event in _events(api, namespace):
            events.setdefault(str((event.get("involvedObject") or {}).get("name")), []).append(event)
    by_index: dict[tuple[str, int], list[Document]] = {}  # of a sweep of thousands each run looks at its own alone
    for name, of_job in pods.items():
        for pod in of_job:
            by_index.setdefault((name, states.index_of(pod)), []).append(pod)
    found: dict[str, Observation] = {}
    for named in wanted:
        if named.job in gone:
            found[str(named)] = states.GONE
        elif named.job in mine:
            own = by_index.get((named.job, named.index), ()) if named.index >= 0 else pods.get(named.job, ())
            found[str(named)] = states.observe(mine[named.job], own, named.index, events.get(named.job, ()))
    for name, job in mine.items():
        if states.condition(job, "Complete") or states.condition(job, "Failed"):
            _forget_secret(api, namespace, name, job)
    return found


def _forget_secret(api: Api, namespace: str, name: str, job: Document) -> None:
    """A Job stays for its logs; what its pods were told in secret goes when none can come any more."""
    if not states.has_secret(job):
        return
    try:
        api.ask(Call("DELETE", core_path(namespace, "secrets", name)))
    except Refused:
        pass  # it is gone, or may not be deleted by us: it goes with the Job


def _events(api: Api, namespace: str) -> list[Document]:
    """Why pods could not be made; nothing where that may not be read."""
    try:
        return api.items(core_path(namespace, "events"),
                         ("fieldSelector", "involvedObject.kind=Job,reason=FailedCreate"))[0]
    except Refused:
        return []


def _known(jobs: Sequence[str]) -> list[Named]:
    found = []
    for text in jobs:
        try:
            found.append(parse_named(text))
        except EngineError:
            continue  # nothing is known of a stranger
    return found

"""A submission as the objects of a Kubernetes cluster: Jobs, and what each needs beside it. Pure.

The fields follow the API of 1.29 and later: kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1. What
an attempt's end leads to is training/rules.follow said as a podFailurePolicy: docs/kubernetes.md has the table.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from pathlib import Path

from bareboat.engine.kubernetes import names, pod
from bareboat.engine.kubernetes.options import Options
from bareboat.engine.kubernetes.points import parts
from bareboat.engine.scheduler import Submission
from bareboat.errors import EngineError
from bareboat.training.values import Point, Retry
from bareboat.values import Any, dataclass, replace

AGAIN, FAILED, TOLD, LIMIT = 122, 120, 121, 124  # exit codes of start.sh
KEPT_SECONDS = 30 * 86400  # after its end a Job stays for so long, with its logs
OBJECT_MOST = 1_000_000  # bytes; a cluster's store takes 1.5 MiB at once (etcd.io/docs: --max-request-bytes)
NODES_POINTS_MOST = 200  # Jobs of one submission, where each run is a Job of its own

Document = dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A Job and what belongs to it. others: Services, Secrets and ConfigMaps, which it shall own; points: of the
    submission, in the order of the Job's indexes (one where it has none); indexed: whether each is an index of it.
    """

    job: Document
    others: tuple[Document, ...]
    points: tuple[Point, ...]
    indexed: bool = False

    @property
    def name(self) -> str:
        """The Job's, which the others share."""
        return str(self.job["metadata"]["name"])


def bundles(submission: Submission, options: Options) -> tuple[Bundle, ...]:
    """The Jobs of a submission: one, of which each run is an index; a Job for each run that needs several nodes.

    Raises EngineError "kubernetes.*" for what a cluster cannot do.
    """
    s = submission
    if s.training.need.nodes > 1 and len(s.points) > 1:
        if len(s.points) > NODES_POINTS_MOST:
            raise EngineError("kubernetes.too-large", f"{len(s.points)} runs that need several nodes each",
                              hint=f"send at most {NODES_POINTS_MOST} at once")
        return tuple(_bundle(s, (point,), names.job_name(s.name, s.id, str(point.index)), options)
                     for point in s.points)
    return (_bundle(s, s.points, names.job_name(s.name, s.id), options),)


def again(submission: Submission, point: Point, number: int, options: Options) -> Bundle:
    """One more Job for a run of a submission that is given as it was sent, with all of its points. number: of this Job
    among the run's, 2 for the first after the submission's own.
    """
    return _bundle(submission, (point,), names.job_name(submission.name, point.run, f"again-{number}"), options)


def results_path(submission: Submission, point: Point) -> str:
    """The directory of a run in the claim for results; the same for all of its attempts."""
    named = names.slug(submission.name)
    if len(submission.points) > 1 or point.index:
        return "/".join((_joined(named, submission.id), str(point.index)))
    return _joined(named, point.run)


def _joined(name: str, id: str) -> str:
    return f"{name}-{names.slug_of_id(id)}" if name else names.slug_of_id(id)


def _bundle(s: Submission, points: tuple[Point, ...], name: str, options: Options) -> Bundle:
    need, many = s.training.need, len(points) > 1
    filed = many or not pod.is_text(points[0])
    each, files = parts(points) if filed else (0, ())
    labels = _labels(s, name)
    if not many:
        labels[names.RUN] = names.label(points[0].run)
    folder = results_path(s, points[0])
    inside = pod.Inside(
        job=name, image=s.image, points_each=each, parts=len(files), many=many,
        results=folder.rpartition("/")[0] if many else folder, secret=name if pod.secrets(s.workload) else "")
    template = pod.template(s, points[0], inside, options)
    template["metadata"] = {"labels": labels, "annotations": _notes(s, points, many)}
    spec: Document = {
        "completions": len(points) if many else need.nodes,
        "parallelism": min(s.training.parallel or len(points), len(points)) if many else need.nodes,
    }
    # one run is an index too: the pods of an index are told how many came before them, which is the attempt's number
    spec["completionMode"] = "Indexed"
    spec["backoffLimit" if need.nodes > 1 else "backoffLimitPerIndex"] = s.training.retry.retries
    spec |= {
        "podFailurePolicy": {"rules": failure_rules(s.training.retry, "FailJob" if need.nodes > 1 else "FailIndex")},
        "podReplacementPolicy": "Failed",  # never before the last one is known to be over
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }
    if options.queue:
        labels = {**labels, "kueue.x-k8s.io/queue-name": options.queue}
        spec["suspend"] = True  # Kueue lets it go
    spec["template"] = template
    job = {"apiVersion": "batch/v1", "kind": "Job",
           "metadata": _meta(name, labels, _notes(s, points, many), options), "spec": spec}
    others = tuple(_others(s, name, options, files))
    for document in (job, *others):
        if len(json.dumps(document)) > OBJECT_MOST + 48_000 * (document["kind"] == "ConfigMap"):
            raise EngineError("kubernetes.too-large", f"the {document['kind']} would be larger than a cluster keeps",
                              hint="put what is long in arguments and variables into files of the project")
    return Bundle(job, others, points, many)


def _meta(name: str, labels: dict[str, str], notes: dict[str, str], options: Options) -> Document:
    found: Document = {"name": name, **({"namespace": options.namespace} if options.namespace else {}),
                       "labels": labels}
    return {**found, "annotations": notes} if notes else found


def _labels(s: Submission, name: str) -> dict[str, str]:
    return {names.NAME: names.slug(s.name) or "run", names.MANAGED: "bareboat", names.SUBMISSION: names.label(s.id),
            names.JOB: name}


def _notes(s: Submission, points: tuple[Point, ...], many: bool) -> dict[str, str]:
    found = {"bareboat/submission-id": s.id, "bareboat/name": s.name}
    if not many:
        found["bareboat/run-id"] = points[0].run
    return {name: pod.text(value) for name, value in found.items() if value}


def failure_rules(retry: Retry, fail: str) -> list[Document]:
    """What training/rules.follow does after an end, the first that matches counts. fail: "FailJob" or "FailIndex"."""
    again = [code for code in retry.requeue_on if code not in retry.fail_on]
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        _on_exit("Ignore", "In", (AGAIN, *again)),
        _on_exit(fail, "In", {FAILED, TOLD, LIMIT, *retry.fail_on} - set(again)),
    ]
    if retry.retry_on:
        rules.append(_on_exit(fail, "NotIn", retry.retry_on))
    return rules


def _on_exit(action: str, operator: str, codes: Any) -> Document:
    values = sorted({code for code in codes if 0 < code < 256})
    return {"action": action, "onExitCodes": {"containerName": pod.CONTAINER, "operator": operator, "values": values}}


def _others(s: Submission, name: str, options: Options, files: tuple[str, ...]) -> list[Document]:
    labels = _labels(s, name)

    def of(kind: str, own: str = name, **body: Any) -> Document:
        return {"apiVersion": "v1", "kind": kind, "metadata": _meta(own, labels, {}, options), **body}

    found = []
    if s.training.need.nodes > 1:
        found.append(of("Service", spec={
            "clusterIP": "None", "publishNotReadyAddresses": True,  # they look for each other at once
            "selector": {names.JOB: name}, "ports": [{"name": "rendezvous", "port": pod.PORT}]}))
    secrets = pod.secrets(s.workload)
    if secrets:
        found.append(of("Secret", type="Opaque", immutable=True, data={
            key: base64.b64encode(pod.text(value).encode()).decode() for key, value in secrets}))
    stopped = {"stopped": ""} if len(s.points) > 1 else {}
    found.append(of("ConfigMap", data={"start": start_script(), **stopped}))
    found += [of("ConfigMap", f"{name}-{number}", immutable=True, **_content(f"points-{number}", part))
              for number, part in enumerate(files)]
    return found


def _content(name: str, text: str) -> Document:
    """Of a ConfigMap: words that are not UTF-8 are no text of JSON either."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        data = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
        return {"binaryData": {name: data}}
    return {"data": {name: text}}


@lru_cache(maxsize=1)
def start_script() -> str:
    """start.sh, as it is beside this file."""
    return Path(__file__).with_name("start.sh").read_text(encoding="utf-8")


def suspended(job: Document) -> Document:
    """The Job as it is sent: nothing of it starts before all that it needs is there."""
    return {**job, "spec": {**job["spec"], "suspend": True}}


def owned(document: Document, job: Document) -> Document:
    """What belongs to a Job as the cluster has it, so that it goes with the Job."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    return {**document, "metadata": {**document["metadata"], "ownerReferences": [owner]}}


def withheld(document: Document) -> Document:
    """The document as it may be shown: a Secret's names without its values."""
    if document["kind"] != "Secret":
        return document
    return {**document, "data": dict.fromkeys(document["data"], "KioqKg==")}  # ****


def for_namespace(options: Options, namespace: str) -> Options:
    """The options with the namespace that was found for them."""
    return replace(options, namespace=options.namespace or namespace)

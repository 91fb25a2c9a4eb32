"""What a Job and its pods say of each of its runs. Pure; documents are as the API server gives them.

The conditions are those of kubernetes.io/docs/concepts/workloads/controllers/job and .../pods/disruptions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bareboat.engine.kubernetes import names
from bareboat.engine.kubernetes.pod import CONTAINER
from bareboat.training.values import Observation
from bareboat.values import Any, replace

Document = dict[str, Any]
INDEX = "batch.kubernetes.io/job-completion-index"
# of a pod that replaces others of its index: how many of them failed, and how many ends were ignored by the policy
FAILED = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
BEFORE, ATTEMPTS = "bareboat/before", "bareboat/attempts-before"  # of a Job that goes on with a run: earlier ones
SEEN = "bareboat/attempts-seen"
EVERY = "*"  # of names.STOPPED: all that is not over
TOLD = 121
OURS = (120, TOLD, 122, 124)  # exit codes of start.sh, which are not the program's
GONE = Observation("cancelled", "its Job was deleted on the cluster")
_CANNOT = {  # why a container does not start, and cannot without somebody's help
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}
_DISRUPTED = {
    "PreemptionByScheduler": "preempted for a pod of higher priority", "DeletionByTaintManager": "its node was tainted",
    "EvictionByEvictionAPI": "evicted, as when a node is drained", "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "evicted by its node",
}


def observe(job: Document, pods: Sequence[Document], index: int, events: Sequence[Document] = ()) -> Observation:
    """One run. index: in its Job, -1 for a Job that is one run; pods: the Job's; events: of it, newest last."""
    own = sorted((pod for pod in pods if index < 0 or index_of(pod) == index), key=_begun)
    live = [pod for pod in own if _phase(pod) not in ("Succeeded", "Failed")]
    attempt = _attempt(job, own, index)
    over = _over(job, own, index)
    if over is not None:
        if live and over.state != "succeeded":
            return replace(over, state="running", reason="it is being stopped", attempt=attempt, exit_code=None,
                           where=_node(live[-1]))
        attempt = max(attempt, 1) if over.state == "succeeded" else attempt
        return replace(over, attempt=attempt, where=_node(own[-1]) if own else "")
    if not live:
        return Observation("pending", _why_none(job, own, events), attempt)
    pod = _most(live)
    state, reason = _alive(pod)
    return Observation(state, reason, attempt, where=_node(pod))


def needs_pods(jobs: Iterable[Document]) -> bool:
    """Whether the Jobs alone do not say it all: of many runs that succeeded nothing else is asked."""
    return any(condition(job, "Complete") is None or (job.get("spec") or {}).get("completions") == 1 for job in jobs)


def condition(document: Document, kind: str) -> Document | None:
    """A condition that holds."""
    for found in (document.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind and found.get("status") == "True":
            return dict(found)
    return None


def has_secret(job: Document) -> bool:
    """Whether its pods have variables that are kept in a Secret, which has the Job's name."""
    template = ((job.get("spec") or {}).get("template") or {}).get("spec") or {}
    return any("secretKeyRef" in (variable.get("valueFrom") or {})
               for container in template.get("containers") or () for variable in container.get("env") or ())


def index_of(pod: Document) -> int:
    """The completion index of a pod, -1 where it has none."""
    meta = pod.get("metadata") or {}
    text = (meta.get("annotations") or {}).get(INDEX) or (meta.get("labels") or {}).get(INDEX) or ""
    return int(text) if text.isascii() and text.isdigit() else -1


def within(ranges: object, index: int) -> bool:
    """Whether a list of indexes as "1,3-5,7" has one."""
    for part in str(ranges or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and int(first) <= index <= int(last or first):
            return True
    return False


def stopped(job: Document, index: int) -> bool:
    """Whether somebody asked for the end of a run."""
    said = ((job.get("metadata") or {}).get("annotations") or {}).get(names.STOPPED, "")
    return bool(said == EVERY or (index >= 0 and within(said, index)))


def _over(job: Document, own: list[Document], index: int) -> Observation | None:
    status = job.get("status") or {}
    if index >= 0 and within(status.get("completedIndexes"), index):
        return Observation("succeeded", "", exit_code=0)
    if index < 0 and condition(job, "Complete"):
        return Observation("succeeded", "", exit_code=0)
    failed = condition(job, "Failed")
    if failed is None and index >= 0 and within(status.get("failedIndexes"), index):
        failed = {}
    if stopped(job, index) and (failed is not None or condition(job, "FailureTarget") or not own):
        return Observation("cancelled", "stopped")
    if failed is None:
        return None
    ended = next((pod for pod in reversed(own) if _phase(pod) == "Failed"), None)
    code = _exit(ended).get("exitCode") if ended is not None else None
    said = _said(ended) if ended is not None else ""
    whole = {"BackoffLimitExceeded": "", "PodFailurePolicy": "", "FailedIndexes": ""}.get(
        str(failed.get("reason")), str(failed.get("message") or failed.get("reason") or ""))
    return Observation("failed", ", ".join(part for part in (said, whole) if part) or "it failed",
                       exit_code=code if isinstance(code, int) and code not in OURS else None)


def _attempt(job: Document, own: list[Document], index: int) -> int:
    """By what pods told at their end, which is the number that is on the volume; else by counting those that ran."""
    before = _number(job, ATTEMPTS)
    at = max(before, _seen(job, index))
    for pod in own:
        if index_of(pod) > 0 and "backoffLimitPerIndex" not in (job.get("spec") or {}):
            continue  # another node's part of the same attempt
        earlier = _number(pod, FAILED) + _number(pod, IGNORED)
        status = _container(pod).get("state") or {}
        if (status.get("terminated") or {}).get("exitCode") == TOLD:
            continue  # it was stopped before, and started nothing
        if "running" in status or "terminated" in status:
            words = str((status.get("terminated") or {}).get("message") or "").replace(":", " ").split()
            told = words[1] if len(words) > 1 and words[0] == "attempt" else ""
            at = max(at + 1 if not earlier else 0, before + earlier + 1,
                     int(told) if told.isdigit() and len(told) < 6 else 0)
        else:
            at = max(at, before + earlier)
    return at


def _seen(job: Document, index: int) -> int:
    """The attempt that was the last when its end was asked for, which deletes its pod: of SEEN, "INDEX:ATTEMPT …"."""
    for word in str(((job.get("metadata") or {}).get("annotations") or {}).get(SEEN) or "").split():
        of, _, attempt = word.partition(":")
        if of == str(max(index, 0)) and attempt.isdigit():
            return int(attempt)
    return 0


def _number(document: Document, annotation: str) -> int:
    said = str(((document.get("metadata") or {}).get("annotations") or {}).get(annotation) or "0")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 6 else 0


def _alive(pod: Document) -> tuple[str, str]:
    """State and reason of a pod that is not over."""
    meta, status = pod.get("metadata") or {}, pod.get("status") or {}
    container = _container(pod).get("state") or {}
    waiting = container.get("waiting") or {}
    running = "running" in container or _phase(pod) == "Running"
    if status.get("reason") == "NodeLost" or _phase(pod) == "Unknown":
        return "running", f"its node {_node(pod)} does not answer"
    if meta.get("deletionTimestamp"):
        return ("running" if running else "pending"), disruption(pod) or "it is asked to end"
    if running:
        return "running", ""
    why = str(waiting.get("reason") or "")
    if why in _CANNOT:
        message = " ".join(str(waiting.get("message") or "").split())
        return "pending", f"{why}: {message[:300]}" if message else why
    scheduled: Document = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), {})
    if scheduled.get("status") == "False":
        message = " ".join(str(scheduled.get("message") or "").split())
        return "pending", f"{scheduled.get('reason') or 'Unschedulable'}: {message[:300]}"
    return "pending", "its node brings the image" if _node(pod) else "it waits for a node"


def runs(pod: Document) -> bool:
    """Whether its program can be there: it runs, and was not asked to end."""
    return "running" in (_container(pod).get("state") or {}) and not (pod.get("metadata") or {}).get(
        "deletionTimestamp")


def disruption(pod: Document) -> str:
    """Why a pod is or was ended by the cluster, "" where it was not."""
    found = condition(pod, "DisruptionTarget")
    if found is None:
        return "evicted" if (pod.get("status") or {}).get("reason") == "Evicted" else ""
    kind = str(found.get("reason") or "")
    message = " ".join(str(found.get("message") or "").split())[:200]
    return f"{_DISRUPTED.get(kind, kind)}{f' ({message})' if message else ''}"


def _why_none(job: Document, own: list[Document], events: Sequence[Document]) -> str:
    """Why a Job that is not over has no pod now."""
    spec = job.get("spec") or {}
    labels = (job.get("metadata") or {}).get("labels") or {}
    if spec.get("suspend"):
        queue = labels.get("kueue.x-k8s.io/queue-name")
        return f"held by the queue {queue}" if queue else "suspended"
    refused = [event for event in events if event.get("reason") == "FailedCreate"]
    if refused and not own:
        message = str(refused[-1].get("message") or "")
        return " ".join(message.partition("is forbidden: ")[2].split() or message.split())[:300] or "no pod can be made"
    if own:
        last = own[-1]
        why = disruption(last) or _said(last)
        return f"waits for another attempt ({why})" if why else "waits for another attempt"
    return "waits for its pod"


def _said(pod: Document) -> str:
    """How a pod ended, in words: what start.sh told, else what the cluster knows."""
    ended = _exit(pod)
    reason, message = str(ended.get("reason") or ""), " ".join(str(ended.get("message") or "").split())[:300]
    if reason == "OOMKilled":
        return "out of memory"
    if message.startswith("attempt ") and ": " in message:
        return message.partition(": ")[2]
    status = pod.get("status") or {}
    whole = str(status.get("reason") or "")
    if whole in ("Evicted", "DeadlineExceeded", "OutOfcpu", "OutOfmemory", "UnexpectedAdmissionError"):
        return f"{whole}: {' '.join(str(status.get('message') or '').split())[:300]}".rstrip(": ")
    if reason in ("StartError", "ContainerCannotRun"):
        return f"the container cannot start: {message}"
    if message and not message.startswith("attempt "):
        return message
    code = ended.get("exitCode")
    return f"exit {code}" if isinstance(code, int) else ""


def _most(live: list[Document]) -> Document:
    """The pod that says most: of several nodes' the one that does not run, since all must."""
    return next((pod for pod in live if _phase(pod) != "Running"), live[-1])


def _container(pod: Document) -> Document:
    for found in (pod.get("status") or {}).get("containerStatuses") or ():
        if found.get("name") == CONTAINER:
            return dict(found)
    return {}


def _exit(pod: Document) -> Document:
    return dict((_container(pod).get("state") or {}).get("terminated") or {})


def _phase(pod: Document) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _node(pod: Document) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _begun(pod: Document) -> tuple[str, int, str]:
    meta = pod.get("metadata") or {}
    return str(meta.get("creationTimestamp") or ""), index_of(pod), str(meta.get("name") or "")

"""The pod of an attempt: program, variables, volumes, user and resources. Pure."""

from __future__ import annotations

import math

from bareboat.engine.kubernetes.names import checked_name
from bareboat.engine.kubernetes.options import Options
from bareboat.engine.scheduler import Submission
from bareboat.errors import EngineError, UsageError
from bareboat.host.env import INSIDE as CA_BUNDLE
from bareboat.record.secrets import is_withheld
from bareboat.training.values import Need, Point, Training
from bareboat.values import Any, dataclass
from bareboat.workload import Workload

CONTAINER = "program"
START = "/run/bareboat-pod"  # beside /run/bareboat, where images have scripts of their own
RESULTS, DATA = ("/results", "/app/results"), ("/data", "/app/data")  # the second of each is a link in the image
PORT = 29500  # where the first node is met, as torchrun has it
SLACK = 1800  # seconds that bringing the image may take before the cluster itself ends an attempt
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"

Document = dict[str, Any]


@dataclass(frozen=True)
class Inside:
    """What of the rest of the manifest a pod refers to. points_each: how many runs are in each of the parts, 0 where
    the words are in the pod; many: whether there are several; then the index follows results, the directory in the
    claim.
    """

    job: str
    image: str
    points_each: int = 0
    parts: int = 0
    many: bool = False
    results: str = ""
    secret: str = ""


def template(s: Submission, point: Point, inside: Inside, options: Options) -> Document:
    """The pod template, without its labels. Raises EngineError "kubernetes.*" for what a pod cannot have."""
    load, training, need = s.workload, s.training, s.training.need
    check(load, need)
    spec: Document = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(training.interrupt.grace + training.interrupt.kill) + 5,
    }
    if need.seconds:
        interrupt = training.interrupt
        spec["activeDeadlineSeconds"] = math.ceil(need.seconds + interrupt.grace + interrupt.kill) + SLACK
    spec |= {"automountServiceAccountToken": False, "enableServiceLinks": False}
    spec |= _placed(options)
    if need.nodes > 1:
        spec["subdomain"] = inside.job
    spec["securityContext"] = {
        "runAsNonRoot": True, "runAsUser": load.uid, "runAsGroup": load.gid or load.uid,
        "fsGroup": load.gid or load.uid, "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container: Document = {
        "name": CONTAINER, "image": inside.image or "IMAGE", "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", f"{START}/start"],
    }
    if not inside.points_each:
        container["args"] = [escaped(word) for word in (point.argv or load.argv)]
    container |= {"workingDir": load.cwd, "env": _variables(s, point, inside)}
    container["resources"] = _resources(load, need, options)
    container["securityContext"] = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    mounts, volumes = _volumes(load, inside, options)
    container |= {"volumeMounts": mounts}
    return {"metadata": {}, "spec": {**spec, "containers": [container], "volumes": volumes}}


def check(load: Workload, need: Need) -> None:
    """Refuse what a pod cannot have, with the reason."""
    if need.gpus != int(need.gpus):
        raise EngineError("kubernetes.gpu-share", f"--gpus {need.gpus:g}: a pod gets whole GPUs",
                          hint="a share is the cluster's to offer, by MIG or time slicing, under a name of its own: "
                               "--gpu-resource nvidia.com/mig-1g.10gb --gpus 1")
    if load.uid == 0:
        raise EngineError("kubernetes.root", "the program would be root of the node, not of a namespace alone",
                          where="-u 0", hint="leave -u away")
    if load.network != "host":
        raise EngineError("kubernetes.network", "what a pod may reach is said by the cluster's NetworkPolicy",
                          where=f"--network {load.network}", hint="ask its administrator for one that allows nothing")
    if load.devices:
        raise EngineError("kubernetes.device", "a device of this machine is not on the cluster's nodes",
                          where=str(load.devices[0].source))
    for mount in load.mounts:
        if mount.target not in (*RESULTS, *DATA, CA_BUNDLE):
            raise EngineError("kubernetes.mount", "a folder of this machine is not on the cluster's nodes",
                              where=f"{mount.source} at {mount.target}",
                              hint="put it into the project, or into the claim that --data-claim names")


def escaped(word: str) -> str:
    """A word that a kubelet's expansion of $(NAME) leaves as it is: $$ stands for $ (k8s.io/kubernetes/third_party/
    forked/golang/expansion).
    """
    return text(word).replace("$", "$$")


def is_text(point: Point) -> bool:
    """Whether the words and variables of a run are UTF-8."""
    try:
        "".join((*point.argv, *(value for _, value in point.env))).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def text(word: str) -> str:
    """The word, which must be text: an API object is JSON. Raises EngineError "kubernetes.text"."""
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        raise EngineError("kubernetes.text", "what is sent to a cluster must be UTF-8",
                          where=ascii(word[:60])) from None
    return word


def variables(load: Workload) -> dict[str, str]:
    """What the program is given, without what only means something on this machine."""
    return {name: value for name, value in load.env
            if value != CA_BUNDLE and not (name.lower().endswith("_proxy") and _loopback(value))}


def secrets(load: Workload) -> tuple[tuple[str, str], ...]:
    """Those that no record has, which are kept apart."""
    return tuple((name, value) for name, value in sorted(variables(load).items()) if is_withheld(name, value))


def _loopback(value: str) -> bool:
    return any(part in value for part in ("://127.", "://localhost", "://[::1]")) or value.startswith(
        ("127.", "localhost"))


def _variables(s: Submission, point: Point, inside: Inside) -> list[Document]:
    own = dict(point.env) if not inside.points_each else {}
    plain = {**variables(s.workload), **own}
    hidden = {name for name, _ in secrets(s.workload)} - set(own)
    found = [{"name": _name(name), "valueFrom": {"secretKeyRef": {"name": inside.secret, "key": name}}}
             if name in hidden else {"name": _name(name), "value": escaped(value)}
             for name, value in sorted(plain.items())]
    for name, value in contract(s, point, inside):
        found.append({"name": name, "value": escaped(value)})
    if inside.many or s.training.need.nodes > 1:  # the Job's controller sets it too, but later than it is read
        found.insert(0, {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}})
    return found


def contract(s: Submission, point: Point, inside: Inside) -> list[tuple[str, str]]:
    """What start.sh is told; it adds what is known in the pod alone: attempt, fence, resume, deadline."""
    t: Training = s.training
    found = {"BAREBOAT_SUBMISSION": s.id}
    if inside.points_each:
        found["BAREBOAT_POINTS"] = str(inside.points_each)
        if not inside.many:
            found["BAREBOAT_POINT"] = "0"
    else:
        found["BAREBOAT_RUN"] = point.run
    found |= {"BAREBOAT_WARNING": str(int(t.interrupt.warning)), "BAREBOAT_GRACE": str(math.ceil(t.interrupt.grace)),
              "BAREBOAT_KILL": str(math.ceil(t.interrupt.kill))}
    if t.need.seconds:
        found["BAREBOAT_SECONDS"] = str(math.ceil(t.need.seconds))
        if t.retry.at_limit:
            found["BAREBOAT_AT_LIMIT"] = "1"
    if t.checkpoints.complete:
        found["BAREBOAT_COMPLETE"] = t.checkpoints.complete
    if t.checkpoints.keep:
        found["BAREBOAT_KEEP"] = str(t.checkpoints.keep)
    if t.need.nodes > 1:
        found |= {"BAREBOAT_NODES": str(t.need.nodes), "NNODES": str(t.need.nodes),
                  "MASTER_ADDR": f"{inside.job}-0.{inside.job}", "MASTER_PORT": str(PORT)}
    return list(found.items())


def _name(name: str) -> str:
    if not name.isascii() or not name or name[0].isdigit() or not all(c.isalnum() or c in "_-." for c in name):
        raise EngineError("kubernetes.variable", "a cluster does not take a variable of this name",
                          where=repr(name[:60]), hint="letters, digits and _")
    return name


def _placed(options: Options) -> Document:
    """Where it may run, and as whom."""
    found: Document = {}
    if options.service_account:
        found["serviceAccountName"] = options.service_account
    if options.priority_class:
        found["priorityClassName"] = options.priority_class
    if options.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in options.pull_secrets]
    selector = dict(options.node_selector)
    if options.architecture:
        selector |= {"kubernetes.io/os": "linux", "kubernetes.io/arch": options.architecture}
    if selector:
        found["nodeSelector"] = selector
    if options.tolerations:
        found["tolerations"] = [
            {"key": t.key, "operator": "Equal" if t.value else "Exists", **({"value": t.value} if t.value else {}),
             **({"effect": t.effect} if t.effect else {})} for t in options.tolerations]
    return found


def _resources(load: Workload, need: Need, options: Options) -> Document:
    asked: dict[str, str] = {}
    cpus, memory = need.cpus or load.limits.cpus, need.memory or load.limits.memory
    if cpus:
        asked["cpu"] = f"{math.ceil(cpus * 1000)}m" if cpus != int(cpus) else str(int(cpus))
    if memory:
        asked["memory"] = quantity(memory)
    if need.gpus:
        asked[options.gpu_resource] = str(int(need.gpus))
    return {"requests": asked, "limits": dict(asked)} if asked else {}


def _volumes(load: Workload, inside: Inside, options: Options) -> tuple[list[Document], list[Document]]:
    mounts: list[Document] = [{"name": "start", "mountPath": START, "readOnly": True}]
    sources = [{"configMap": {"name": inside.job}},
               *({"configMap": {"name": f"{inside.job}-{number}"}} for number in range(inside.parts))]
    volumes: list[Document] = [{"name": "start", "projected": {"sources": sources}}]
    folder = "/".join(part for part in (options.results.path, inside.results) if part)
    results: Document = {"name": "results", "mountPath": RESULTS[0]}
    if inside.many:
        results["subPathExpr"] = f"{folder}/$(JOB_COMPLETION_INDEX)"
    else:
        results["subPath"] = folder
    mounts.append(results)
    volumes.append({"name": "results", "persistentVolumeClaim": {"claimName": checked_name(options.results.name, "")}})
    if any(mount.target in DATA for mount in load.mounts) and options.data is None:
        raise UsageError("kubernetes.data", "the project's data is on this machine, not on the cluster",
                         where=next(str(m.source) for m in load.mounts if m.target in DATA),
                         hint="bring it there, and name the claim that has it: --data-claim CLAIM or CLAIM:PATH")
    if options.data is not None:
        path = {"subPath": options.data.path} if options.data.path else {}
        mounts.append({"name": "data", "mountPath": DATA[0], "readOnly": True, **path})
        volumes.append({"name": "data",
                        "persistentVolumeClaim": {"claimName": options.data.name, "readOnly": True}})
    mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    volumes.append({"name": "shm", "emptyDir": _memory(load.limits.shm_size)})
    scratch = {"/tmp": "tmp", "/var/tmp": "var-tmp", load.home: "home"}
    mounts += [{"name": "scratch", "mountPath": target, "subPath": name} for target, name in scratch.items()]
    size = {"sizeLimit": quantity(load.limits.scratch_size)} if load.limits.scratch_size else {}
    volumes.append({"name": "scratch", "emptyDir": size})
    for number, tmpfs in enumerate(load.tmpfs):
        mounts.append({"name": f"tmpfs-{number}", "mountPath": tmpfs.target,
                       **({"readOnly": True} if tmpfs.read_only else {})})
        volumes.append({"name": f"tmpfs-{number}", "emptyDir": _memory(tmpfs.size)})
    return mounts, volumes


def _memory(size: int | None) -> Document:
    return {"medium": "Memory", **({"sizeLimit": quantity(size)} if size else {})}


def quantity(size: int) -> str:
    """Bytes as people write them to a cluster, 16Gi, and never rounded."""
    for unit, name in ((1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)

"""A cluster for tests: the mock API server, a controller of Jobs, and pods that are processes of this machine.

The controller does what kubernetes.io/docs/concepts/workloads/controllers/job says of indexes, podFailurePolicy,
podReplacementPolicy: Failed, deadlines and suspension, and nothing besides. A container has no root of its own: its
start script, words and variables are the real ones, its image is this machine.
"""

from __future__ import annotations

import base64
import functools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.kubernetes_server import Answer, Document, Key, Server

INDEX = "batch.kubernetes.io/job-completion-index"
FAILED = "batch.kubernetes.io/job-index-failure-count"
DEADLINE = 0.2  # seconds that a second of a Job's deadline takes
# In place of sleep in pods: the script's seconds are shorter. What a program sleeps, parts of a second, stays.
SLEEP = """#!/bin/sh
case $1 in 1) exec SLEEP 0.2 ;; 2) exec SLEEP 0.6 ;; *) exec SLEEP "$1" ;; esac
"""
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


def expanded(word: str, known: dict[str, str]) -> str:
    """What a kubelet makes of a word of args: k8s.io/kubernetes/third_party/forked/golang/expansion, followed here."""
    out, at = "", 0
    while at < len(word):
        if word[at] == "$" and at + 1 < len(word):
            following = word[at + 1]
            if following == "$":
                out, at = out + "$", at + 2
                continue
            end = word.find(")", at)
            if following == "(" and end > 0:
                name = word[at + 2:end]
                out, at = out + known.get(name, f"$({name})"), end + 1
                continue
        out, at = out + word[at], at + 1
    return out


@dataclass
class Running:
    """A pod's process. lines: (time, what it wrote)."""

    process: subprocess.Popen[bytes]
    told: Path
    reader: threading.Thread
    lines: list[tuple[str, bytes]] = field(default_factory=list)
    kill_at: float = 0.0


@dataclass
class Counted:
    """What a Job's controller has counted."""

    failures: dict[int, int] = field(default_factory=dict)
    ignored: dict[int, int] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    all_failures: int = 0


class Cluster(Server):
    """folder: the volume of every claim is below it, claims/NAME. unschedulable: why no pod starts, "" where they do;
    quota: how many pods there may be; images: those that cannot be brought, with the reason.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.running, self.counts = folder, dict[str, Running](), dict[str, Counted]()
        self.unschedulable, self.quota, self.images = "", 10_000, dict[str, str]()
        self.logs, self.deleted, self.executed = self._log_of, self._goes_later, self._entered
        self.gone: list[Running] = []
        self.bin = folder / "pods" / "bin"
        self.bin.mkdir(parents=True)
        (self.bin / "sleep").write_text(SLEEP.replace("SLEEP", str(shutil.which("sleep"))))
        (self.bin / "sleep").chmod(0o755)
        self.put("persistentvolumeclaims", {"metadata": {"name": "bareboat-results", "namespace": "team"}})
        self.put("persistentvolumeclaims", {"metadata": {"name": "bareboat-results", "namespace": "default"}})
        self._controller = threading.Thread(target=self._control, daemon=True)
        self._controller.start()

    def close(self) -> None:
        for pod in list(self.running.values()):
            _kill(pod)
        super().close()
        self._controller.join()
        for pod in [*self.running.values(), *self.gone]:
            pod.process.wait()
            pod.reader.join()

    def pods_of(self, job: str) -> list[Document]:
        return [pod for pod in self.all("pods") if pod["metadata"]["labels"]["bareboat/job"] == job]

    def claim(self, name: str) -> Path:
        return self.folder / "claims" / name

    # What happens to pods

    def disrupt(self, name: str, reason: str, *, at_once: bool = False) -> None:
        """Take a pod away: with its grace, or with its node."""
        with self.changed:
            pod = self.state.objects["pods", "team", name]
            pod["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True", "reason": reason})
            self.touch("pods", pod)
            if not at_once:
                self.delete(("pods", "team", name))
                return
            running = self.running.get(pod["metadata"]["uid"])
            if running is not None:
                _kill(running)
                pod["metadata"].setdefault("deletionTimestamp", "now")

    def _goes_later(self, key: Key, document: Document) -> bool:
        if key[0] != "pods" or document["status"]["phase"] in ("Succeeded", "Failed"):
            return False
        meta = document["metadata"]
        running = self.running.get(meta["uid"])
        if running is None:
            return False
        if "deletionTimestamp" not in meta:
            meta["deletionTimestamp"] = "now"
            running.kill_at = time.monotonic() + document["spec"]["terminationGracePeriodSeconds"]
            self.touch("pods", document)
            running.process.send_signal(signal.SIGTERM)
        return True

    # The controller and the kubelet

    def _control(self) -> None:
        while self.open:
            with self.changed:
                self.changed.wait(0.02)
                if not self.open:
                    return
                for key, document in list(self.state.objects.items()):
                    if key[0] == "pods" and key in self.state.objects:
                        self._keep(document)
                for key, document in list(self.state.objects.items()):
                    if key[0] == "jobs" and key in self.state.objects:
                        self._reconcile(document)

    def _keep(self, pod: Document) -> None:
        meta, status = pod["metadata"], pod["status"]
        running = self.running.get(meta["uid"])
        if running is None:
            if status["phase"] == "Pending":
                self._start(pod)
            return
        if running.kill_at and time.monotonic() > running.kill_at:
            _kill(running)
        if running.process.poll() is not None and running.reader.is_alive():
            _kill(running)  # a container ends with its first process
        if status["phase"] == "Running" and running.process.poll() is not None and not running.reader.is_alive():
            code = running.process.returncode
            code = 128 - code if code < 0 else code
            message = running.told.read_text() if running.told.exists() else ""
            status["phase"] = "Failed" if code else "Succeeded"
            status["containerStatuses"][0]["state"] = {"terminated": {
                "exitCode": code, "reason": "Error" if code else "Completed", "message": message}}
            self.touch("pods", pod)

    def _start(self, pod: Document) -> None:
        spec, status, namespace = pod["spec"], pod["status"], pod["metadata"]["namespace"]
        container = spec["containers"][0]

        def waits(reason: str, message: str = "") -> None:
            wanted = [{"name": container["name"], "state": {"waiting": {"reason": reason, "message": message}}}]
            if status.get("containerStatuses") != wanted:
                status["containerStatuses"] = wanted
                self.touch("pods", pod)

        if self.unschedulable:
            if not status["conditions"]:
                status["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                         "message": self.unschedulable}]
                self.touch("pods", pod)
            return
        spec["nodeName"] = "node-1"
        if container["image"] in self.images:
            waits("ImagePullBackOff", self.images[container["image"]])
            return
        start, missing = self._files(pod)
        if missing:
            waits("CreateContainerConfigError", f"{missing} not found")
            return
        env = self._variables(pod, start)
        mounts = {m["name"]: m for m in container["volumeMounts"]}
        results = mounts["results"]
        inside = results.get("subPath") or expanded(results["subPathExpr"], env)
        claim = next(v for v in spec["volumes"] if v["name"] == "results")["persistentVolumeClaim"]["claimName"]
        if ("persistentvolumeclaims", namespace, claim) not in self.state.objects:
            waits("ContainerCreating")
            return
        place = self.claim(claim) / inside
        place.mkdir(parents=True, exist_ok=True)
        told = start / "told"
        argv = [str(start / word.rpartition("/")[2]) if word.startswith("/run/bareboat-pod/") else expanded(word, env)
                for word in (*container["command"], *container.get("args", ()))]
        process = subprocess.Popen(
            [os.fsencode(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
            stdin=subprocess.DEVNULL, start_new_session=True,
            env={**env, "PATH": f"{self.bin}:{env.get('PATH', os.defpath)}", "BAREBOAT_RESULTS": str(place),
                 "PROBE_RESULTS": str(place), "BAREBOAT_TOLD": str(told)})
        running = Running(process, told, threading.Thread(target=lambda: self._read(running), daemon=True))
        running.reader.start()
        self.running[pod["metadata"]["uid"]] = running
        status["phase"] = "Running"
        status["containerStatuses"] = [{"name": container["name"], "state": {"running": {"startedAt": "now"}}}]
        self.touch("pods", pod)

    def _files(self, pod: Document) -> tuple[Path, str]:
        """The start volume of a pod, and what it lacks."""
        start = self.folder / "pods" / pod["metadata"]["uid"]
        start.mkdir(parents=True, exist_ok=True)
        volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "start")
        for source in volume["projected"]["sources"]:
            name = source["configMap"]["name"]
            found = self.state.objects.get(("configmaps", pod["metadata"]["namespace"], name))
            if found is None:
                return start, f"configmap {name}"
            for file, text in found.get("data", {}).items():
                (start / file).write_text(text)
            for file, text in found.get("binaryData", {}).items():
                (start / file).write_bytes(base64.b64decode(text))
        return start, ""

    def _variables(self, pod: Document, start: Path) -> dict[str, str]:
        known: dict[str, str] = {}
        for entry in pod["spec"]["containers"][0]["env"]:
            source = entry.get("valueFrom") or {}
            if "fieldRef" in source:
                known[entry["name"]] = pod["metadata"]["annotations"][INDEX]
            elif "secretKeyRef" in source:
                ref = source["secretKeyRef"]
                secret = self.state.objects["secrets", pod["metadata"]["namespace"], ref["name"]]
                known[entry["name"]] = base64.b64decode(secret["data"][ref["key"]]).decode()
            else:
                known[entry["name"]] = expanded(entry.get("value", ""), known)
        return known

    def _read(self, running: Running) -> None:
        assert running.process.stdout is not None
        with running.process.stdout as stream:
            for line in stream:
                now = time.time()
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
                with self.changed:
                    running.lines.append((f"{stamp}.{int(now % 1 * 1e6):06}{len(running.lines) % 1000:03}Z", line))
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def _log_of(self, pod: Document, query: dict[str, str]) -> Iterator[bytes]:
        with self.changed:
            running = self.running.get(pod["metadata"]["uid"])
        if running is None:
            raise Answer(400, "BadRequest", "container is waiting to start: ContainerCreating")
        since, at = query.get("sinceTime", "")[:19], 0
        while True:
            with self.changed:
                over = not running.reader.is_alive()
                lines = running.lines[at:]
                if not lines and not over and query.get("follow") and self.open:
                    self.changed.wait(0.2)
                    continue
            at += len(lines)
            for stamp, line in lines:
                if stamp[:19] >= since:
                    yield (stamp.encode() + b" " if query.get("timestamps") else b"") + line
            if not query.get("follow") or over or not self.open:
                return

    def _entered(self, pod: Document) -> Callable[..., subprocess.Popen[bytes]]:
        with self.changed:
            running = self.running.get(pod["metadata"]["uid"])
            if running is None or pod["status"]["phase"] != "Running":
                raise Answer(400, "BadRequest", "container not found")
            start = self.folder / "pods" / pod["metadata"]["uid"]
            env = self._variables(pod, start)
        return functools.partial(subprocess.Popen, env=env, cwd="/")

    def _reconcile(self, job: Document) -> None:
        spec, meta = job["spec"], job["metadata"]
        status = job.setdefault("status", {})
        if any(c["type"] in ("Complete", "Failed") for c in status.get("conditions", ())):
            return
        count = self.counts.setdefault(meta["uid"], Counted())
        own = [pod for (p, _, _), pod in self.state.objects.items() if p == "pods" and any(
            o["uid"] == meta["uid"] for o in pod["metadata"]["ownerReferences"])]
        before = str((status, sorted(count.seen)))
        found = [self._count(job, count, pod) for pod in own if pod["status"]["phase"] in ("Succeeded", "Failed")
                 and pod["metadata"]["uid"] not in count.seen]
        whole = next(filter(None, found), "")
        active = [pod for pod in own if pod["status"]["phase"] not in ("Succeeded", "Failed")]
        if spec.get("suspend"):
            status.pop("startTime", None)
            status.pop("began", None)
            self._end(active)
        else:
            status.setdefault("startTime", "now")
            began = status.setdefault("began", time.monotonic())
            late = "activeDeadlineSeconds" in spec and (
                time.monotonic() - began >= spec["activeDeadlineSeconds"] * DEADLINE)
            if late:
                whole = "DeadlineExceeded"
            if whole and not status.get("failing"):
                status["failing"] = whole
                status.setdefault("conditions", []).append(
                    {"type": "FailureTarget", "status": "True", "reason": whole})
            if status.get("failing"):
                self._end(active)
                active = [p for p in active if ("pods", p["metadata"]["namespace"], p["metadata"]["name"])
                          in self.state.objects]
                if not active:
                    status["conditions"].append({"type": "Failed", "status": "True", "reason": status["failing"],
                                                 "message": f"Job failed: {status['failing']}"})
            else:
                self._fill(job, count, active)
        status["completedIndexes"] = ",".join(map(str, sorted(count.done)))
        status["failedIndexes"] = ",".join(map(str, sorted(count.failed)))
        if str((status, sorted(count.seen))) != before:
            self.touch("jobs", job)

    def _count(self, job: Document, count: Counted, pod: Document) -> str:
        """Account for a pod that is over; the reason why the whole Job fails, "" where it does not."""
        spec, status = job["spec"], pod["status"]
        count.seen.add(pod["metadata"]["uid"])
        index = int(pod["metadata"]["annotations"][INDEX])
        if "deletionTimestamp" in pod["metadata"]:
            running = self.running.pop(pod["metadata"]["uid"], None)
            if running is not None:
                self.gone.append(running)
            self.remove("pods", pod)
        if status["phase"] == "Succeeded":
            count.done.add(index)
            return ""
        terminated = status["containerStatuses"][0]["state"].get("terminated") or {}
        action = "Count"
        for rule in spec["podFailurePolicy"]["rules"]:
            on = rule.get("onExitCodes")
            conditions = {c["type"] for c in status["conditions"] if c["status"] == "True"}
            if any(p["type"] in conditions for p in rule.get("onPodConditions", ())) or (
                    on and (terminated.get("exitCode") in on["values"]) == (on["operator"] == "In")):
                action = rule["action"]
                break
        if action == "Ignore":
            count.ignored[index] = count.ignored.get(index, 0) + 1
        elif action == "FailIndex":
            count.failed.add(index)
        elif action == "FailJob":
            return "PodFailurePolicy"
        else:
            count.failures[index] = count.failures.get(index, 0) + 1
            count.all_failures += 1
            if "backoffLimitPerIndex" in spec and count.failures[index] > spec["backoffLimitPerIndex"]:
                count.failed.add(index)
            if count.all_failures > spec.get("backoffLimit", 1 << 31):
                return "BackoffLimitExceeded"
        return ""

    def _fill(self, job: Document, count: Counted, active: list[Document]) -> None:
        spec, status, meta = job["spec"], job["status"], job["metadata"]
        busy = {int(pod["metadata"]["annotations"][INDEX]) for pod in active}  # podReplacementPolicy: Failed
        status["active"] = len(active)
        going = set(range(spec["completions"])) - count.done - count.failed
        if not going:
            kind, reason = ("Failed", "FailedIndexes") if count.failed else ("Complete", "CompletionsReached")
            status.setdefault("conditions", []).append({"type": kind, "status": "True", "reason": reason,
                                                        "message": "Job has failed indexes"})
            return
        for index in sorted(going - busy):
            if len(busy) >= spec["parallelism"]:
                return
            if len([k for k in self.state.objects if k[0] == "pods"]) >= self.quota:
                self._refuse(job)
                return
            busy.add(index)
            template = spec["template"]
            annotations = {**template["metadata"].get("annotations", {}), INDEX: str(index)}
            if "backoffLimitPerIndex" in spec:
                annotations[FAILED] = str(count.failures.get(index, 0))
                if count.ignored.get(index):
                    annotations[IGNORED] = str(count.ignored[index])
            self.put("pods", {
                "metadata": {"name": f"{meta['name']}-{index}-{self.state.serial}", "namespace": meta["namespace"],
                             "labels": {**template["metadata"]["labels"], INDEX: str(index)},
                             "annotations": annotations, "ownerReferences": [{"uid": meta["uid"], "kind": "Job"}]},
                "spec": {**template["spec"]}, "status": {"phase": "Pending", "conditions": []}})

    def _refuse(self, job: Document) -> None:
        name = job["metadata"]["name"]
        if ("events", job["metadata"]["namespace"], f"{name}.quota") not in self.state.objects:
            self.put("events", {
                "metadata": {"name": f"{name}.quota", "namespace": job["metadata"]["namespace"]},
                "involvedObject": {"kind": "Job", "name": name}, "reason": "FailedCreate",
                "message": f'Error creating: pods "{name}-0-x" is forbidden: exceeded quota: gpus, requested: pods=1'})

    def _end(self, pods: list[Document]) -> None:
        for pod in pods:
            self.delete(("pods", pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _kill(running: Running) -> None:
    try:
        os.killpg(running.process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass

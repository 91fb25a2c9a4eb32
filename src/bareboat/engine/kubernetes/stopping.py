"""The end of runs on request: of a whole Job, or of some of its indexes.

A Job is not deleted for it, since what is known of the runs that are over would go with it; it gets a deadline that has
passed, which ends its pods with their grace and starts none. One that has not begun is deleted. An index is ended by
its pod, and by a list that start.sh looks into before it starts anything (decision 0182).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from bareboat.engine.kubernetes import names, states
from bareboat.engine.kubernetes.api import Api, Call, Document, Refused, core_path, jobs_path, metadata
from bareboat.engine.kubernetes.logs import Logs
from bareboat.errors import BareboatError

MERGE = "application/merge-patch+json"
SEEN_MOST = 1000  # indexes whose attempts are noted
FOLLOWED_MOST = 8  # pods whose last words are kept
TRIES = 8


class Stopping:
    """In one namespace of a cluster."""

    def __init__(self, api: Api, namespace: str, logs: Logs) -> None:
        self._api, self._namespace, self._logs, self._seen = api, namespace, logs, ""

    def stop(self, name: str, indexes: Iterable[int]) -> None:
        """End these indexes of a Job, {-1}: all of it. Idempotent; what is over stays as it is."""
        asked = set(indexes)
        for _ in range(TRIES):
            try:
                if self._stopped(name, asked):
                    return
            except Refused as error:
                if error.status == 404:
                    return  # it is gone
                if error.status != 409:
                    raise
            time.sleep(0.05)  # somebody else changed it in between: look again
        raise Refused(409, "Conflict", "the Job is changed by others all the time", where=name)

    def _stopped(self, name: str, asked: set[int]) -> bool:
        job = self._api.ask(Call("GET", jobs_path(self._namespace, name)))
        if states.condition(job, "Complete") or states.condition(job, "Failed"):
            return True
        spec, status = job.get("spec") or {}, job.get("status") or {}
        going = {index for index in range(int(spec.get("completions") or 1))
                 if not states.within(status.get("completedIndexes"), index)
                 and not states.within(status.get("failedIndexes"), index)}
        whole = -1 in asked or going <= asked
        if whole and not status.get("startTime"):
            self._api.ask(Call("DELETE", jobs_path(self._namespace, name), (("propagationPolicy", "Background"),)))
            return True
        every = self._pods(name)
        pods = [pod for pod in every if _going(pod) and (whole or states.index_of(pod) in asked)]
        followed = self._follow(name, pods)
        seen = {max(states.index_of(pod), 0) for pod in pods} if int(spec.get("completions") or 1) > 1 else {-1}
        self._seen = " ".join(f"{max(index, 0)}:{states.observe(job, every, index).attempt}"
                              for index in sorted(seen)[:SEEN_MOST])
        if whole:
            self._patch(job, states.EVERY, {"spec": {"activeDeadlineSeconds": 1}})
        else:
            noted = {index for index in range(int(spec.get("completions") or 1)) if states.stopped(job, index)}
            all_of_them = sorted(noted | (asked & going))
            self._patch(job, ",".join(map(str, all_of_them)), {})
            text = f" {' '.join(map(str, all_of_them))} \n"
            self._api.ask(Call("PATCH", core_path(self._namespace, "configmaps", name), (),
                               {"data": {"stopped": text}}, MERGE))
            for pod in self._pods(name):  # those that came meanwhile may not have read the list
                if _going(pod) and states.index_of(pod) in asked:
                    self._delete(pod)
        longest = float(((spec.get("template") or {}).get("spec") or {}).get("terminationGracePeriodSeconds") or 30)
        end = time.monotonic() + longest + 5.0
        for thread in followed:
            thread.join(max(end - time.monotonic(), 0.0))
        return True

    def _patch(self, job: Document, noted: str, more: Document) -> None:
        """With the version that was seen, so that what another noted meanwhile is not lost."""
        before = str((metadata(job).get("annotations") or {}).get(states.SEEN) or "")
        seen = f"{self._seen} {before}".strip()[:SEEN_MOST * 16]
        meta = {"annotations": {names.STOPPED: noted, states.SEEN: seen},
                "resourceVersion": metadata(job).get("resourceVersion")}
        self._api.ask(Call("PATCH", jobs_path(self._namespace, metadata(job)["name"]), (), {"metadata": meta, **more},
                           MERGE))

    def _pods(self, name: str) -> list[Document]:
        found, _ = self._api.items(core_path(self._namespace, "pods"), ("labelSelector", f"{names.JOB}={name}"))
        return found

    def _delete(self, pod: Document) -> None:
        try:
            self._api.ask(Call("DELETE", core_path(self._namespace, "pods", metadata(pod)["name"])))
        except Refused as error:
            if error.status != 404:
                raise

    def _follow(self, job: str, pods: list[Document]) -> list[threading.Thread]:
        """Keep what pods write to their end: the cluster deletes them, and their logs with them."""

        def follow(pod: Document) -> None:
            try:
                self._logs.keep(self._namespace, job, pod)
            except (BareboatError, OSError):
                pass  # their end matters more than their words

        running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        threads = [threading.Thread(target=follow, args=(pod,), daemon=True) for pod in running[:FOLLOWED_MOST]]
        for thread in threads:
            thread.start()
        return threads


def _going(pod: Document) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")

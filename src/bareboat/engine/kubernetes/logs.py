"""What the pods of a run wrote: one pod after the other, followed over connections that break off."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from bareboat.engine.kubernetes import names, states
from bareboat.engine.kubernetes.api import Api, Call, Document, Gone, Refused, core_path, jobs_path, metadata
from bareboat.engine.kubernetes.names import Named, parse_named
from bareboat.engine.kubernetes.pod import CONTAINER
from bareboat.record.states import final

LOOK = 1.0  # seconds between two looks at what cannot be watched
WATCHED = 20  # seconds of one watch


class Logs:
    """Of one cluster. folder: has the logs of pods that were stopped from here, which the cluster has no more."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api, self._folder = api, folder

    def of(self, named: Named, follow: bool) -> Iterator[bytes]:
        """Of a run, all of its Jobs and pods in order; follow: until it is over."""
        job = self._job(named)
        notes = {} if job is None else metadata(job).get("annotations") or {}
        for earlier in str(notes.get(states.BEFORE) or "").split():
            yield from self._of_job(parse_named(earlier), False)
        yield from self._of_job(named, follow)

    def keep(self, namespace: str, job: str, pod: Document) -> None:
        """Follow a pod to its end into a file, which is there until the run's Job is forgotten."""
        meta = metadata(pod)
        folder = self._folder / f"{namespace}.{job}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = folder / f"{meta.get('creationTimestamp')}.{states.index_of(pod)}.{meta.get('name')}"
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            for chunk in self.of_pod(namespace, str(meta.get("name")), True):
                file.write(chunk)

    def of_pod(self, namespace: str, name: str, follow: bool) -> Iterator[bytes]:
        """Of one pod; follow: until it is over."""
        last = ""
        while True:
            over = not follow or self._is_over(namespace, name)
            try:
                for stamp, line in self._stamped(namespace, name, follow and not over, last):
                    last = max(stamp, last)
                    yield line
            except Refused as error:
                if error.status == 404:
                    return
                if error.status != 400:
                    raise
                # 400: its container has not started, or never will
            if over:
                return
            time.sleep(0.1 if last else LOOK / 4)

    def _stamped(self, namespace: str, name: str, follow: bool, after: str) -> Iterator[tuple[str, bytes]]:
        """(time, line) of what is newer than a time; a line comes when it is whole, or the log is at its end."""
        query = [("container", CONTAINER), ("timestamps", "true")]
        if follow:
            query.append(("follow", "true"))
        if after:
            query.append(("sinceTime", after))  # to the second, so that some of it comes again
        with self._api.stream(Call("GET", core_path(namespace, "pods", name, "log"), tuple(query))) as chunks:
            left = b""
            for chunk in chunks:
                *whole, left = (left + chunk).split(b"\n")
                yield from _newer([line + b"\n" for line in whole], after)
            if left:
                yield from _newer([left], after)

    def _of_job(self, named: Named, follow: bool) -> Iterator[bytes]:
        done: set[str] = set()
        while True:
            kept = self._kept(named)
            pods, version = self._pods(named)
            live = {str(metadata(pod).get("name")): pod for pod in pods}
            stamps = {**{name: stamp for name, (stamp, _) in kept.items()},
                      **{name: str(metadata(pod).get("creationTimestamp")) for name, pod in live.items()}}
            for name in sorted(stamps, key=lambda n: (stamps[n], states.index_of(live[n]) if n in live else 0, n)):
                if name in done:
                    continue
                done.add(name)
                if name in kept and (name not in live or not follow):
                    yield kept[name][1].read_bytes()
                else:
                    yield from self.of_pod(named.namespace, name, follow)
            if not follow:
                return
            job = self._job(named)
            if job is None or final(states.observe(job, self._pods(named)[0], named.index).state):
                follow = False  # one more look: a pod may have come and gone meanwhile
                continue
            self._something_new(named, version)

    def _something_new(self, named: Named, version: str) -> None:
        """Wait until pods change, or a while."""
        try:
            path = core_path(named.namespace, "pods")
            for _ in self._api.watch(path, version, WATCHED, ("labelSelector", _selector(named))):
                return
        except (Gone, Refused):
            time.sleep(LOOK)  # it may not be watched, or not from there on: look again

    def _is_over(self, namespace: str, name: str) -> bool:
        try:
            pod = self._api.ask(Call("GET", core_path(namespace, "pods", name)))
        except Refused as error:
            if error.status == 404:
                return True
            raise
        return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    def _job(self, named: Named) -> Document | None:
        try:
            return self._api.ask(Call("GET", jobs_path(named.namespace, named.job)))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def _pods(self, named: Named) -> tuple[list[Document], str]:
        found, version = self._api.items(core_path(named.namespace, "pods"), ("labelSelector", _selector(named)))
        return [pod for pod in found if named.index < 0 or states.index_of(pod) == named.index], version

    def _kept(self, named: Named) -> dict[str, tuple[str, Path]]:
        folder = self._folder / f"{named.namespace}.{named.job}"
        found = {}
        for file in folder.iterdir() if folder.is_dir() else ():
            stamp, index, name = file.name.rsplit(".", 2)
            if named.index < 0 or index == str(named.index):
                found[name] = (stamp, file)
        return found


def _newer(lines: list[bytes], after: str) -> Iterator[tuple[str, bytes]]:
    for line in lines:
        stamp, space, text = line.partition(b" ")
        at = stamp.decode("ascii", "replace")
        if not space or len(at) < 20:
            yield "", line  # a server that does not know the option
        elif not after or at > after:
            yield at, text


def _selector(named: Named) -> str:
    return f"{names.JOB}={named.job}"

"""What Jobs and pods say, as documents of a cluster: the words of each reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.engine.kubernetes import states
from bareboat.record.states import STATES

Document = dict[str, Any]


def job(*conditions: str, annotations: dict[str, str] | None = None, **status: object) -> Document:
    return {"metadata": {"name": "j", "labels": {}, "annotations": annotations or {}},
            "spec": {"completions": 1, "backoffLimitPerIndex": 0},
            "status": {**status, "conditions": [{"type": kind, "status": "True", "reason": "FailedIndexes"}
                                                for kind in conditions]}}


def pod(phase: str, state: Document | None = None, annotations: dict[str, str] | None = None,
        **status: Any) -> Document:
    return {"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z",
                         "annotations": {states.INDEX: "0", **(annotations or {})}},
            "spec": {"nodeName": "n1"},
            "status": {"phase": phase, "containerStatuses": [{"name": "program", "state": state or {}}], **status}}


def ended(code: int, message: str = "", reason: str = "Error") -> Document:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "for x"}]
TABLE = [
    ("waits", job(), [], ("pending", "waits for its pod", 0, None)),
    ("completed", job("Complete"), [pod("Succeeded", ended(0, "attempt 3: exit 0"))], ("succeeded", "", 3, 0)),
    ("failed", job("Failed"), [pod("Failed", ended(7, "attempt 2: exit 7"))], ("failed", "exit 7", 2, 7)),
    ("limit", job("Failed"), [pod("Failed", ended(124, "attempt 1: its time was over"))],
     ("failed", "its time was over", 1, None)),
    ("memory", job("Failed"), [pod("Failed", ended(137, "", "OOMKilled"))], ("failed", "out of memory", 1, 137)),
    ("no shell", job("Failed"), [pod("Failed", ended(128, "exec: /bin/sh: not found", "StartError"))],
     ("failed", "the container cannot start: exec: /bin/sh: not found", 1, 128)),
    ("evicted for good", job("Failed"), [pod("Failed", None, reason="Evicted", message="low on memory")],
     ("failed", "Evicted: low on memory", 0, None)),
    ("runs again", job(), [pod("Running", {"running": {}}, {states.FAILED: "1", states.IGNORED: "2"})],
     ("running", "", 4, None)),
    ("preempted now", job(), [{**pod("Running", {"running": {}}, conditions=DISRUPTED), "metadata": {
        "name": "p", "deletionTimestamp": "now"}}],
     ("running", "preempted for a pod of higher priority (for x)", 1, None)),
    ("between", job(), [pod("Failed", ended(122, "attempt 1: interrupted"), conditions=DISRUPTED)],
     ("pending", "waits for another attempt (preempted for a pod of higher priority (for x))", 1, None)),
    ("node away", job(), [pod("Running", {"running": {}}, reason="NodeLost")],
     ("running", "its node n1 does not answer", 1, None)),
    ("node lost", job(), [pod("Unknown", {"running": {}})], ("running", "its node n1 does not answer", 1, None)),
    ("brings", job(), [pod("Pending")], ("pending", "its node brings the image", 0, None)),
    ("bad name", job(), [pod("Pending", {"waiting": {"reason": "InvalidImageName"}})],
     ("pending", "InvalidImageName", 0, None)),
    ("stopped", job("Failed", annotations={"bareboat/stopped": "*", states.SEEN: "0:2"}), [],
     ("cancelled", "stopped", 2, None)),
    ("ending", job("Failed", annotations={"bareboat/stopped": "*"}), [pod("Running", {"running": {}})],
     ("running", "it is being stopped", 1, None)),
]


@pytest.mark.parametrize(("found", "pods", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_seen(found: Document, pods: list[Document], expected: tuple[str, str, int, int | None]) -> None:
    seen = states.observe(found, pods, -1)
    assert (seen.state, seen.reason, seen.attempt, seen.exit_code) == expected


@given(st.sets(st.integers(0, 40)), st.integers(0, 45))
def test_lists_of_indexes(members: set[int], index: int) -> None:
    """As the controller writes them: 1,3-5,7."""
    text, left = [], sorted(members)
    while left:
        first = last = left.pop(0)
        while left and left[0] == last + 1:
            last = left.pop(0)
        text.append(str(first) if first == last else f"{first}-{last}")
    assert states.within(",".join(text), index) == (index in members)


@given(st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", "New"]), st.integers(-1, 2),
       st.text(max_size=30), st.text(max_size=9))
def test_whatever_a_pod_says_it_is_one_of_our_states(phase: str, index: int, message: str, number: str) -> None:
    said = [pod(phase, ended(1, message), {states.FAILED: number}), pod(phase, {"waiting": {"reason": message}})]
    assert states.observe(job(), said, index).state in STATES

"""--after on a cluster: what has succeeded needs no order, of which a cluster has none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bareboat.errors import UsageError
from bareboat.queue.base import Entry
from bareboat.training.values import Training
from bareboat.verbs import polling, train

STATES = {"done": "succeeded", "going": "running", "broken": "failed"}


def awaited(monkeypatch: pytest.MonkeyPatch, scheduler: str, *names: str) -> tuple[str, ...]:
    asked: list[object] = []
    monkeypatch.setattr(polling, "refresh", asked.append)
    ledger = SimpleNamespace(find=lambda name: Entry(name, "5ab0", name, state=STATES[name]))
    queue: Any = SimpleNamespace(ledger=ledger)
    found = train._awaited(Training(after=names, scheduler=scheduler), queue, queue)
    assert bool(asked) == (scheduler == "kubernetes" and bool(names))
    return found


def test_what_has_succeeded_is_not_waited_for_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert awaited(monkeypatch, "kubernetes", "done") == ()
    assert awaited(monkeypatch, "kubernetes") == ()


def test_elsewhere_the_scheduler_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert awaited(monkeypatch, "local", "done", "going") == ("done", "going")


def test_what_has_not_is_refused_with_the_way_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as raised:
        awaited(monkeypatch, "kubernetes", "done", "going")
    assert raised.value.code == "train.after" and 'test "$(bareboat wait going)" = 0' in raised.value.hint


def test_nothing_follows_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as raised:
        awaited(monkeypatch, "kubernetes", "broken")
    assert raised.value.code == "train.after"

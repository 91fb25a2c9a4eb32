"""Times, signals, labels and policies as people type them."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from bareboat.cli.life import each, labels, life_of, seconds, signal_number
from bareboat.cli.run import LIFE
from bareboat.errors import UsageError
from bareboat.record.values import RunRecord
from bareboat.store import Store
from bareboat.supervisor.rules import Health, Rules, backoff, warnings_before


@pytest.mark.parametrize(("text", "value"), [
    ("90", 90), ("1.5h", 5400), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172800)])
def test_times(text: str, value: float) -> None:
    assert seconds(text, "-t", 0) == value


@pytest.mark.parametrize("text", ["", "h", "-1", "1x", "1h x", "nan", "1e9"])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text, "-t", 0)


@pytest.mark.parametrize("text", ["TERM", "SIGTERM", "sigterm", "15"])
def test_signals(text: str) -> None:
    assert signal_number(text) == signal.SIGTERM


@pytest.mark.parametrize("text", ["", "0", "65", "NOPE", "SIG", "_DFL", "-9"])
def test_no_signals(text: str) -> None:
    with pytest.raises(UsageError):
        signal_number(text)


def test_a_life_as_docker_s_words_say_it() -> None:
    said = {**LIFE, "rm": True, "label": ["b=2", "a", "b=3"], "restart": "on-failure:4", "stop_signal": "INT",
            "stop_timeout": "3", "health_cmd": "true", "health_retries": "2", "max_time": "1h", "idle_stop": "10m"}
    life = life_of(SimpleNamespace(**said))
    health = Health(("/bin/sh", "-c", "true"), retries=2)
    assert life.rules == Rules(signal.SIGINT, 3.0, 4, health, 3600.0, 600.0)
    assert (life.labels, life.remove) == ((("a", ""), ("b", "3")), True)


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure:", "on-failure:x", "on-failure:-1"])
def test_policies_that_a_service_manager_has(policy: str) -> None:
    with pytest.raises(UsageError) as error:
        life_of(SimpleNamespace(**{**LIFE, "rm": False, "restart": policy}))
    assert error.value.code == "usage.restart"


def test_a_label_has_a_name() -> None:
    with pytest.raises(UsageError):
        labels(["=x"])


def test_waiting_grows_and_is_bounded() -> None:
    assert [backoff(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert backoff(10_000) == 60.0


def test_an_end_is_announced_where_there_is_time_for_it() -> None:
    assert warnings_before(3600) == (300.0, 60.0)
    assert warnings_before(300) == (60.0,)
    assert warnings_before(60) == ()


def test_last_is_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAREBOAT_HOME", str(tmp_path))
    done: list[str] = []
    assert each(["last", "other"], done.append) == 125 and done == ["other"]  # there is none yet
    store = Store.open(tmp_path)
    for id, created in (("a" * 12, "2026-01-02T00:00:00Z"), ("b" * 12, "2026-01-01T00:00:00Z")):
        store.runs.create(id)
        store.runs.write(id, RunRecord(id, created=created, state="failed", argv=("true",)).document())
        store.runs.release(id)
    assert each(["last"], done.append) == 0 and done == ["other", "a" * 12]

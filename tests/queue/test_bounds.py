"""What the administrator allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.queue.bounds import bounds_of
from bareboat.queue.policy import Bounds
from bareboat.settings import Settings, SettingsError


def _settings(**more: object) -> Settings:
    return Settings(home=Path("/home"), **more)  # type: ignore[arg-type]


def test_bounds_are_those_of_the_settings() -> None:
    users = {"alice": 1001}
    found = bounds_of(_settings(queue_user_gpus=4, queue_user_runs=9, queue_weights="alice=2, 7=0.5 gone=3"), users.get)
    assert found == Bounds(gpus=4.0, runs=9, weights=((7, 0.5), (1001, 2.0)))
    assert bounds_of(_settings(), users.get) == Bounds()


@pytest.mark.parametrize("text", ["alice", "alice=", "=2", "alice=0", "alice=-1", "alice=nan", "alice=inf", "alice=x"])
def test_a_share_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError) as told:
        bounds_of(_settings(queue_weights=text), {}.get)
    assert told.value.code == "settings.value" and text in str(told.value.what)

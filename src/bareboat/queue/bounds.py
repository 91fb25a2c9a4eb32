"""What the administrator allows each user of the queue, from the settings."""

from __future__ import annotations

import math
from collections.abc import Callable

from bareboat.queue.policy_values import Bounds
from bareboat.settings import Settings, SettingsError


def bounds_of(settings: Settings, uid_of: Callable[[str], int | None]) -> Bounds:
    """Of all users the same, so that every worker decides alike. uid_of: of a user's name, None where there is none;
    such a one is passed over, as user databases differ for a while.

    Raises SettingsError "settings.value".
    """
    s = settings
    return Bounds(float(s.queue_user_gpus or 0), s.queue_user_cpus or 0.0, s.queue_user_memory or 0,
                  s.queue_user_runs or 0, _weights(settings, uid_of))


def _weights(settings: Settings, uid_of: Callable[[str], int | None]) -> tuple[tuple[int, float], ...]:
    found: dict[int, float] = {}
    for word in settings.queue_weights.replace(",", " ").split():
        name, equals, text = word.partition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = 0.0
        if not (name and equals and weight > 0 and math.isfinite(weight)):
            raise SettingsError("settings.value", f"queue.weights: {word!r} is no NAME=SHARE",
                                where=settings.source("queue.weights"), hint='as "alice=2 bob=0.5"')
        uid = int(name) if name.isdigit() else uid_of(name)
        if uid is not None:
            found[uid] = weight
    return tuple(sorted(found.items()))

"""What the administrator lets a run ask for, and what one that asks for nothing gets.

A rule of bareboat's, not a wall: who may start programs here can start them without bareboat. docs/administration.md
says which walls the system has.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from bareboat.errors import UsageError
from bareboat.settings import Settings
from bareboat.units import format_duration, format_size
from bareboat.values import TYPE_CHECKING, replace
from bareboat.workload import Limits, Workload

if TYPE_CHECKING:
    from typing import TypeVar

    from bareboat.supervisor.rules import Rules

    Number = TypeVar("Number", int, float)


def within(load: Workload, settings: Settings, *, cap: bool = False) -> Workload:
    """The workload with limits that the settings allow. cap: what is above becomes the most there is (a repetition of
    a run that was made elsewhere or before), instead of UsageError "limits.above", "limits.gpus", "settings.fixed".
    """
    granted = load.driver.granted or load.gpus
    count = len(granted.removeprefix("device=").split(",")) if granted else 0
    if settings.limits_gpus is not None and count > settings.limits_gpus:
        raise UsageError("limits.gpus", f"{count} GPUs are asked for; a run may have {settings.limits_gpus or 'none'}",
                         where=settings.source("limits.gpus"), hint="use --gpus with fewer, or ask the administrator")
    bound = _Bound(settings, cap)
    asked, shm = load.limits, load.limits.shm_size
    if "shm-size" in settings.fixed and shm != settings.shm_size:
        if not cap:
            raise UsageError("settings.fixed", "shm-size is fixed and cannot be set to something else",
                             where=settings.source("shm-size"), hint="leave it out, or ask the administrator")
        shm = settings.shm_size
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # what an engine gives without being asked
    most = settings.limits_shm_size
    return replace(load, limits=Limits(
        memory=bound("memory", asked.memory, settings.limits_memory, settings.defaults_memory, format_size),
        cpus=bound("cpus", asked.cpus, settings.limits_cpus, settings.defaults_cpus, "{:g}".format),
        pids=bound("pids", asked.pids, settings.limits_pids, settings.defaults_pids, str),
        shm_size=bound("shm-size", shm, most, None if most is None else min(most, half), format_size),
        scratch_size=asked.scratch_size))


def time_within(asked: float | None, settings: Settings, *, cap: bool = False) -> float | None:
    """Seconds that a run may take; None: any. As within."""
    return _Bound(settings, cap)("max-time", asked, settings.limits_max_time, settings.defaults_max_time,
                                 format_duration)


def rules_within(rules: Rules, settings: Settings) -> Rules:
    """A container's rules with a time that the settings allow. Raises UsageError "limits.above"."""
    if not settings.limited:
        return rules
    return replace(rules, max_time=time_within(rules.max_time or None, settings) or 0.0)


class _Bound:
    def __init__(self, settings: Settings, cap: bool) -> None:
        self._settings, self._cap = settings, cap

    def __call__(self, name: str, asked: Number | None, most: Number | None, default: Number | None,
                 shown: Callable[[Number], str]) -> Number | None:
        """What is asked for, else the default, else the most."""
        if asked is None:
            asked = default if default is not None else most
            return asked if most is None or asked is None else min(asked, most)
        if most is None or asked <= most:
            return asked
        if self._cap:
            return most
        raise UsageError("limits.above", f"{name} {shown(asked)} is asked for; a run may have {shown(most)}",
                         where=self._settings.source(f"limits.{name}"),
                         hint=f"ask for less with --{name} or in the project file, or ask the administrator")

"""Which engine runs containers where nobody chose and the embedded one cannot work."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bareboat.engine.base import Check, Engine
from bareboat.errors import BareboatError, EngineError

OTHERS = ("podman", "docker")  # rootless before what is as good as root


def obstacle(checks: Iterable[Check]) -> Check | None:
    """The first of an engine's lines for doctor that its runs would fail by. Pure."""
    return next((check for check in checks if check.fatal and not check.ok), None)


def instead(make: Callable[[str], Engine], own: Engine | None, wrong: str) -> Engine:
    """The first of the others that can be used here, else the embedded one, whose runs will say what is wrong.

    Raises EngineError "engine.none" where there is no embedded one either.
    """
    for name in OTHERS:
        try:
            engine = make(name)
            if all(check.ok for check in engine.checks()):
                return engine
        except BareboatError:
            continue
    if own is None:
        raise EngineError("engine.none", f"there is nothing to run containers with: {wrong}, and neither podman nor "
                          "docker can be used", hint="install one of them; bareboat doctor says what each lacks")
    return own

"""The GPUs of a repetition: as many as the run had, of this machine's."""

from __future__ import annotations

from collections.abc import Mapping

from bareboat.project.gpus import GpuRequest, parse_gpus
from bareboat.record.values import RunRecord
from bareboat.values import TYPE_CHECKING
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment
from bareboat.verbs.rerun_mounts import foreign

if TYPE_CHECKING:
    from bareboat.verbs.grant import Grant

_ABOUT = ("CUDA_VISIBLE_DEVICES", "NVIDIA_DISABLE_REQUIRE")  # what of the record's variables a grant looks at


def granted(old: RunRecord, asked: str | None, made: tuple[Environment, str], env: Mapping[str, str],
            work: Work) -> Grant | None:
    """What a repetition gets: what was asked for, else as many as recorded; a record from elsewhere gets none unasked,
    since a GPU's driver is a way into the kernel. made: the image, and the id of the repetition. Raises EngineError
    "gpu.*" where they cannot be had.
    """
    if asked is None and not old.gpus:
        return None
    count = len(old.gpus.removeprefix("device=").split(","))
    if asked is None and foreign(old):
        work.tell.say(f"this run is from elsewhere, where it had {count} GPU{'s' if count != 1 else ''}: none for it; "
                      f"--gpus {count} gives it as many")
        return None
    wanted = parse_gpus(asked) if asked is not None else GpuRequest(count=count)
    if not wanted.wanted:
        return None
    import time

    from bareboat.lease.values import Holding
    from bareboat.verbs.grant import grant

    environment, run = made
    holding = Holding(0, run, f"rerun of {old.id[:6]}", "session", started=time.time(), preemptible=False)
    return grant(wanted, environment, {name: env[name] for name in _ABOUT if name in env}, work, holding)

"""The mounts of a run: those of the command line read, volumes found, made and filled, and all of them recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import UsageError
from bareboat.project.values import ProjectMount

if TYPE_CHECKING:
    from bareboat.verbs.prepare import RunRequest


def asked(request: RunRequest) -> tuple[ProjectMount, ...]:
    """What -v, --mount and --tmpfs say, parents before what is inside them. Raises ProjectError "project.*"."""
    from bareboat.project import stacked
    from bareboat.project.mounts import parse_mount, parse_tmpfs
    from bareboat.project.volumes import parse_volume

    here = Path.cwd()
    found = [*(parse_volume(text, here) for text in request.volumes),
             *(parse_mount(text, here) for text in request.mounts), *(parse_tmpfs(text) for text in request.tmpfs)]
    return stacked(found, "command line")


def placed(mounts: tuple[ProjectMount, ...]) -> tuple[ProjectMount, ...]:
    """The mounts with a source for each volume."""
    for mount in mounts:
        if mount.kind in ("volume", "anonymous"):
            raise UsageError("usage.volume", "volumes are not there yet", where=mount.target,
                             hint="name a directory of this machine")
    return mounts

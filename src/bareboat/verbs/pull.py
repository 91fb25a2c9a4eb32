"""pull: an image of a registry, a layout or Docker's daemon becomes one of this machine's."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from bareboat.builder.pulling import Pulled
from bareboat.builder.pulling import pull as bring
from bareboat.image.planning import image_plan
from bareboat.registry.places import ARCHIVE, DAEMON, REGISTRY, Place
from bareboat.verbs import origins
from bareboat.verbs.collaborators import Work
from bareboat.verbs.environment import Environment, assemble
from bareboat.verbs.registries import repository

if TYPE_CHECKING:
    from bareboat.registry.base import Repository


def pull(place: Place, platform: str, work: Work, name: str = "") -> Environment:
    """Bring an image here and give it its name. platform: "linux/amd64"; name: instead of the place's own.

    What arrived stays when it is interrupted, and the next pull goes on there. Raises what builder.pulling does, and
    UsageError "registry.offline".
    """
    if place.kind == DAEMON:
        from bareboat.verbs.daemon import saved

        stored, named = saved(place, work)
        return keep(stored, Place(ARCHIVE, wanted=named.content.digest), (name or place.label,), platform, work)
    label = name or place.label
    with closing(repository(place, work)) as found:
        return keep(found, place, (label,) if label else (), platform, work)


def keep(found: Repository, place: Place, names: tuple[str, ...], platform: str, work: Work) -> Environment:
    """Pull from a repository and enter the image among this machine's."""
    began = time.monotonic()
    made = bring(work.store, found, place, platform, work.tell.progress)
    environment = assemble(image_plan(made.image, made.platform), work)
    for name in names:
        work.store.tag(name, environment.plan)
    work.store.settle()
    origins.remember(place.reference if place.kind == REGISTRY else None, (x.digest for x in made.image.layers), work)
    _say(made, time.monotonic() - began, names, work)
    return environment


def _say(made: Pulled, seconds: float, names: tuple[str, ...], work: Work) -> None:
    from bareboat.units import format_size

    new = f"{format_size(made.fetched)} fetched, {made.unpacked} of {len(made.image.layers)} layers unpacked" \
        if made.unpacked else "nothing new"
    work.tell.say(f"pulled {' and '.join(names) or made.image.manifest[:19]} for {made.platform}: {new}, "
                  f"{seconds:.1f} s")

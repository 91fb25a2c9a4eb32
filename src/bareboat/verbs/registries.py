"""Opening the place that a command names: where verbs meet registries and layouts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bareboat.errors import UsageError
from bareboat.registry.places import LAYOUT, REGISTRY, Place, parse_place
from bareboat.verbs.collaborators import Work

if TYPE_CHECKING:
    from bareboat.lock import BaseImage
    from bareboat.registry.base import Repository


def repository(place: Place, work: Work, *, create: bool = False) -> Repository:
    """The repository of a registry or a layout. Connects to nothing yet. create: a layout that is not there is made.

    Raises UsageError "registry.offline", RegistryError "layout.*".
    """
    if work.repositories is not None:
        return work.repositories(place)
    if place.kind == LAYOUT:
        from pathlib import Path

        from bareboat.registry.layout import open_layout

        return open_layout(Path(place.path), create=create)
    if place.kind != REGISTRY or place.reference is None:
        raise UsageError("registry.gone", "was taken from there once, and a part of it is not in the store any more",
                         where=str(place), hint="load or pull it again")
    if work.settings.offline:
        raise UsageError("registry.offline", "a registry would be asked, and bareboat is offline",
                         where=str(place.reference), hint="leave out --offline, or unset BAREBOAT_OFFLINE")
    from bareboat.registry.client import open_remote
    from bareboat.registry.hosts import RegistrySettings

    return open_remote(place.reference, RegistrySettings.of(work.settings, os.environ))


def home_of(image: BaseImage, work: Work) -> Repository:
    """Where an image of a lock or plan was found, to ask for what is missing. As repository."""
    return repository(parse_place(image.reference), work)

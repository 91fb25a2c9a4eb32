"""Where runs of others are found: files, OCI layouts and registries, as people write them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.errors import UsageError
from bareboat.image.manifest import Manifest, read_manifest
from bareboat.record import artifact as kinds
from bareboat.record.artifact import read_artifact, runs_in
from bareboat.record.values import RunRecord
from bareboat.verbs.arrivals import Found, take
from bareboat.verbs.collaborators import Work

PLATFORMS_MOST = 16  # images of an index that are asked for their runs

if TYPE_CHECKING:
    from bareboat.registry.base import Repository
    from bareboat.registry.places import Place


def arrive(text: str, platform: str, work: Work, *, large: bool = False) -> RunRecord:
    """The run that a file, an OCI layout or a reference holds, taken in. Raises as find_run and take do."""
    if is_file(text):
        from bareboat.registry.archive import read_archive
        from bareboat.registry.places import ARCHIVE, Place
        from bareboat.verbs.load import opened

        with open(text, "rb") as file:
            stored, named = read_archive(work.store, opened(file, text), os.path.abspath(text))
        if len(named) != 1:
            raise UsageError("run.which", f"holds {len(named)} images, and one run is meant", where=text,
                             hint="a file of one run is made with: bareboat save --run ID -o run.tar")
        here = Place(ARCHIVE, wanted=named[0].content.digest)
        return take(find_run(stored, here, os.path.abspath(text)), platform, work, large=large)
    from bareboat.registry.places import DAEMON, parse_place
    from bareboat.verbs.registries import repository
    from bareboat.verbs.runs import RunFilter, runs, taken_in

    if text.startswith((".", "/")) or text.endswith(".tar"):
        raise UsageError("run.no-file", "there is no such file", where=text[:200],
                         hint="a directory is named oci:DIR; a registry HOST/REPOSITORY:TAG")
    place = parse_place(text)
    if place.kind == DAEMON:
        raise UsageError("reference.transport", "Docker's daemon keeps images, and no runs of them", where=text[:200],
                         hint="name a registry, a layout or a file")
    base = _base(str(place))
    try:
        there = repository(place, work)
    except UsageError as error:
        came = [r.id for r in runs(work.store, RunFilter()).runs if taken_in(r) and _base(r.origin) == base]
        if error.code != "registry.offline" or not came:
            raise
        again = ", ".join(f"bareboat rerun {run[:6]}" for run in came[:3])
        raise UsageError(error.code, error.what, where=error.where, hint=f"taken in before: {again}") from None
    return take(find_run(there, place, str(place)), platform, work, large=large)


def is_file(text: str) -> bool:
    """Whether a word means a file: a path that is one and looks like one, so that a run's id is never taken for it."""
    return ("/" in text or "." in text) and Path(text).is_file()


def is_elsewhere(text: str) -> bool:
    """Whether a word can name a run outside of this store: a file, or a reference that says so by its form."""
    return is_file(text) or any(c in text for c in "/:@")


def find_run(repository: Repository, place: Place, shown: str) -> Found:
    """The one run that a place's tag or digest names: itself, in its index, or attached to the image there.

    Whatever a tag means is asked once; from then on everything goes by digest. shown: how messages name the place.
    Raises UsageError "image.no-run" for an image without one, "run.which" for several, ArchiveError "artifact.*".
    """
    content = repository.manifest(place.wanted)
    document = read_manifest(content.data, content.media_type, shown)
    found = runs_in(document, content.descriptor)
    if not found:
        rows = [] if isinstance(document, Manifest) else document.manifests[:PLATFORMS_MOST]
        images = [content.digest, *(e.descriptor.digest for e in rows)]
        found = tuple(dict.fromkeys(d for image in images for d in repository.referrers(image, kinds.RUN)))
    if not found:
        raise UsageError("image.no-run", "is an image without a run, so there is nothing to repeat", where=shown,
                         hint=f"run it: bareboat run {shown}")
    if len(found) > 1:
        raise UsageError("run.which", f"{len(found)} runs belong to this image", where=shown,
                         hint="name one: " + ", ".join(f"{_base(shown)}@{d.digest}" for d in found[:4]))
    own = content if found[0].digest == content.digest else repository.manifest(found[0].digest)
    where = f"{_base(shown)}@{own.digest}"
    return Found(repository, place, read_artifact(own.data, where), own.digest, where)


def _base(shown: str) -> str:
    """A place without tag and digest."""
    name = shown.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag and head else name

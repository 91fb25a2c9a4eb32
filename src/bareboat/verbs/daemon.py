"""Docker's daemon, by its own command line: an image out of it, and one into it."""

from __future__ import annotations

from collections.abc import Iterable

from bareboat.errors import EngineError
from bareboat.host.process import Command
from bareboat.registry.archive import Named, StoredRepository, read_archive
from bareboat.registry.places import Place
from bareboat.verbs.collaborators import Work


def save_command(place: Place) -> Command:
    """`docker image save` of one image, to standard output."""
    return Command(("docker", "image", "save", "--", _name(place)))


def load_command() -> Command:
    """`docker image load` from standard input."""
    return Command(("docker", "image", "load", "--quiet"))


def _name(place: Place) -> str:
    assert place.reference is not None
    return place.reference.short


def saved(place: Place, work: Work) -> tuple[StoredRepository, Named]:
    """An image of the daemon as a repository. Raises EngineError "docker.save" with what docker said."""
    from bareboat.host.process import read_from

    found, failure, ended = read_from(save_command(place), lambda out: read_archive(work.store, out, str(place)))
    if ended.code or (found is not None and len(found[1]) != 1):
        said = ended.stderr.decode("utf-8", "replace").strip()
        raise EngineError("docker.save", said or "docker gave several images", where=_name(place),
                          hint="see `docker image ls`; which daemon is asked: DOCKER_HOST, docker context")
    if failure is not None:
        raise failure
    assert found is not None
    return found[0], found[1][0]


def loaded(chunks: Iterable[bytes]) -> str:
    """An archive into the daemon; the name or id it has there. Raises EngineError "docker.load"."""
    from bareboat.host.process import write_to

    ended = write_to(load_command(), chunks)
    if ended.code:
        raise EngineError("docker.load", ended.stderr.decode("utf-8", "replace").strip() or "docker load failed",
                          hint="which daemon is asked: DOCKER_HOST, docker context")
    return ended.stdout.decode("utf-8", "replace").strip().rpartition(": ")[2]


def named(there: str, name: str) -> None:
    """Give an image of the daemon a name. Raises EngineError "docker.tag"."""
    from bareboat.host.process import run

    ended = run(Command(("docker", "image", "tag", "--", there, name)))
    if ended.code:
        raise EngineError("docker.tag", ended.stderr.decode("utf-8", "replace").strip(), where=name)

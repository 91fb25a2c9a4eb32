"""Figure: cold. The base is there; the wheels are in nobody's cache."""

from __future__ import annotations

from functools import partial

from bench.environments import PYTHON, Environment
from bench.measure import Figure, Row, Series, at_most, in_turns, seconds
from bench.peer import context, prepared
from bench.place import Place
from bench.subject import copy, edit, remove

GOAL = 0.8
ROUNDS = 3  # a gigabyte travels twice in each


def cold(place: Place, environments: tuple[Environment, ...]) -> Figure:
    """Downloads from the index included, so what the network does is in it; that is what the turns are for."""
    place.base()
    rows = []
    for environment in environments:
        ours, theirs = in_turns(min(place.rounds, ROUNDS), partial(_ours, place, environment),
                                partial(_docker, place, environment))
        row = Row("cold: base there, no wheels", environment.name, Series("bareboat", ours),
                  Series("BuildKit + uv", theirs), "s")
        rows.append(at_most(row, GOAL))
    return Figure("cold", "Cold", tuple(rows), (
        "bareboat: a store with the base alone, an empty cache of uv. Docker: everything pruned, the base image with "
        "an empty environment there.",))


def _ours(place: Place, environment: Environment, _: int) -> float:
    home, cache = place.work / "cold/home", place.work / "cold/uv-cache"
    project = copy(place.bare(), place.work / "cold/project")
    copy(place.bare_subject().home, home)
    remove(cache)
    subject = place.subject.at(home, cache)
    edit(project, environment.text())
    taken = seconds(partial(subject.run, project, "python", "-c", environment.light))
    subject.settled(project)
    remove(place.work / "cold")
    return taken


def _docker(place: Place, environment: Environment, _: int) -> float:
    tag = f"bench-{environment.name}-uv"
    place.docker.forget_everything(tag)
    prepared(place.docker, PYTHON, "uv", place.work)
    place.docker.forget_everything()
    folder = context(place.work / f"context-{environment.name}-uv", "uv", environment.text())

    def build() -> None:
        place.docker.build(folder, tag)
        place.docker.run(tag, ["python", "-c", environment.light])

    taken = seconds(build)
    place.docker.forget_everything(tag)
    return taken

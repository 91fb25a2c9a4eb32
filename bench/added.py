"""Figure: one package added, from the edit of requirements.txt until Python has run with it imported."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.environments import ADDED, Added, Environment
from bench.measure import Figure, Row, Series, at_most, in_turns, seconds
from bench.peer import context, warmer
from bench.place import Place
from bench.subject import copy, edit

GOALS = {"small": (0.35, 1.0), "real": (0.1, 1.5)}
FEWER = 1  # rounds of pip with the real environment: three minutes each


def added(place: Place, environments: tuple[Environment, ...]) -> Figure:
    """Each round adds another package: everybody's cache has its wheel, nobody has the environment."""
    rows = [row for environment in environments for row in _rows(place, environment)]
    return Figure("added", "One package added", tuple(rows), (
        "From the edit of requirements.txt to the end of a program that imports the package. Each round adds another "
        "small pure package. Its wheel is in bareboat's store and in the caches that the builds mount (uv, pip); its "
        "unpacked tree was taken away again from bareboat's store, uv's cache keeps it unpacked. Docker: build, and "
        "create, start and wait by the socket; nothing is pushed.",))


def _rows(place: Place, environment: Environment) -> list[Row]:
    place.base()
    project = place.project(environment)
    standing = copy(project, place.work / f"standing-{environment.name}")
    packages = ADDED[: place.rounds]
    _fill_caches(place, environment, packages)

    def ours(n: int) -> float:
        taken = _ours(place, environment, (project, standing), packages[n])
        place.subject.forget(packages[n].name)
        return taken

    def docker(installer: str, n: int) -> float:
        return _docker(place, environment, packages[n], installer)

    first = tuple(ours(n) for n in range(len(packages)))
    again, uv = in_turns(len(packages), ours, partial(docker, "uv"))
    fewer = FEWER if environment.name == "real" else len(packages)
    (pip,) = in_turns(min(fewer, len(packages)), partial(docker, "pip"))
    ratio, value = GOALS[environment.name]
    mine, title = Series("bareboat", again), "one package added, its wheel in every cache"
    return [at_most(Row(title, environment.name, mine, Series("BuildKit + uv", uv), "s"), ratio, value),
            Row(title, environment.name, mine, Series("BuildKit + pip", pip), "s"),
            Row("the same, its wheel in no cache of ours", environment.name, Series("bareboat", first),
                Series("BuildKit + uv, cached", uv), "s")]


def _fill_caches(place: Place, environment: Environment, packages: tuple[Added, ...]) -> None:
    for installer in ("uv", "pip"):
        tag = f"bench-{environment.name}-{installer}"
        folder = place.work / f"context-{environment.name}-{installer}"
        place.docker.build(context(folder, installer, environment.text()), tag)
        place.docker.forget_layers(tag)
        for package in packages:
            place.docker.build(warmer(place.work / "warmer", installer, package.name), "bench-warmer")
        place.docker.forget_layers("bench-warmer")


def _ours(place: Place, environment: Environment, folders: tuple[Path, Path], package: Added) -> float:
    """folders: the project, and a copy of it as it stands without the package."""
    project, standing = folders
    place.subject.run(copy(standing, project), "true")
    edit(project, environment.text(package.name))
    taken = seconds(partial(place.subject.run, project, "python", "-c", f"import {package.module}"))
    place.subject.settled(project)
    copy(standing, project)
    return taken


def _docker(place: Place, environment: Environment, package: Added, installer: str) -> float:
    folder = context(place.work / f"context-{environment.name}-{installer}", installer,
                     environment.text(package.name))
    tag = f"bench-{environment.name}-{installer}"

    def edited() -> None:
        place.docker.build(folder, tag)
        place.docker.run(tag, ["python", "-c", f"import {package.module}"])

    taken = seconds(edited)
    place.docker.forget_layers(tag)
    return taken

"""Figures: an image of 2 GB pulled until it runs; one package more pushed, and pulled by a second machine."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from pathlib import Path

from bench.environments import ADDED, REAL, SMALL
from bench.measure import Figure, Goal, Row, Series, at_most, in_turns, seconds
from bench.memory import watch
from bench.peer import BASE, context
from bench.place import Place
from bench.registry import Registry, registry
from bench.subject import Subject, edit, remove

LAYERS, SIZE, PIECE = 39, 2.0e9, 40_000_000
RATIO, MEMORY, BEYOND = 0.7, 256, 256 * 1024


def pull(place: Place) -> Figure:
    """What Docker built and pushed, in turns by docker pull, skopeo copy and bareboat pull; then `true` runs in it."""
    place.base()
    with registry(place.work / "pull/registry") as there:
        name = f"{there.host}/bench/real:1"
        layers, size = _docker_image(place, name)
        ours, theirs, copied = in_turns(place.rounds, partial(_ours, place, name), partial(_docker, place, name),
                                        partial(_skopeo, place, name))
        subject = place.subject.at(place.work / "pull/home")
        remove(subject.home)
        watched = watch([str(subject.venv / "bin/bareboat"), "pull", name], place.work, subject.env)
    what = f"{size / 1e9:.1f} GB unpacked in {layers} layers"
    mine = Series("bareboat", ours)
    rows = [at_most(Row("pull until it runs", what, mine, Series("docker pull", theirs), "s"), RATIO),
            Row("pull until it runs", what, mine, Series("skopeo copy, not unpacked", copied), "s"),
            at_most(Row("peak memory of a pull", what, Series("all processes", (watched.together / 1e6,)),
                        Series("private memory alone", (watched.anonymous / 1e6,)), "MB"), value=MEMORY)]
    remove(place.work / "pull")
    return Figure("pull", "An image pulled", tuple(rows), (
        "A registry on the same machine. Docker: image and layers removed, then docker pull and a container by the "
        "socket. bareboat: an empty store, pull and `run IMAGE true`. Memory: as in the last section.",))


def push(place: Place) -> Figure:
    """An environment with one package more: what is sent, and what a machine that had the old one fetches."""
    place.base()
    project = place.project(SMALL)
    with registry(place.work / "push/registry") as there:
        subject = place.subject.at(place.work / "push/home")
        _shipped(place, subject, project, there, "")
        _built(place, there, "")
        second = place.subject.at(place.work / "push/second")
        second.bareboat(place.work, "pull", f"{there.host}/bench/ours:1")
        sent, moved, fetched, allowed = [], [], [], []
        theirs_sent, theirs_moved = [], []
        for package in ADDED[: place.rounds]:
            before = there.bytes()
            sent.append(_shipped(place, subject, project, there, package.name))
            moved.append(there.bytes() - before)
            allowed.append(_wheel_size(project, package.name) + BEYOND)
            said = subprocess.run([second.venv / "bin/bareboat", "pull", f"{there.host}/bench/ours:1"], env=second.env,
                                  cwd=place.work, capture_output=True, text=True, check=True).stderr
            fetched.append(_bytes(re.search(r"([\d.]+) (\w+) fetched", said)))
            before = there.bytes()
            theirs_sent.append(_built(place, there, package.name))
            theirs_moved.append(there.bytes() - before)
        edit(project, SMALL.text())
    goal = Goal("at most the package + 256 KiB", all(m <= a for m, a in zip(moved, allowed, strict=True)))
    again = Goal("at most the package + 256 KiB", all(m <= a for m, a in zip(fetched, allowed, strict=True)))
    kilo = lambda values: tuple(v / 1e3 for v in values)  # noqa: E731
    rows = [
        Row("one package more: bytes pushed", SMALL.name, Series("bareboat", kilo(moved)),
            Series("docker push of a rebuilt image", kilo(theirs_moved)), "kB", (goal,)),
        Row("one package more: seconds of the push", SMALL.name, Series("bareboat", tuple(sent)),
            Series("docker push of a rebuilt image", tuple(theirs_sent)), "s"),
        Row("one package more: bytes a second machine pulls", SMALL.name, Series("bareboat", kilo(fetched)),
            Series("package + 256 KiB", kilo(allowed)), "kB", (again,))]
    remove(place.work / "push")
    return Figure("push", "One package more, shipped", tuple(rows), (
        "Bytes: by how much the registry's blobs grew. Docker: BuildKit and uv with a cache mount, one layer for all "
        "packages, as the usual Dockerfile has it. The package's own size is that of its wheel.",))


def _docker_image(place: Place, name: str) -> tuple[int, float]:
    """Files of real wheels, copied by a Dockerfile into layers of some 40 MB each; built and pushed once."""
    trees = [t for t in place.subject.trees(place.project(REAL)) if "/wheel-" in str(t) or "/pyc-" in str(t)]
    folder = place.work / "pull/context"
    remove(folder)
    lines, total, here = [f"FROM {BASE}"], 0, PIECE
    for tree in trees:
        for file in sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink()):
            size = file.stat().st_size
            if here >= PIECE:
                if len(lines) > LAYERS or total > SIZE:
                    break
                lines.append(f"COPY layer{len(lines)} /")
                here = 0
            target = folder / f"layer{len(lines) - 1}" / file.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(file)
            here, total = here + size, total + size
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    place.docker.build(folder, name)
    place.docker.cli("push", "-q", name)
    remove(folder)
    return len(lines), total


def _ours(place: Place, name: str, _: int) -> float:
    subject = place.subject.at(place.work / "pull/home")
    remove(subject.home)

    def whole() -> None:
        subject.bareboat(place.work, "pull", name)
        subject.bareboat(place.work, "run", name, "true")

    taken = seconds(whole)
    remove(subject.home)
    return taken


def _docker(place: Place, name: str, _: int) -> float:
    place.docker.forget_everything(name)

    def whole() -> None:
        place.docker.cli("pull", "-q", name)
        place.docker.run(name, ["true"])

    taken = seconds(whole)
    place.docker.forget_everything(name)
    return taken


def _skopeo(place: Place, name: str, _: int) -> float:
    folder = place.work / "pull/copy"
    remove(folder)
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{folder}"]
    taken = seconds(lambda: subprocess.run(copy, check=True))
    remove(folder)
    return taken


def _shipped(place: Place, subject: Subject, project: Path, there: Registry, package: str) -> float:
    """The image with this package more, built; then pushed, in seconds."""
    name = f"{there.host}/bench/ours:1"
    edit(project, SMALL.text(package) if package else SMALL.text())
    subject.bareboat(project, "build", "--no-code", "-t", name)
    return seconds(partial(subject.bareboat, project, "push", name))


def _built(place: Place, there: Registry, package: str) -> float:
    name = f"{there.host}/bench/theirs:1"
    text = SMALL.text(package) if package else SMALL.text()
    place.docker.build(context(place.work / "push/context", "uv", text), name)
    return seconds(partial(place.docker.cli, "push", "-q", name))


def _wheel_size(project: Path, name: str) -> int:
    """What the lock says of a wheel's size."""
    text = (project / "bareboat.lock").read_text()
    found = re.search(rf'name = "{re.escape(name)}".*?size = (\d+)', text)
    return int(found[1]) if found else 0


def _bytes(found: re.Match[str] | None) -> float:
    """ "84.0 MiB" as a number; 0 where nothing was said."""
    if found is None:
        return 0.0
    return float(found[1]) * {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[found[2]]

"""Figure: a container's life. create, start, wait and rm; exec; the log; what waits beside an idle one."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from bench.environments import SMALL
from bench.measure import Figure, Row, Series, at_most, in_turns, seconds
from bench.peer import BASE
from bench.place import Place

BY_COMMAND, BY_API, EXEC, MEGABYTES = 1.0, 0.3, 1.0, 20.0
LOG = 64 << 20  # bytes a container writes
IDLE = 8  # containers that idle at once
_API = """
import json, sys, time, bareboat
times = []
for number in range(int(sys.argv[1])):
    began = time.perf_counter()
    made = bareboat.create("true", project=sys.argv[2])
    made.start(); code = made.wait(); made.remove(force=True)
    times.append(1000 * (time.perf_counter() - began))
    assert code == 0
print(json.dumps(times))
"""


def life(place: Place) -> Figure:
    """In turns with docker's own command line."""
    place.base()
    project = place.project(SMALL)
    ours = [str(place.subject.venv / "bin/bareboat")]

    def call(*words: str) -> str:
        done = subprocess.run([*ours, *words], cwd=project, env=place.subject.env, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def mine(number: int) -> float:
        def whole() -> None:
            name = call("create", "--name", f"bench-{number}", "--", "true")
            call("start", name)
            call("wait", name)
            call("rm", "-f", name)

        return 1000 * seconds(whole)

    def theirs(_: int) -> float:
        def whole() -> None:
            name = place.docker.cli("create", "--network", "host", BASE, "true").strip()
            place.docker.cli("start", name)
            place.docker.cli("wait", name)
            place.docker.cli("rm", name)

        return 1000 * seconds(whole)

    call("run", "--", "true")
    mine(10_000)
    theirs(0)
    lived, docked = in_turns(place.starts, mine, theirs)
    by_api = [str(place.subject.python), "-c", _API, str(place.starts), str(project)]
    api = json.loads(subprocess.run(by_api, cwd=project, env=place.subject.env, capture_output=True, check=True).stdout)
    docker, names = Series("docker create, start, wait, rm", docked), ("create, start, wait, rm", SMALL.name)
    rows = [at_most(Row(*names, Series("bareboat, four commands", lived), docker, "ms"), BY_COMMAND),
            at_most(Row(*names, Series("bareboat, Python API", tuple(api)), docker, "ms"), BY_API),
            *_inside(place, call), _log(place, call)]
    return Figure("life", "A container's life", tuple(rows), _idle(call))


def _inside(place: Place, call) -> list[Row]:  # type: ignore[no-untyped-def]
    name = call("run", "-d", "--", "sleep", "3600")
    other = place.docker.cli("run", "-d", "--network", "host", BASE, "sleep", "3600").strip()
    try:
        sides = (lambda _: 1000 * seconds(lambda: call("exec", name, "true")),
                 lambda _: 1000 * seconds(lambda: place.docker.cli("exec", other, "true")))
        for side in sides:
            side(0)
        mine, theirs = in_turns(place.starts, *sides)
    finally:
        call("rm", "-f", name)
        place.docker.cli("rm", "-f", other)
    return [at_most(Row("exec true", SMALL.name, Series("bareboat exec", mine), Series("docker exec", theirs), "ms"),
                    EXEC)]


def _log(place: Place, call) -> Row:  # type: ignore[no-untyped-def]
    """Until a container that writes as fast as it can has written, and until all of it was read back."""
    command = ("sh", "-c", f"yes 0123456789abcdef0123456789abcdef | head -c {LOG}")

    def mine(_: int) -> float:
        began = time.perf_counter()
        name = call("run", "-d", "--", *command)
        call("wait", name)
        got = len(call("logs", name)) + 1
        taken = time.perf_counter() - began
        call("rm", "-f", name)
        if abs(got - LOG) > 1:
            raise RuntimeError(f"the log lost {LOG - got} bytes")
        return taken

    def theirs(_: int) -> float:
        began = time.perf_counter()
        name = place.docker.cli("run", "-d", "--network", "host", BASE, *command).strip()
        place.docker.cli("wait", name)
        got = len(place.docker.cli("logs", name))
        taken = time.perf_counter() - began
        place.docker.cli("rm", name)
        if abs(got - LOG) > 1:
            raise RuntimeError(f"docker's log lost {LOG - got} bytes")
        return taken

    ours, docked = in_turns(place.rounds, mine, theirs)
    return Row(f"log of {LOG >> 20} MiB, written and read", SMALL.name, Series("bareboat run -d, wait, logs", ours),
               Series("docker run -d, wait, logs", docked), "s", note="no byte of either is lost")


def _idle(call) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    """What the processes beside idle containers take, by the kernel's proportional count."""
    names = [call("run", "-d", "--results", f"/tmp/bench-idle-{n}", "--", "sleep", "3600") for n in range(IDLE)]
    try:
        pids = [row["supervisor"] for row in json.loads(call("ps", "--json"))]
        shares = [sum(_share(pid) for pid in (pid, *_children(pid))) for pid in pids]
        resident = [_field(pid, "status", "VmRSS:") for pid in pids]
    finally:
        for name in names:
            call("rm", "-f", name)
    free = int(next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines()
                    if line.startswith("MemAvailable:")))
    most = max(resident) / 1024
    met = "met" if most <= MEGABYTES else "missed"
    each = sum(shares) / len(shares)
    return (f"Beside each of {IDLE} idle containers: a supervisor of {most:.1f} MB resident (goal {MEGABYTES:g} MB: "
            f"{met}); with the process that guards the sandbox {each / 1024:.1f} MB by the kernel's own shares, "
            f"so that the {free / 1e6:.0f} GB that are free here hold about {int(free / each):,} of them.",)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _share(pid: int) -> int:
    return _field(pid, "smaps_rollup", "Pss:")


def _field(pid: int, file: str, name: str) -> int:
    return int(next(line.split()[1] for line in Path(f"/proc/{pid}/{file}").read_text().splitlines()
                    if line.startswith(name)))

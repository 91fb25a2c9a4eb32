"""Figure: peak memory of assembling an image with a 700 MB wheel."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Figure, Row, Series, at_most
from bench.place import Place
from bench.subject import copy, edit, remove

GOAL = 200
SIZE, FILES = 700_000_000, 7


def memory(place: Place) -> Figure:
    """Resident memory of all processes together, looked at every few milliseconds, and of the largest alone."""
    home = copy(place.bare_subject().home, place.work / "memory/home")
    subject = place.subject.at(home)
    project = copy(place.bare(), place.work / "memory/project")
    wheel = _wheel(place.work / "memory")
    edit(project, f"./{wheel.name}\n")
    wheel.rename(project / wheel.name)
    watched = watch([str(subject.venv / "bin/bareboat"), "build"], project, subject.env)
    row = at_most(Row("peak memory with a 700 MB wheel", "", Series("bareboat build", (watched.together / 1e6,)),
                      Series("largest process alone", (watched.largest / 1e6,)), "MB"), value=GOAL)
    remove(place.work / "memory")
    return Figure("memory", "Peak memory", (row,), (
        "Locking and assembling in one command, from a wheel of random bytes in the project's folder. Resident memory "
        "counts pages of files that a process maps, and shared pages once for each process; private memory alone: "
        f"{watched.anonymous / 1e6:.0f} MB.",))


@dataclass
class Watched:
    together: int = 0
    anonymous: int = 0
    largest: int = 0
    names: set[str] = field(default_factory=set)


def watch(argv: list[str], cwd: Path, env: dict[str, str]) -> Watched:
    """Run a program and look at the memory of all its processes every few milliseconds."""
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, start_new_session=True)
    watched = Watched()
    while process.poll() is None:
        sizes = [_resident(pid) for pid in _family(process.pid)]
        watched.together = max(watched.together, sum(s[0] for s in sizes))
        watched.anonymous = max(watched.anonymous, sum(s[1] for s in sizes))
        watched.largest = max([watched.largest, *(s[0] for s in sizes)])
        time.sleep(0.005)
    assert process.stderr is not None
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode()[-2000:])
    return watched


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                found += [int(word) for word in text.split() if int(word) not in found]
        except OSError:
            continue
    return found


def _resident(pid: int) -> tuple[int, int]:
    """Bytes: resident, and of these anonymous."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return sizes.get("VmRSS", 0), sizes.get("RssAnon", 0)


def _wheel(folder: Path) -> Path:
    """A valid wheel of random bytes, which no compression makes smaller."""
    info = "heavy-1.0.dist-info"
    record = []
    path = folder / "heavy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        def add(name: str, chunks: list[bytes]) -> None:
            digest, size = hashlib.sha256(), 0
            with archive.open(name, "w") as member:
                for chunk in chunks:
                    member.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
            text = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={text},{size}\n")

        add("heavy/__init__.py", [b""])
        for number in range(FILES):
            add(f"heavy/data{number}.bin", [os.urandom(SIZE // FILES)])
        add(f"{info}/METADATA", [b"Metadata-Version: 2.1\nName: heavy\nVersion: 1.0\n"])
        add(f"{info}/WHEEL", [b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"])
        archive.writestr(f"{info}/RECORD", "".join(record) + f"{info}/RECORD,,\n")
    return path

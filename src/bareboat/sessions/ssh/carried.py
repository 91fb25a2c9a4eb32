"""This machine's rsync, for images without one: it goes in with its own loader and libraries, which need nothing of the
image but a kernel. Put there when first asked for, by the same way as any file; gone with the container.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from bareboat.host.process import Command, run
from bareboat.sessions.ssh.helper import Helper
from bareboat.sessions.ssh.inside import Inside, Program
from bareboat.values import dataclass

MOST = 64 << 20  # bytes of a file that is carried
CHUNK = 1 << 20


@dataclass(frozen=True)
class Carried:
    """A program with what it needs to be loaded: loader, libraries and itself, as files of this machine."""

    loader: Path
    libraries: tuple[Path, ...]
    program: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.loader, *self.libraries, self.program)


def wanted(command: str) -> bool:
    """Whether a command is what an rsync client asks a server to start."""
    return command.startswith("rsync --server ")


def parse_loaded(text: str, program: Path) -> Carried | None:
    """What glibc's loader lists with LD_TRACE_LOADED_OBJECTS; None where it is another's list, or not whole."""
    libraries, loader = [], None
    for line in text.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        path = (rest if arrow else name).rpartition(" (0x")[0]
        if not path.startswith("/"):
            if arrow:
                return None  # a library that was not found
            continue  # linux-vdso, which is the kernel's
        if arrow:
            libraries.append(Path(path))
        else:
            loader = Path(path)
    return None if loader is None else Carried(loader, tuple(libraries), program)


def find() -> Carried | None:
    """This machine's rsync; None where there is none that can be carried."""
    program = shutil.which("rsync")
    if program is None:
        return None
    from bareboat.errors import BareboatError

    try:
        done = run(Command((program,), env={"LD_TRACE_LOADED_OBJECTS": "1"}, timeout=10, most=1 << 20))
    except BareboatError:
        return None
    found = parse_loaded(done.stdout.decode(errors="replace"), Path(program))
    if found is None or not all(map(_plain, found.files)):
        return None
    return found


def _plain(file: Path) -> bool:
    try:
        status = file.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= MOST


def name_of(carried: Carried) -> str:
    """A name for these very files."""
    state = [(os.fspath(file), file.stat().st_size, file.stat().st_mtime_ns) for file in carried.files]
    return f"bareboat-rsync-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"


def script(folder: str, carried: Carried) -> str:
    """What stands for the program inside."""
    return (f'#!/bin/sh\nexec "{folder}/{carried.loader.name}" --library-path "{folder}" '
            f'"{folder}/{carried.program.name}.bin" "$@"\n')


async def missing(inside: Inside, program: str) -> bool:
    """Whether there is no such program on PATH inside."""
    person = inside.person
    running = await inside.start(Program(("/bin/sh", "-c", 'command -v "$1" >/dev/null 2>&1', "sh", program),
                                         person.env, person.cwd))
    for descriptor in (running.stdin, running.stdout, running.stderr):
        os.close(descriptor)
    return (await running.wait()).code == 1 or (await running.wait()).code == 127


async def bring(inside: Inside, carried: Carried) -> str:
    """Put it inside, and return the directory to put on PATH. Idempotent. Raises Unavailable, OSError."""
    helper = await Helper.start(inside)
    try:
        folder = f"{dict(inside.person.env).get('TMPDIR') or '/tmp'}/{name_of(carried)}"
        try:
            await helper.ask("stat", f"{folder}/rsync")
            return folder
        except OSError:
            pass
        draft = f"{folder}.{os.urandom(6).hex()}"
        await helper.ask("mkdir", draft, 0o700)
        for file in carried.files:
            name = f"{file.name}.bin" if file == carried.program else file.name
            await _put(helper, f"{draft}/{name}", file.read_bytes())
        await _put(helper, f"{draft}/rsync", script(folder, carried).encode())
        try:
            await helper.ask("rename", draft, folder, True)
        except OSError:
            await helper.ask("stat", f"{folder}/rsync")  # another was faster
        return folder
    finally:
        await helper.close()


async def _put(helper: Helper, path: str, content: bytes) -> None:
    number = await helper.ask("open", path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
    assert isinstance(number, list)
    for at in range(0, len(content), CHUNK):
        await helper.ask("write", number[0], at, data=content[at:at + CHUNK])
    await helper.ask("close", number[0])

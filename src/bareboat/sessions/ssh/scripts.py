"""Programs of ours that run inside by the image's own Python 3, and are spoken to over their pipes."""

from __future__ import annotations

import asyncio
from importlib import resources

from bareboat.sessions.ssh.inside import Inside, Program, Running, Unavailable
from bareboat.sessions.ssh.pipes import reader_of, writer_of

# The first Python 3 on PATH; without one, who asked is told so by the exit code.
FIND = ('for p in python3 /usr/bin/python3 /usr/local/bin/python3 python; do command -v "$p" >/dev/null 2>&1 && '
        'exec "$p" -ISBc "$1"; done; exit 127')
PATIENCE = 30.0  # seconds for it to say hello


async def start(inside: Inside, name: str, hello: bytes,
                what: str) -> tuple[Running, asyncio.StreamReader, asyncio.StreamWriter]:
    """Start NAME_inside.py where programs start, and wait for its first line. what: needs it, for the message. Raises
    Unavailable "ssh.python" where the image has no Python 3.
    """
    source = resources.files("bareboat.sessions.ssh").joinpath(f"{name}_inside.py").read_text("utf-8")
    person = inside.person
    running = await inside.start(Program(("/bin/sh", "-c", FIND, name, source), person.env, person.cwd))
    reader, errors = await reader_of(running.stdout), await reader_of(running.stderr)
    writer = await writer_of(running.stdin)
    try:
        found = await asyncio.wait_for(reader.readexactly(len(hello)), PATIENCE)
    except (asyncio.IncompleteReadError, asyncio.TimeoutError, OSError):
        found = b""
    if found == hello:
        return running, reader, writer
    running.signal(9)
    writer.close()
    said = (await errors.read(2000)).decode(errors="replace").strip().splitlines()
    ended = await running.wait()
    why = "the image has none" if ended.code == 127 and not said else said[-1] if said else f"exit code {ended.code}"
    raise Unavailable("ssh.python", f"{what} a Python 3 inside the container: {why}")

"""Into a container of docker's or podman's that runs: one more program, and files in and out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from bareboat.engine import oci_command as commands
from bareboat.engine.base import Streams
from bareboat.engine.oci_command import Client
from bareboat.engine.oci_session import Attached, account, fill, said
from bareboat.errors import CANNOT_RUN, NOT_FOUND, EngineError, ProgramError
from bareboat.host.process import Command, read_from, run, write_to
from bareboat.workload import Exec, Handle, Outcome


def execute(client: Client, environ: dict[str, str], handle: Handle, call: Exec, streams: Streams) -> Outcome:
    """See engine.base.Engine.exec. Signals reach the client alone: neither docker nor podman hands them on."""
    import tempfile

    began = time.monotonic()
    _running(client, environ, handle)
    env = commands.environment(client, call.env, call.tty)
    with tempfile.NamedTemporaryFile("w", prefix="bareboat-env-", encoding="utf-8") as file:
        fill(file, env.file, client)
        attached = Attached(client, handle.id, call.tty, streams, commands.clients_own(environ, env))
        code = attached.run(commands.execute(client, handle.id, call, env, file.name, streams.stdin is not None))
    if code in (CANNOT_RUN, NOT_FOUND) and b"exec failed" in attached.tail:
        kind = "program.not-found" if code == NOT_FOUND else "program.not-executable"
        raise ProgramError(kind, "not found in the container" if code == NOT_FOUND else "cannot be run",
                           exit_code=code, where=call.argv[0])
    return Outcome(code, attached.reason, seconds=time.monotonic() - began)


def copy_out(client: Client, environ: dict[str, str], handle: Handle, path: str) -> Iterator[bytes]:
    """See engine.base.Engine.copy_out; nothing is given on before all of it is there."""
    import tempfile

    _running(client, environ, handle)
    with tempfile.TemporaryFile() as file:
        def take(out: object) -> None:
            while chunk := out.read(1 << 20):  # type: ignore[attr-defined]
                file.write(chunk)

        _, failure, done = read_from(Command(commands.copy_out(client, handle.id, path).argv, environ), take)
        if done.code:
            raise EngineError("engine.no-file", said(done), where=path)
        if failure is not None:
            raise failure
        file.seek(0)
        while chunk := file.read(1 << 20):
            yield chunk


def copy_in(client: Client, environ: dict[str, str], handle: Handle, what: tuple[str, Iterable[bytes]]) -> None:
    """See engine.base.Engine.copy_in. what: the folder inside, and the tar."""
    folder, tar = what
    _running(client, environ, handle)
    done = write_to(Command(commands.copy_in(client, handle.id, folder).argv, environ), tar)
    if done.code:
        raise EngineError("engine.copy", said(done), where=folder)


def _running(client: Client, environ: dict[str, str], handle: Handle) -> None:
    done = run(Command(commands.state(client, handle.id).argv, environ, timeout=60))
    if not account(done).get("Running"):
        raise EngineError("engine.gone", "the container has ended", where=handle.id[:12])

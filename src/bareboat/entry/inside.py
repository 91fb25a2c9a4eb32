"""python -m bareboat.entry.inside program|sockets ID: a process of the SSH gateway's that enters a container.

program: starts what the variable BAREBOAT_INSIDE says, with this process's streams (its terminal, where it is to have
one), and ends as it does. sockets: enters the container's network, and makes a socket for each byte that comes on
descriptor 0, "4" or "6", until nothing more comes.
"""

from __future__ import annotations

import os
import sys

from bareboat.errors import BareboatError
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work


def main(words: list[str]) -> int:
    """The program's exit code; 125 to 127 as everywhere."""
    from bareboat.verbs import containers
    from bareboat.verbs.collaborators import Quiet
    from bareboat.wiring import work

    what, run = words
    request = os.environ.pop("BAREBOAT_INSIDE", "")
    try:
        at_work = work(Quiet())
        engine = containers.running(at_work.store, run).container.engine
        if engine not in ("", at_work.engine.name):
            at_work = work(Quiet(), engine=engine)
        return _program(run, request, at_work) if what == "program" else _sockets(run, at_work)
    except BareboatError as error:
        said = f"bareboat: {error.where}: {error.what}" if error.where else f"bareboat: {error.what}"
        sys.stderr.write("".join(c if c.isprintable() else "?" for c in said) + f" [{error.code}]\n")
        return error.exit_code


def _program(run: str, text: str, work: Work) -> int:
    import json

    from bareboat.engine.base import Streams
    from bareboat.verbs.enter import ExecRequest, execute_in

    asked = json.loads(text)
    tty = bool(asked["tty"])
    if tty:
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # hung up by the kernel when the gateway goes, however it goes
    request = ExecRequest(tuple(asked["argv"]), tuple((name, value) for name, value in asked["env"]), asked["cwd"],
                          tty)
    return execute_in(run, request, work, Streams(_to(1), _to(2), 0, 0 if tty else None)).code


def _to(stream: int):  # type: ignore[no-untyped-def]
    open_ = True

    def write(data: bytes) -> None:
        nonlocal open_
        view = memoryview(data)
        try:
            while view and open_:
                view = view[os.write(stream, view):]
        except OSError:
            open_ = False  # the client went away; the program goes on, as under sshd

    return write


def _sockets(run: str, work: Work) -> int:
    import socket

    from bareboat.host import kernel
    from bareboat.sessions.ssh.container import send_descriptor
    from bareboat.verbs.enter import entered

    channel = socket.socket(fileno=0)
    _, answer = entered(run, work.store)
    kernel.setns(answer.descriptor, kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET)
    os.close(answer.descriptor)
    kernel.no_capabilities()
    while asked := channel.recv(1):
        family = socket.AF_INET6 if asked == b"6" else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as made:
            send_descriptor(channel, made.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

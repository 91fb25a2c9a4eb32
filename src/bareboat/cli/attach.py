"""bareboat attach."""

from __future__ import annotations

import argparse
import os
import select
import signal

SUMMARY = "Join the streams of a container that runs; ^P ^Q leaves it running."
EXAMPLES = """\
  bareboat attach sweep
  bareboat attach --no-stdin sweep      only watch
"""
LEAVE = b"\x10\x11"


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    parser.add_argument("name", metavar="NAME", help="a name, an id, or the beginning of one")
    parser.add_argument("--no-stdin", action="store_true", help="send it nothing")
    parser.add_argument("--sig-proxy", default="true", choices=("true", "false"),
                        help="hand signals on to the program (true)")


def command(options: argparse.Namespace) -> int:
    """The container's exit code; 0 when left before its end."""
    from bareboat.cli.exec import _to
    from bareboat.cli.term import Reporter
    from bareboat.host import relay, terminal
    from bareboat.supervisor import wire
    from bareboat.verbs.enter import Attached, tell
    from bareboat.wiring import store

    at = store()
    screen = os.isatty(0)
    window = terminal.size(0) if screen else None
    line = Attached(options.name, at, stdin=not options.no_stdin, window=window)
    takes = line.takes and not options.no_stdin
    held = b""
    try:
        with relay.Signals() as signals, terminal.Raw(0 if screen and line.tty and takes else None):
            poll = select.poll()
            for descriptor in (signals.read, line.line.sock.fileno(), *((0,) if takes else ())):
                poll.register(descriptor, select.POLLIN)
            while True:
                for descriptor, _ in poll.poll():
                    if descriptor == signals.read:
                        for number in signals.taken():
                            if number == signal.SIGWINCH:
                                size = terminal.size(0)
                                if size:
                                    line.send(wire.WINDOW, b"%d %d" % size)
                            elif options.sig_proxy == "true":
                                tell(options.name, at, do="signal", number=number)
                            else:
                                return 128 + number
                    elif descriptor == 0:
                        data = _typed()
                        if not data:
                            line.send(wire.EOF, b"")
                            poll.unregister(0)
                            continue
                        data, held = (held + data, b"") if screen else (data, b"")
                        if LEAVE in data:
                            return _left(options)
                        if screen and data.endswith(LEAVE[:1]):
                            data, held = data[:-1], LEAVE[:1]
                        line.send(wire.IN, data)
                    elif not line.read(_to(1), _to(2)):
                        if line.ended is None:
                            Reporter(options.level).say("the connection ended; the container may go on: bareboat ps")
                            return 125
                        return line.ended
    finally:
        line.close()


def _typed() -> bytes:
    try:
        return os.read(0, 4096)
    except OSError:  # the terminal is gone
        return b""


def _left(options: argparse.Namespace) -> int:
    from bareboat.cli.term import Reporter

    Reporter(options.level).say(f"left; {options.name} goes on")
    return 0

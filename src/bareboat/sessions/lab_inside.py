# mypy: ignore-errors
"""Runs inside a notebook session, in the Jupyter server: who may enter, and when nobody is there any more.

Identity: the token alone, compared in constant time; wrong ones are looked at a few times a second and no more. The
extension tells the outside on standard output when the server answers ("bareboat:ready") and how idle it is
("bareboat:idle SECONDS-LEFT", "bareboat:stopped"), for BAREBOAT_IDLE_STOP seconds of it are the end (0: never).
"""

import asyncio
import hmac
import os
import signal
import sys
import threading
import time
from datetime import datetime, timezone

from jupyter_server.auth import IdentityProvider

BURST, A_SECOND = 20, 2.0  # wrong tokens that are looked at: at once, and then for each second
WARNINGS = (600, 60)  # seconds before the end


class Identity(IdentityProvider):
    """One person, who has the token."""

    left, since = float(BURST), 0.0

    def is_right(self, typed):
        """Whether it is the token. Beyond the rate nothing is; who has a cookie does not come by here."""
        now = time.monotonic()
        self.left, self.since = min(BURST, self.left + (now - self.since) * A_SECOND), now
        if not typed or self.left < 1:
            return False
        right = bool(self.token) and hmac.compare_digest(typed.encode(), self.token.encode())
        if not right:
            self.left -= 1
        return right

    async def get_user_token(self, handler):
        """See IdentityProvider; asked of nothing that is not the token, for it compares with ==."""
        if not self.is_right(self.get_token(handler)):
            return None
        return await super().get_user_token(handler)

    def process_login_form(self, handler):
        """As get_user_token."""
        if not self.is_right(handler.get_argument("password", default="")):
            return None
        return super().process_login_form(handler)


def say(*words):
    """One line to the outside."""
    try:
        sys.stdout.write("bareboat:" + " ".join(str(word) for word in words) + "\n")
        sys.stdout.flush()
    except OSError:
        pass


class Idle:
    """When something was last done: code ran, a terminal was used, or a request changed something."""

    def __init__(self, server, limit):
        self.server, self.limit, self.changed, self.warned = server, limit, time.time(), None
        log = server.web_app.settings["log_function"]

        def noticing(handler, *more, **named):
            if handler.request.method not in ("GET", "HEAD", "OPTIONS"):  # the page itself asks all the time
                self.changed = time.time()
            return log(handler, *more, **named)

        server.web_app.settings["log_function"] = noticing

    def last(self):
        """Seconds since the epoch; now, while a kernel is at work."""
        times = [self.changed]
        kernels = self.server.kernel_manager
        for kernel in kernels.list_kernels():
            if kernel.get("execution_state") == "busy":
                return time.time()
            times.append(_seconds(kernel.get("last_activity")))
        terminals = self.server.web_app.settings.get("terminal_manager")
        for terminal in terminals.list() if terminals else ():
            times.append(_seconds(terminal.get("last_activity")))
        return max(times)

    def look(self):
        """Warn once for each time left, and end."""
        left = self.limit - (time.time() - self.last())
        if left <= 0:
            say("stopped")
            self.server.stop()
            return
        due = [warning for warning in WARNINGS if left <= warning < self.limit]
        if not due:
            self.warned = None
        elif self.warned is None or min(due) < self.warned:
            self.warned = min(due)
            say("idle", int(left))


async def ready(server):
    """Say when the server really answers: extensions are loaded before it listens."""
    while True:
        try:
            _, writer = await asyncio.open_connection(server.ip, server.port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            say("ready")
            return


def end_soon(server, seconds=5.0):
    """Make a stop the end: threads of the server's that serve files may wait for ever, and so would its process."""
    stop = server.stop

    def stopping(*words, **named):
        last = threading.Timer(seconds, os._exit, (0,))
        last.daemon = True
        last.start()
        return stop(*words, **named)

    server.stop = stopping


def stop_when_asked(server):
    """^C and stop mean the stop above. Without a terminal the server would leave ^C to Python, which waits at its exit
    for those threads.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: server.io_loop.add_callback_from_signal(server.stop))


def _seconds(value):
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return 0.0
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    return 0.0


def _jupyter_server_extension_points():
    return [{"module": "bareboat_lab"}]


def _load_jupyter_server_extension(server):
    from tornado.ioloop import PeriodicCallback

    end_soon(server)
    server.io_loop.add_callback(stop_when_asked, server)  # behind the server's own handlers
    limit = float(os.environ.get("BAREBOAT_IDLE_STOP") or 0)
    if limit > 0:
        idle = Idle(server, limit)
        timer = PeriodicCallback(idle.look, 1000 * max(min(20.0, limit / 5), 0.2))
        server.io_loop.add_callback(timer.start)
    server.io_loop.add_callback(ready, server)

"""python -m bareboat.entry.notify: runs the command and calls the webhook that were asked for at the end of a run.

Its task is a file on descriptor 0; what the command writes goes to the log that it was started with.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

TRIES, PATIENCE = 3, 15.0  # of the webhook; seconds for each
MOST = 600.0  # seconds that a command may take
_COMMAND = "BAREBOAT_NOTIFY"  # in the environment, which others cannot see as they see arguments
_SHELL = ("/bin/sh", "-c", f'set -- "${_COMMAND}"; unset {_COMMAND}; eval "$1"')


def main() -> int:
    """0 when all that was asked for was done."""
    with open(0, "rb", closefd=False) as file:
        task = json.loads(file.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    wrong = 0
    if task["webhook"]:
        wrong |= not call(task["webhook"], task["about"])
    if task["command"]:
        from bareboat.verbs.over import variables

        wrong |= not done(task["command"], {**os.environ, **variables(task["about"])})
    return int(wrong)


def done(command: str, env: Mapping[str, str], most: float = MOST) -> bool:
    """Whether it ended with 0 within its time; what has not is killed, with what it started."""
    pid = os.posix_spawn(_SHELL[0], _SHELL, {**env, _COMMAND: command}, setsid=True)
    try:
        with _within(most):
            return os.waitpid(pid, 0)[1] == 0
    except TimeoutError:
        sys.stderr.write(f"the command has not ended in {most:g} s, and is killed\n")
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return False


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """TimeoutError where what is inside takes longer, however it waits."""
    def over(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def call(url: str, about: Mapping[str, str], pause: float = 2.0, patience: float = PATIENCE) -> bool:
    """POST it as JSON; tried again where nobody answers or a server has trouble of its own. No URL is written down, and
    no redirect is followed: it could lead anywhere.
    """
    import urllib3

    from bareboat.errors import BareboatError
    from bareboat.transport import Timeouts, Transport, reason, split_credentials

    def said(error: Exception) -> str:
        return error.what if isinstance(error, BareboatError) else reason(error)

    if not url.startswith(("http://", "https://")):
        sys.stderr.write("the webhook is no http or https URL\n")
        return False
    url, authorization = split_credentials(url)
    body = json.dumps(about).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)),
               **({"Authorization": authorization} if authorization else {})}
    transport = Transport(timeouts=Timeouts(patience, patience))
    for tried in range(TRIES):
        if tried:
            time.sleep(pause)
        try:
            with _within(patience):  # in all, however slowly it answers; what it says is not read
                answer = transport.request("POST", url, headers, (body,))
                answer.close()
        except TimeoutError:
            sys.stderr.write(f"the webhook has not answered in {patience:g} s\n")
            continue
        except (urllib3.exceptions.HTTPError, BareboatError) as error:
            sys.stderr.write(f"the webhook cannot be reached: {said(error)}\n")
            continue
        if answer.status < 300:
            return True
        sys.stderr.write(f"the webhook answered {answer.status}\n")
        if 300 <= answer.status < 400:
            sys.stderr.write("it leads elsewhere, which is not followed: give the URL where it leads to\n")
        if answer.status < 500 and answer.status != 429:
            return False
    return False


if __name__ == "__main__":
    sys.exit(main())

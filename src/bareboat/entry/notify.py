"""python -m bareboat.entry.notify: runs the command and calls the webhook that were asked for at the end of a run.

Its task is a file on descriptor 0; what the command writes goes to the log that it was started with.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping

TRIES, PATIENCE = 3, 15.0  # of the webhook; seconds for each


def main() -> int:
    """0 when all that was asked for was done."""
    with open(0, "rb", closefd=False) as file:
        task = json.loads(file.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    wrong = 0
    if task["command"]:
        from bareboat.verbs.over import variables

        env = {**os.environ, **variables(task["about"])}
        pid = os.posix_spawn("/bin/sh", ("/bin/sh", "-c", task["command"]), env)
        wrong |= os.waitpid(pid, 0)[1] != 0
    if task["webhook"]:
        wrong |= not call(task["webhook"], task["about"])
    return int(wrong)


def call(url: str, about: Mapping[str, str], pause: float = 2.0) -> bool:
    """POST it as JSON; tried again where nobody answers or a server has trouble of its own. No URL is written down, and
    no redirect is followed: it could lead anywhere.
    """
    import urllib3

    from bareboat.transport import Timeouts, Transport, reason, split_credentials

    if not url.startswith(("http://", "https://")):
        sys.stderr.write("the webhook is no http or https URL\n")
        return False
    url, authorization = split_credentials(url)
    body = json.dumps(about).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)),
               **({"Authorization": authorization} if authorization else {})}
    transport = Transport(timeouts=Timeouts(PATIENCE, PATIENCE))
    for tried in range(TRIES):
        if tried:
            time.sleep(pause)
        try:
            answer = transport.request("POST", url, headers, (body,))
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            sys.stderr.write(f"the webhook cannot be reached: {reason(error)}\n")
            continue
        if answer.status < 300:
            return True
        sys.stderr.write(f"the webhook answered {answer.status}\n")
        if answer.status < 500 and answer.status != 429:
            return False
    return False


if __name__ == "__main__":
    sys.exit(main())

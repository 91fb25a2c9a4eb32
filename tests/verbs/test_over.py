"""The end of a queued run is told: by a command, and to a webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.life_kit import until
from tests.queue_kit import Yard

from bareboat.entry import notify
from bareboat.queue.base import Entry
from bareboat.training.values import Retry, Training, Watch
from bareboat.verbs.over import about, variables


class Heard:
    """A webhook's other side. answers: its codes, the last of them from there on."""

    def __init__(self, *answers: int) -> None:
        self.bodies: list[dict[str, str]] = []
        left = list(answers)
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.close()


def test_command_and_webhook_at_the_end_and_not_between_attempts(yard: Yard, tmp_path: Path) -> None:
    hook = Heard(200)
    try:
        said = tmp_path / "said"
        watch = Watch(f'echo "$BAREBOAT_NAME $BAREBOAT_STATE $BAREBOAT_EXIT_CODE" >> {said}', hook.url)
        run, = yard.submit("exit 3", name="unet", training=Training(retry=Retry(retries=1), watch=watch))
        yard.wake()
        yard.over(run)
        until(lambda: hook.bodies)
        assert said.read_text() == "unet failed 3\n"
        assert hook.bodies == [{"run": run, "name": "unet", "state": "failed", "reason": yard.entry(run).reason,
                                "exit_code": "3"}]
    finally:
        hook.close()


@pytest.mark.parametrize(("answers", "done", "times"), [((200,), True, 1), ((503, 200), True, 2), ((404,), False, 1),
                                                        ((500,), False, notify.TRIES)])
def test_a_webhook_is_tried_again_where_that_can_help(answers: tuple[int, ...], done: bool, times: int) -> None:
    hook = Heard(*answers)
    try:
        assert notify.call(hook.url, {"run": "a"}, pause=0.0) is done
        assert len(hook.bodies) == times
    finally:
        hook.close()


def test_only_http_is_called() -> None:
    assert not notify.call("file:///etc/passwd", {})
    assert not notify.call("http://127.0.0.1:1/", {}, pause=0.0)


def test_what_is_told() -> None:
    told = about(Entry("r", "s", "n", state="cancelled", reason="stopped"))
    assert told == {"run": "r", "name": "n", "state": "cancelled", "reason": "stopped", "exit_code": ""}
    assert {"BAREBOAT_RUN", "BAREBOAT_NAME", "BAREBOAT_STATE", "BAREBOAT_REASON", "BAREBOAT_EXIT_CODE"} <= set(
        variables(told))

"""The end of a queued run is told: by a command, and to a webhook."""

from __future__ import annotations

import json
import os
import socket
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
from bareboat.verbs import queued
from bareboat.verbs.over import about, about_all, variables


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
        until(lambda: said.exists() and said.read_text() == "unet failed 3\n")
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


def test_a_sweep_is_told_of_once_at_its_end(yard: Yard, tmp_path: Path) -> None:
    said = tmp_path / "said"
    watch = Watch(f'echo "$BAREBOAT_NAME $BAREBOAT_STATE $BAREBOAT_REASON" >> {said}')
    runs = yard.submit("exit 0", "exit 3", "exit 0", name="lr", training=Training(watch=watch))
    yard.wake()
    for run in runs:
        yard.over(run)
    until(lambda: said.exists() and said.read_text())
    queued.resume(runs[1], yard.queue)
    yard.wake()
    yard.until(runs[1], lambda entry: entry.attempt == 2 and entry.state == "failed")
    until(lambda: said.read_text().count("\n") > 1)
    told = "failed 2 succeeded, 1 failed\n"
    assert [line.partition(" ")[2] for line in said.read_text().splitlines(keepends=True)] == [told] * 2


def test_the_command_is_in_nobodys_arguments(tmp_path: Path) -> None:
    command = f'tr "\\0" " " < /proc/$$/cmdline > {tmp_path}/argv; echo "$BAREBOAT_NOTIFY" > {tmp_path}/env; : token-77'
    assert notify.done(command, {"PATH": os.environ["PATH"]})
    assert "token-77" not in (tmp_path / "argv").read_text() and "sh -c" in (tmp_path / "argv").read_text()
    assert (tmp_path / "env").read_text() == "\n"  # nor in the variables of what it starts


def test_a_command_that_does_not_end_is_killed_with_all_it_started(tmp_path: Path) -> None:
    command = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
    assert not notify.done(command, {"PATH": os.environ["PATH"]}, most=0.5)
    pid = (tmp_path / "pid").read_text().strip()
    until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def test_a_webhook_that_answers_a_byte_at_a_time_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            while not stop.is_set():
                server.settimeout(0.05)
                try:
                    client, _ = server.accept()
                except OSError:
                    continue
                with client:
                    for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000:
                        if stop.wait(0.02):
                            return
                        try:
                            client.send(bytes((letter,)))
                        except OSError:
                            break

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert not notify.call(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, pause=0.0, patience=0.3)
        finally:
            stop.set()
            thread.join()


def test_a_redirect_is_told_and_not_followed(capfd: pytest.CaptureFixture[str]) -> None:
    hook = Heard(302)
    try:
        assert not notify.call(hook.url, {"run": "a"}, pause=0.0) and len(hook.bodies) == 1
        err = capfd.readouterr().err
        assert "answered 302" in err and "not followed" in err and hook.url not in err
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


def test_what_is_told_of_a_sweep() -> None:
    assert about_all("s", "lr", {"succeeded": 9, "failed": 1, "cancelled": 2}) == {
        "run": "s", "name": "lr", "state": "failed", "reason": "9 succeeded, 1 failed, 2 cancelled", "exit_code": ""}
    assert about_all("s", "", {"succeeded": 9})["state"] == "succeeded"
    assert about_all("s", "", {"succeeded": 9, "cancelled": 1})["state"] == "cancelled"

"""train: its words as a request, and what the project's table says where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.cli.plain import about
from bareboat.cli.queue import sent_line, why
from bareboat.cli.train import parse, request_of
from bareboat.errors import BareboatError
from bareboat.queue.base import Entry
from bareboat.queue.policy import Wait
from bareboat.training.values import Checkpoints, Interrupt, Need, Retry, Training, Watch
from bareboat.values import replace
from bareboat.verbs.queue import Row
from bareboat.verbs.train import Sent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    return tmp_path


def training(*words: str) -> Training:
    return request_of(parse([*words, "--", "python", "t.py"])).training


def test_nothing_said() -> None:
    request = request_of(parse(["--", "python", "t.py"]))
    assert request.training == Training() and request.gpus is None and request.spread is None
    assert request.run.program == ("python", "t.py")


def test_everything_said() -> None:
    words = ("--gpus 0.5 --max-time 1h30m --priority 3 --after a --after b --retries 2 --retry-on 1,137 --fail-on 2 "
             "--requeue-on 85 --requeue-at-limit --warning TERM --grace 2min --preemptible --checkpoint-complete DONE "
             "--keep-checkpoints 3 --notify true --webhook http://x/ --hang 0 --name unet --label a=b")
    request = request_of(parse([*words.split(), "--", "t"]))
    assert request.training == Training(
        Need(seconds=5400.0), Interrupt(15, 120.0), Retry(2, (1, 137), (2,), (85,), True), Checkpoints("DONE", 3),
        Watch("true", "http://x/", 0.0), 3, True, ("a", "b"))
    assert (request.gpus, request.run.name, request.labels) == ("0.5", "unet", (("a", "b"),))


@pytest.mark.parametrize(("words", "code"), [
    (("--retries", "-1"), "usage.number"), (("--keep-checkpoints", "-2"), "usage.number"),
    (("--nodes", "0"), "usage.number"), (("--nodes", "2"), "usage.nodes"), (("--retry-on", "x"), "usage.exit-codes"),
    (("--fail-on", "1,300"), "usage.exit-codes"), (("--max-time", "soon"), "usage.time"),
    (("--warning", "NOPE"), "usage.signal"), (("--partition", "batch"), "usage.scheduler"),
    (("--engine", "kubernetes", "--partition", "batch"), "usage.scheduler"),
])
def test_what_makes_no_sense(words: tuple[str, ...], code: str) -> None:
    with pytest.raises(BareboatError) as told:
        training(*words)
    assert told.value.code == code and (told.value.where or told.value.hint)


def test_the_project_says_what_the_options_do_not(folder: Path) -> None:
    (folder / "bareboat.toml").write_text('''
        [train]
        max-time = "8h"
        retries = 2
        retry-on = [1, 137]
        requeue-on = []
        requeue-at-limit = true
        preemptible = false
        keep-checkpoints = 3
        grace = "2min"
        ''')
    assert training() == Training(Need(seconds=28800.0), Interrupt(grace=120.0), Retry(2, (1, 137), (), (), True),
                                  Checkpoints("", 3), preemptible=False)
    said = training("--retries", "0", "--max-time", "1h", "--no-requeue-at-limit", "--preemptible")
    assert (said.retry.retries, said.need.seconds, said.retry.at_limit, said.preemptible) == (0, 3600.0, False, True)


def test_the_project_of_somewhere_else_says_nothing_of_an_image(folder: Path) -> None:
    (folder / "bareboat.toml").write_text("[train]\nretries = 2\n")
    assert request_of(parse(["image:1", "python"])).training.retry.retries == 0
    (folder / "bareboat.toml").write_text('[train]\nretries = 2\n[commands]\nfit = "python t.py"\n')
    assert request_of(parse(["fit"])).training.retry.retries == 2


def sent(total: int = 1, **need: object) -> Sent:
    return Sent("s", "unet", Training(Need(**need)), (Entry("r", "s", "unet"),), total)  # type: ignore[arg-type]


@pytest.mark.parametrize(("what", "wait", "line"), [
    (sent(gpus=2.0), Wait(0, "r", "waits for GPUs", 3, 2400.0),
     "queued    unet · attempt 1 · 2 GPUs · 3 ahead of you · starts in about 40 min"),
    (sent(), Wait(0, "r"), "queued    unet · attempt 1"),
    (sent(gpus=0.5), Wait(0, "r", "after a"), "queued    unet · attempt 1 · 0.5 GPUs · after a"),
    (sent(12, gpus=1.0), Wait(0, "r"), "queued    unet · 12 runs · 1 GPU"),
])
def test_what_is_said_of_it(what: Sent, wait: Wait, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert sent_line(what, wait) == line


def test_times_as_people_say_them() -> None:
    assert [about(s) for s in (0, 59, 600, 5399, 5400, 36001, 200000)] == [
        "1 s", "59 s", "10 min", "90 min", "1.5 h", "10 h", "2 d"]



def test_how_many_are_ahead_is_said_once() -> None:
    waits = Row(0, "r", "name", "pending", "2 ahead", ahead=2, starts=700.0)
    assert why(waits, 100.0) == "2 ahead; starts in about 10 min"
    assert why(replace(waits, why="waits for 2 CPUs"), 100.0) == "waits for 2 CPUs; 2 ahead; starts in about 10 min"


def test_a_webhook_is_an_http_url() -> None:
    with pytest.raises(BareboatError) as error:
        request_of(parse(["--webhook", "ftp://x/y", "--", "true"]))
    assert error.value.code == "usage.webhook"

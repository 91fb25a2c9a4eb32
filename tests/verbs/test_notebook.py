"""notebook over a world of our own: what the server gets, what is said of it, and where its token is."""

from __future__ import annotations

import re

import pytest
from tests.world_kit import World

from bareboat.cli.notebook import seconds
from bareboat.engine.memory import Guest
from bareboat.errors import UsageError
from bareboat.verbs.notebook import Caller, Heard, NotebookRequest, notebook
from bareboat.verbs.prepare import RunRequest
from bareboat.verbs.runs import RunFilter, runs

SERVER = "/opt/bareboat/lab/bin/python"


class Session:
    def __init__(self, world: World, **environ: str) -> None:
        self.world, self.urls, self.pages, self.guests = world, [], [], []
        self.environ = environ
        for name in ("pip", "jupyterlab", "nbclient", "ipykernel"):
            world.publish(name, "1.0")
        self.says: list[bytes] = [b"bareboat:ready\n"]

        def serve(guest: Guest) -> int:
            self.guests.append(guest)
            self.token = guest.read("/run/bareboat/notebook-token").decode()
            for chunk in self.says:
                guest.streams.stdout(chunk)
            return 0

        world.program(SERVER, serve)

    def __call__(self, **more: object) -> None:
        caller = Caller(self.urls.append, lambda page: self.pages.append(page.read_text()), lambda question: False,
                        self.environ)
        notebook(NotebookRequest(RunRequest(), **more), self.world.work, caller)  # type: ignore[arg-type]


def test_the_token_is_in_the_url_and_nowhere_else(world: World) -> None:
    world.require("beta")
    session = Session(world)
    session()
    guest = session.guests[0]
    assert session.urls == [f"http://127.0.0.1:{guest.workload.argv[6].partition('=')[2]}/lab?token={session.token}"]
    assert re.fullmatch(r"[0-9a-f]{64}", session.token) and session.token in session.pages[0]
    record = runs(world.store, RunFilter(kind="session")).runs[0]
    told = [*guest.workload.argv, *map(str, guest.workload.env), world.tell.text, str(record.document())]
    assert not any(session.token in text for text in told)
    left = [p for p in world.store.home.rglob("*") if p.is_file() and session.token.encode() in p.read_bytes()]
    assert left == []
    session()
    assert session.urls[0] != session.urls[1]


def test_the_code_is_writable_and_the_floor_is_not(world: World) -> None:
    world.require("beta")
    (world.root / "data").mkdir()
    (world.root / "notebooks").mkdir()
    session = Session(world)

    def serve(guest: Guest) -> int:
        guest.write("/app/src/a.ipynb", b"1")
        guest.write("/app/notebooks/b.ipynb", b"2")
        for path in ("/app/c.ipynb", "/app/data/d", "/run/bareboat/notebook-token"):
            with pytest.raises(PermissionError):
                guest.write(path, b"")
        assert "--FileContentsManager.preferred_dir=/app/notebooks" in guest.workload.argv
        return 0

    world.program(SERVER, serve)
    session()
    assert (world.root / "src/a.ipynb").exists() and (world.root / "notebooks/b.ipynb").exists()


def test_the_projects_own_ipykernel_is_not_brought_again(world: World) -> None:
    world.require("ipykernel")
    session = Session(world)
    session()
    load = session.guests[0].workload
    brought = {m.target: m.source for m in load.mounts}["/opt/bareboat/kernel"]
    assert any("-ipykernel-" in str(tree) for tree in load.root.trees)
    assert not list(brought.glob("lib/*/site-packages/ipykernel*"))


def test_over_ssh_the_line_to_forward_is_said(world: World) -> None:
    world.require("beta")
    Session(world, SSH_CONNECTION="10.0.0.2 50000 10.0.0.9 22")(idle=7200)
    assert re.search(r"ssh -N -L (\d+):127\.0\.0\.1:\1 \S+@10\.0\.0\.9", world.tell.text)
    assert "stops by itself after 2 h without activity" in world.tell.text


def test_idleness_is_said_once_and_other_output_is_passed_on(world: World) -> None:
    ready: list[bool] = []
    heard = Heard(world.work, lambda: ready.append(True))
    chunks = [b"hello\nbareb", b"oat:ready\nbareboat:ready\nbar", b"e\nbareboat:idle 600\nno newline",
              b" yet\nbareboat:sto", b"pped\n"]
    assert b"".join(map(heard.take, chunks)) == b"hello\nbare\nno newline yet\n"
    assert ready == [True] and heard.idle and world.tell.lines == [
        "nothing happens in the notebook: it stops in 10 min"]


def test_python_2_is_refused_with_what_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from tests.sessions.test_notebook import PLAN

    from bareboat.verbs.notebook import lab_tools

    old = replace(PLAN, interpreter=replace(PLAN.interpreter, version="2.7"))
    with pytest.raises(UsageError) as caught:
        lab_tools(old, "project", world.work)
    assert caught.value.code == "notebook.python"


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("90", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172800)])
def test_times(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "-1", "2 weeks", "nan", "1e99", "inf"])
def test_bad_times(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text)

"""Who may enter, and when nobody is there: the server's extension, with Jupyter's own classes stood in for."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

TOKEN = "a" * 64


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Provider:
        token = TOKEN

        def get_token(self, handler: Any) -> str | None:
            return handler.typed  # type: ignore[no-any-return]

        async def get_user_token(self, handler: Any) -> str | None:
            return "user" if handler.typed == self.token else None

        def process_login_form(self, handler: Any) -> str | None:
            return "user" if handler.get_argument("password") == self.token else None

    for name in ("jupyter_server", "jupyter_server.auth"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["jupyter_server.auth"].IdentityProvider = Provider  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "bareboat.sessions.lab_inside", raising=False)
    import bareboat.sessions.lab_inside as module

    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now, time=lambda: clock.now))
    module.clock = clock
    yield module
    del sys.modules["bareboat.sessions.lab_inside"]


def enter(identity: Any, typed: str | None) -> str | None:
    return asyncio.run(identity.get_user_token(SimpleNamespace(typed=typed)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("typed", [None, "", "x", TOKEN[:-1], TOKEN + "a", "é" * 64])
def test_only_the_token_opens(inside: Any, typed: str | None) -> None:
    identity = inside.Identity()
    assert enter(identity, typed) is None and enter(identity, TOKEN) == "user"


def test_guesses_are_looked_at_a_few_times_a_second(inside: Any) -> None:
    identity = inside.Identity()
    for _ in range(inside.BURST):
        assert enter(identity, "wrong") is None
    assert enter(identity, TOKEN) is None  # not even the right one is looked at now
    inside.clock.now += 1 / inside.A_SECOND
    assert enter(identity, TOKEN) == "user"
    assert enter(identity, TOKEN) == "user"  # right ones cost nothing


def test_the_form_has_the_same_door(inside: Any) -> None:
    identity = inside.Identity()
    form = SimpleNamespace(get_argument=lambda name, default="": "wrong")
    for _ in range(inside.BURST + 1):
        assert identity.process_login_form(form) is None
    right = SimpleNamespace(get_argument=lambda name, default="": TOKEN)
    assert identity.process_login_form(right) is None
    inside.clock.now += 10
    assert identity.process_login_form(right) == "user"


def idle(inside: Any, limit: float, kernels: list[dict[str, str]], terminals: list[dict[str, str]]) -> Any:
    settings = {"log_function": lambda handler: None,
                "terminal_manager": SimpleNamespace(list=lambda: terminals)}
    server = SimpleNamespace(web_app=SimpleNamespace(settings=settings), stopped=False,
                             kernel_manager=SimpleNamespace(list_kernels=lambda: kernels))
    server.stop = lambda: setattr(server, "stopped", True)
    return inside.Idle(server, limit)


def test_it_warns_and_ends_when_nothing_happens(inside: Any, capsys: pytest.CaptureFixture[str]) -> None:
    watch = idle(inside, 3600, [], [])
    for step in (2900, 100, 50, 500, 51):
        inside.clock.now += step
        watch.look()
    assert watch.server.stopped
    assert capsys.readouterr().out == "bareboat:idle 600\nbareboat:idle 50\nbareboat:stopped\n"


def test_work_terminals_and_changes_are_activity_and_looking_is_not(inside: Any) -> None:
    kernels, terminals = [{"execution_state": "busy", "last_activity": ""}], [{"last_activity": ""}]
    watch = idle(inside, 60, kernels, terminals)
    inside.clock.now += 1000
    watch.look()
    assert not watch.server.stopped  # a kernel is at work
    kernels[0] = {"execution_state": "idle", "last_activity": "1970-01-01T00:18:20Z"}  # second 1100
    assert watch.last() == 1100.0
    terminals[0] = {"last_activity": "1970-01-01T00:18:25.500000Z"}
    assert watch.last() == 1105.5
    log = watch.server.web_app.settings["log_function"]
    inside.clock.now = 2000.0
    log(SimpleNamespace(request=SimpleNamespace(method="GET")))
    assert watch.last() == 1105.5
    log(SimpleNamespace(request=SimpleNamespace(method="PUT")))
    assert watch.last() == 2000.0

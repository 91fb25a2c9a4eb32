"""Whose password and token goes where, and how often a token server is asked."""

from __future__ import annotations

import json
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from bareboat.registry.auth import Authenticator, Credential, Exchange
from bareboat.registry.base import RegistryError
from bareboat.registry.secret import MASK, Secret

PASSWORD = "canary-pAssw0rd"
USER = Credential("user", Secret(PASSWORD))
PULL, PUSH = ("repository:a/b:pull",), ("repository:a/b:pull,push",)


@dataclass
class TokenServer:
    """Gives numbered tokens."""

    life: int = 300
    status: int = 200
    answer: bytes = b""
    asked: list[Exchange] = field(default_factory=list)

    def __call__(self, request: Exchange) -> tuple[int, bytes]:
        self.asked.append(request)
        time.sleep(0.01)
        said = self.answer or json.dumps({"token": f"t{len(self.asked)}", "expires_in": self.life}).encode()
        return self.status, said


def auth(server: TokenServer, base: str = "https://r.example", credential: Credential | None = USER) -> Authenticator:
    return Authenticator(base, lambda: credential, server, "r.example/a/b")


def bearer(realm: str = "https://auth.example/token", **more: str) -> list[str]:
    return ["Bearer " + ",".join(f'{k}="{v}"' for k, v in {"realm": realm, "service": "s", **more}.items())]


def test_nothing_is_said_before_the_registry_asks() -> None:
    server = TokenServer()
    assert auth(server).header(PULL) == "" and server.asked == []


def test_a_token_for_each_scope_once() -> None:
    server = TokenServer()
    it = auth(server)
    assert it.challenged(bearer(), PULL, "")
    assert [it.header(PULL), it.header(PULL), it.header(PUSH), it.header(PULL)] == [
        "Bearer t1", "Bearer t1", "Bearer t2", "Bearer t1"]
    assert [r.url for r in server.asked] == [
        "https://auth.example/token?service=s&scope=repository%3Aa%2Fb%3Apull&account=user",
        "https://auth.example/token?service=s&scope=repository%3Aa%2Fb%3Apull%2Cpush&account=user"]


def test_many_threads_share_one_token() -> None:
    server = TokenServer()
    it = auth(server)
    it.challenged(bearer(), PULL, "")
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: it.header(PULL), range(32))) == {"Bearer t1"}
    assert len(server.asked) == 1


def test_a_token_that_is_refused_is_had_anew_and_then_it_is_enough() -> None:
    server = TokenServer()
    it = auth(server)
    it.challenged(bearer(), PULL, "")
    assert it.challenged(bearer(), PULL, it.header(PULL)) and it.header(PULL) == "Bearer t2"
    server.answer = b'{"token": "same"}'
    assert it.challenged(bearer(), PULL, "Bearer t2")
    assert not it.challenged(bearer(), PULL, "Bearer same"), "the same again is no reason for another try"


def test_a_token_at_its_end_is_not_used() -> None:
    server = TokenServer(life=1)
    it = auth(server)
    it.challenged(bearer(), PULL, "")
    first = it.header(PULL)
    time.sleep(1.1)
    assert it.header(PULL) != first


@pytest.mark.parametrize(("realm", "base"), [
    ("http://auth.example/token", "https://r.example"), ("http://r.example/token", "https://r.example"),
    ("http://other.example/token", "http://r.example"), ("http://localhost:1/token", "http://127.0.0.1:1"),
    ("ftp://r.example/", "https://r.example"), ("//r.example/token", "https://r.example"), ("/token", "https://r.example"),
    ("https://user:pw@auth.example/", "https://r.example"), ("https://auth.example:99999/", "https://r.example"),
    ("https://auth.example/\u200b", "https://r.example"), ("https://[::1/", "https://r.example"),
])  # fmt: skip
@pytest.mark.parametrize("credential", [USER, None])
def test_a_token_server_that_is_not_asked(realm: str, base: str, credential: Credential | None) -> None:
    server = TokenServer()
    it = auth(server, base, credential)
    with pytest.raises(RegistryError) as caught:
        it.challenged(bearer(realm), PULL, "")
    assert caught.value.code == "registry.realm" and server.asked == []


@pytest.mark.parametrize(("realm", "base"), [
    ("https://elsewhere.example/token", "https://r.example"), ("http://127.0.0.1:2/token", "http://127.0.0.1:1"),
    ("https://r.example/token?x=1", "http://r.example"),
])  # fmt: skip
def test_a_token_server_that_is_asked(realm: str, base: str) -> None:
    server = TokenServer()
    assert auth(server, base).challenged(bearer(realm), PULL, "")
    assert server.asked[0].url.startswith(realm)
    assert server.asked[0].headers["Authorization"].startswith("Basic ")


def test_basic_needs_a_user_and_is_said_once() -> None:
    server = TokenServer()
    it = auth(server)
    assert it.challenged(["Basic realm=x"], PULL, "")
    said = it.header(PULL)
    assert said.startswith("Basic ") and not it.challenged(["Basic realm=x"], PULL, said)
    assert not auth(server, credential=None).challenged(["Basic realm=x"], PULL, "")
    assert server.asked == []


def test_anonymous_tokens() -> None:
    server = TokenServer()
    it = auth(server, credential=None)
    assert it.challenged(bearer(), PULL, "") and "Authorization" not in server.asked[0].headers
    assert "account" not in server.asked[0].url


def test_an_identity_token_goes_by_post() -> None:
    server = TokenServer()
    it = auth(server, credential=Credential(identity=Secret("identity-canary")))
    assert it.challenged(bearer(), PULL, "")
    [request] = server.asked
    assert "identity-canary" not in request.url and request.body is not None
    assert b"grant_type=refresh_token" in request.body and b"refresh_token=identity-canary" in request.body


def test_a_registry_token_is_used_as_it_is() -> None:
    server = TokenServer()
    it = auth(server, credential=Credential(bearer=Secret("given")))
    assert it.challenged(bearer(), PULL, "") and it.header(PULL) == "Bearer given" and server.asked == []


@pytest.mark.parametrize(("said", "asked"), [
    ("repository:a/b:pull", []), ("repository:a/b:pull,push", []), ("repository:victim/x:pull,push", []),
    ("registry:catalog:*", []), ("aws", ["aws"]),
    ("repository:virtual/a/b:pull", ["repository%3Avirtual%2Fa%2Fb%3Apull"]),
])  # fmt: skip
def test_a_registry_cannot_have_us_ask_for_more_rights(said: str, asked: list[str]) -> None:
    server = TokenServer()
    auth(server).challenged(bearer(scope=said), PULL, "")
    scopes = [part.removeprefix("scope=") for part in server.asked[0].url.split("?")[1].split("&") if "scope=" in part]
    assert sorted(scopes) == sorted([*asked, "repository%3Aa%2Fb%3Apull"])


@pytest.mark.parametrize("answer", [
    b"", b"[]", b"{}", b"{", b'{"token": 3}', b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}', b"\xff", b"[" * 5000,
])  # fmt: skip
def test_a_token_server_that_answers_nonsense(answer: bytes) -> None:
    server = TokenServer(answer=answer or b" ")
    with pytest.raises(RegistryError) as caught:
        auth(server).challenged(bearer(), PULL, "")
    assert caught.value.code == "registry.token"


@pytest.mark.parametrize("life", ["null", '"60"', "-1", "0", "1e400", "true", "[]"])
def test_a_life_that_is_none_is_a_minute(life: str) -> None:
    server = TokenServer(answer=f'{{"access_token": "t", "expires_in": {life}}}'.encode())
    it = auth(server)
    assert it.challenged(bearer(), PULL, "") and it.header(PULL) == "Bearer t" and len(server.asked) == 1


@pytest.mark.parametrize("credential", [USER, None])
def test_a_login_that_is_refused(credential: Credential | None) -> None:
    with pytest.raises(RegistryError) as caught:
        auth(TokenServer(status=401), credential=credential).challenged(bearer(), PULL, "")
    assert caught.value.code == "registry.denied" and "bareboat login r.example" in caught.value.hint
    assert PASSWORD not in str(caught.value)


def test_a_way_to_log_in_that_is_not_known() -> None:
    for headers in (["Negotiate"], ["Bearer"], []):
        with pytest.raises(RegistryError) as caught:
            auth(TokenServer()).challenged(headers, PULL, "")
        assert caught.value.code == "registry.auth"
    with pytest.raises(RegistryError) as caught:
        auth(TokenServer()).challenged(['Bearer realm="x'], PULL, "")
    assert caught.value.code == "registry.answer"


def test_secrets_do_not_show() -> None:
    secret = Secret(PASSWORD)
    for text in (repr(secret), str(secret), f"{secret}", repr(USER), f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert PASSWORD not in text and MASK in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret == Secret(PASSWORD) and secret != PASSWORD and not Secret("")


def test_what_was_ever_used_is_masked() -> None:
    it = auth(TokenServer())
    it.challenged(bearer(), PULL, "")
    coded = "dXNlcjpjYW5hcnktcEFzc3cwcmQ="
    assert it.masked(f"you said {PASSWORD} and {coded}") == f"you said {MASK} and {MASK}"

"""What the contract does not see: which requests are made, how much is sent again, and over what."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_repository import CONFIG_BLOB, QUICK, blob, login, manifest, push
from tests.registry_kit import Registry, Reply, Request, Switches
from tests.token_kit import self_signed

from bareboat.image.reference import parse_reference
from bareboat.image.spec import LAYER, describe
from bareboat.registry.base import RegistryError
from bareboat.registry.client import RemoteRepository, open_remote
from bareboat.registry.hosts import RegistrySettings
from bareboat.registry.policy import Policy, Tries, may_repeat

DATA = hashlib.shake_256(b"client").digest(500_000)


def settings(**more: Any) -> RegistrySettings:
    given = {"env": {"HOME": "/nonexistent"}, "policy": QUICK, "etc": Path("/nonexistent"), **more}
    return RegistrySettings(**given)


def there(registry: Registry, name: str = "lab/seg", **more: Any) -> RemoteRepository:
    return open_remote(parse_reference(f"{registry.host}/{name}:1"), settings(**more))


@pytest.fixture
def registry() -> Iterator[Registry]:
    ours = Registry()
    yield ours
    ours.close()


def asked(registry: Registry) -> list[str]:
    return [f"{r.method} {r.path.removeprefix('/v2/lab/seg/')}" for r in registry.log]


def test_a_push_is_head_post_put(registry: Registry) -> None:
    there(registry).put_blob(blob(DATA))
    digest = describe(LAYER, DATA).digest
    assert asked(registry) == [f"HEAD blobs/{digest}", "POST blobs/uploads/", "PUT blobs/uploads/upload-1"]


def test_an_interrupted_push_sends_no_more_than_a_chunk_again(registry: Registry) -> None:
    cuts = iter((100_000, 50_000, 37))

    def cut(handler: Any, request: Request) -> bool:
        keep = next(cuts, None) if request.method in ("PUT", "PATCH") else None
        if keep is None:
            return False
        while len(request.body) < keep:
            request.body += handler.rfile.read1(keep - len(request.body))
        registry.partly(request)
        handler.close_connection = True
        return True

    registry.before = cut
    policy = replace(QUICK, gain=30_000)
    moved: list[int] = []
    repository = there(registry, policy=policy, observe=lambda sent, received: moved.append(sent))
    repository.put_blob(blob(DATA))
    stored = registry.repository("lab/seg").blobs[describe(LAYER, DATA).digest]
    taken = sum(len(r.body) for r in registry.log if r.method in ("PUT", "PATCH"))
    assert stored == DATA and taken <= len(DATA) + QUICK.chunk, "what the registry had is not sent again"


def test_an_upload_that_the_registry_forgot_begins_anew(registry: Registry) -> None:
    def forget(handler: Any, request: Request) -> bool:
        if request.method == "PUT" and registry.count == 1:
            registry.uploads.clear()
        return False

    registry.before = forget
    there(registry).put_blob(blob(DATA))
    assert registry.repository("lab/seg").blobs and registry.count == 2


def test_a_put_whose_answer_is_lost_is_found_to_be_done(registry: Registry) -> None:
    registry.after = lambda request, reply: Reply(0, raw=b"") if request.method == "PUT" else reply
    assert there(registry).put_blob(blob(DATA)).how == "sent"
    assert [a.split()[0] for a in asked(registry)] == ["HEAD", "POST", "PUT", "HEAD"]


def test_tokens_that_run_out_during_an_upload(tmp_path: Path) -> None:
    ours = Registry(Switches(auth="bearer", put_most=100_000))

    def forget(handler: Any, request: Request) -> bool:
        if request.method == "PATCH" and len([r for r in ours.log if r.method == "PATCH"]) == 3:
            ours.tokens.clear()
        return False

    ours.before = forget
    try:
        there(ours, env=login(tmp_path, ours.host, "user", "password")).put_blob(blob(DATA))
        assert ours.repository("lab/seg").blobs[describe(LAYER, DATA).digest] == DATA
        assert ours.count >= 3, "an upload and two tokens"
    finally:
        ours.close()


def test_a_mount_has_a_token_for_both(tmp_path: Path) -> None:
    ours = Registry(Switches(auth="bearer"))
    try:
        env = login(tmp_path, ours.host, "user", "password")
        there(ours, "lab/base", env=env).put_blob(blob(DATA))
        assert there(ours, env=env).put_blob(blob(DATA), mount="lab/base").how == "mounted"
        wanted = {"repository:lab/base:pull", "repository:lab/seg:push", "repository:lab/seg:pull"}
        assert any(wanted <= allowed for _, allowed in ours.tokens.values())
    finally:
        ours.close()


def test_bytes_on_the_wire_are_told(registry: Registry) -> None:
    sent, received = [], []
    lock = threading.Lock()

    def observe(out: int, back: int) -> None:
        with lock:
            sent.append(out)
            received.append(back)

    repository = there(registry, observe=observe)
    repository.put_blob(blob(DATA))
    assert sum(sent) == len(DATA)
    b"".join(repository.blob(describe(LAYER, DATA), 100_000))
    assert sum(received) == len(DATA) - 100_000


def test_mirrors_are_read_first_and_never_written_to(registry: Registry) -> None:
    mirror = Registry()
    try:
        content = manifest([], CONFIG_BLOB)
        push(there(mirror, "hub/lab/seg"), content, [CONFIG_BLOB], "1")
        mirror.log.clear()
        both = there(registry, mirrors=((registry.host, f"{mirror.url}/hub"),))
        assert both.manifest("1") == content and not registry.log
        assert both.name == f"{registry.host}/lab/seg"
        push(both, manifest([blob(b"x")], CONFIG_BLOB), [blob(b"x"), CONFIG_BLOB], "2")
        assert {r.method for r in mirror.log} == {"GET"} and registry.repository("lab/seg").tags
        assert both.manifest("2").data and both.tags() == ["1"], "the first that answers is believed"
        mirror.repositories.clear()
        mirror.after = lambda request, reply: replace(reply, status=500, body=b"")
        assert both.tags() == ["2"]
    finally:
        mirror.close()


def test_offline_only_this_machine_is_spoken_to(registry: Registry) -> None:
    assert there(registry, offline=True).head("1") is None
    with pytest.raises(RegistryError) as caught:
        open_remote(parse_reference("registry.example/x"), settings(offline=True)).manifest("1")
    assert caught.value.code == "registry.offline"


def test_a_registry_that_is_not_there() -> None:
    with pytest.raises(RegistryError) as caught:
        open_remote(parse_reference("127.0.0.1:9/x"), settings()).manifest("1")
    assert caught.value.code == "registry.unreachable" and "127.0.0.1:9" in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    crt, key = self_signed(folder)
    both = folder / "both.pem"
    both.write_text(crt.read_text() + key.read_text())
    return str(crt), str(both)


def test_tls_is_found_and_verified_on_the_loopback(certificate: tuple[str, str]) -> None:
    crt, both = certificate
    ours = Registry(certificate=both)
    try:
        with pytest.raises(RegistryError) as caught:
            there(ours).manifest("1")
        assert caught.value.code == "registry.tls" and "registry.ca" in caught.value.hint and not ours.log
        trusted = there(ours, ca=((ours.host, crt),))
        push(trusted, manifest([], CONFIG_BLOB), [CONFIG_BLOB], "1")
        assert trusted.tags() == ["1"] and there(ours, insecure=(ours.host,)).tags() == ["1"]
    finally:
        ours.close()


@pytest.mark.parametrize("what", ["redirect", "location", "link"])
def test_nothing_goes_from_tls_to_plain_http(certificate: tuple[str, str], registry: Registry, what: str) -> None:
    ours = Registry(certificate=certificate[1])
    try:
        def down(request: Request, reply: Reply) -> Reply:
            place = registry.url + request.target
            if what == "redirect":
                return Reply(307, {"Location": place})
            if what == "location":
                return replace(reply, headers={**reply.headers, "Location": place})
            return replace(reply, headers={**reply.headers, "Link": f'<{place}>; rel="next"'})

        repository = there(ours, ca=((ours.host, certificate[0]),))
        push(repository, manifest([], CONFIG_BLOB), [CONFIG_BLOB], "1")
        ours.after = down
        with pytest.raises(RegistryError) as caught:
            repository.put_blob(blob(DATA)) if what == "location" else repository.tags()
        assert caught.value.code == "registry.redirect" and not registry.log
    finally:
        ours.close()


def test_a_login_is_bound_to_its_host(tmp_path: Path, registry: Registry) -> None:
    """The same password file, another registry that asks for a password: it gets none."""
    other = Registry(Switches(auth="basic"))
    try:
        env = login(tmp_path, registry.host, "user", "password")
        with pytest.raises(RegistryError) as caught:
            there(other, env=env).manifest("1")
        assert caught.value.code == "registry.denied" and "bareboat login" in caught.value.hint
        assert not any("authorization" in r.headers for r in other.log)
    finally:
        other.close()


def test_what_the_registry_says_is_one_short_line(registry: Registry) -> None:
    said = {"errors": [{"code": "DENIED", "message": "no\x1b[31m\r\nway " + "x" * 5000}]}
    registry.after = lambda request, reply: Reply(400, {}, json.dumps(said).encode())
    with pytest.raises(RegistryError) as caught:
        there(registry).manifest("1")
    assert "DENIED, no [31m way xxx" in caught.value.what and len(caught.value.what) < 400
    assert "\n" not in caught.value.what and "\x1b" not in caught.value.what


@pytest.mark.parametrize(("method", "status", "again"), [
    ("GET", 0, True), ("GET", 503, True), ("GET", 404, False), ("GET", 501, False), ("HEAD", 429, True),
    ("POST", 502, True), ("POST", 400, False), ("PATCH", 503, False), ("PUT", 500, False), ("PUT", 0, False),
    ("DELETE", 503, False), ("GET", 401, False), ("GET", 200, False),
])  # fmt: skip
def test_what_is_tried_again(method: str, status: int, again: bool) -> None:
    assert may_repeat(method, status) is again


def test_tries_are_counted_and_only_a_step_forward_counts_as_one() -> None:
    error = RegistryError("registry.cut", "x", where="y")
    tries = Tries(Policy(tries=3, backoff=0.0, gain=100))
    tries.again(error)
    tries.progress(99)
    tries.again(error)
    with pytest.raises(RegistryError):
        tries.again(error)
    tries.progress(100)
    tries.again(error)
    with pytest.raises(RegistryError):
        tries.again(error, wait=10_000)

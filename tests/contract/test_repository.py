"""One suite for every Repository: the fake, a layout in a directory, and HTTP against a registry of ours with its
switches and against Debian's docker-registry, open, with htpasswd and with a token server.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.docker_registry import docker_registry, free_port, need
from tests.registry_kit import Registry, Switches
from tests.token_kit import TokenServer

from bareboat.image.manifest import DOCKER_CONFIG, DOCKER_MANIFEST
from bareboat.image.reference import parse_reference
from bareboat.image.spec import CONFIG, INDEX, LAYER, MANIFEST, Descriptor, canonical, describe
from bareboat.registry.base import Blob, Content, RegistryError, Repository
from bareboat.registry.client import open_remote
from bareboat.registry.hosts import RegistrySettings
from bareboat.registry.layout import open_layout
from bareboat.registry.memory import MemoryRegistry
from bareboat.registry.policy import Policy
from bareboat.registry.transfer import read_blob

QUICK = Policy(tries=3, backoff=0.001, longest=0.01, deadline=20, connect=5, read=5, chunk=65536)
Open = Callable[[str], Repository]


@dataclass(frozen=True)
class Place:
    """open(name): a repository of the place. mounts: whether it can; http: whether it is a registry."""

    open: Open
    mounts: bool = False
    http: bool = False


def login(home: Path, host: str, user: str, password: str) -> dict[str, str]:
    """An environment whose config.json knows this login."""
    file = home / ".docker/config.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    file.chmod(0o600)
    return {"HOME": str(home), "PATH": "/nowhere"}


def remote(host: str, env: dict[str, str] | None = None) -> Open:
    settings = RegistrySettings(env=env or {"HOME": "/nonexistent"}, policy=QUICK, etc=Path("/nonexistent"))
    return lambda name: open_remote(parse_reference(f"{host}/{name}:x"), settings)


SWITCHES = {
    "ours": Switches(),
    "ours, pages of two": Switches(page=2),
    "ours, without referrers, digests and HEAD": Switches(referrers=False, digest_header=False, head=False),
    "ours, without mounts, ranges, filters": Switches(mounts=False, ranges=False, filters=False, relative=False),
    "ours, one PUT is too large": Switches(put_most=100_000, chunk_status=201, chunk_least=70_000),
    "ours, basic": Switches(auth="basic"),
    "ours, bearer": Switches(auth="bearer"),
    "ours, bearer that runs out": Switches(auth="bearer", life=1),
    "ours, identity token": Switches(auth="bearer", identity="identity-token-0123456789"),
}
REAL = ["docker-registry", "docker-registry, htpasswd", "docker-registry, tokens"]


@pytest.fixture(params=["memory", "layout", *SWITCHES, *(pytest.param(n, marks=pytest.mark.live) for n in REAL)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind: str = request.param
    if kind == "memory":
        registry = MemoryRegistry()
        yield Place(registry.repository, mounts=True)
    elif kind == "layout":
        yield Place(lambda name: open_layout(tmp_path / name, create=True))
    elif kind in SWITCHES:
        switches = SWITCHES[kind]
        ours = Registry(switches)
        env = login(tmp_path, ours.host, switches.user, switches.password) if switches.auth else None
        if switches.identity:
            row = {"auth": base64.b64encode(b"user:").decode(), "identitytoken": switches.identity}
            (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {ours.host: row}}))
        yield Place(remote(ours.host, env), switches.mounts, http=True)
        ours.close()
    else:
        yield from real(kind, tmp_path)


def real(kind: str, folder: Path) -> Iterator[Place]:
    """Debian's docker-registry with a root of its own."""
    need("docker-registry", "htpasswd", "openssl")
    port = free_port()
    host = f"127.0.0.1:{port}"
    auth, env, tokens = "", None, None
    if "htpasswd" in kind:
        (folder / "htpasswd").write_bytes(
            subprocess.run(["htpasswd", "-Bbn", "user", "pass word"], check=True, capture_output=True).stdout)
        auth = f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}\n"
        env = login(folder, host, "user", "pass word")
    if "tokens" in kind:
        tokens = TokenServer(folder, "user", "pass word")
        auth = (f"auth: {{token: {{realm: '{tokens.url}/token', service: ours, issuer: ours, "
                f"rootcertbundle: {tokens.certificate}}}}}\n")
        env = login(folder, host, "user", "pass word")
    try:
        with docker_registry(folder, auth, port):
            yield Place(remote(host, env), mounts=True, http=True)
    finally:
        if tokens is not None:
            tokens.close()


def blob(data: bytes, media_type: str = LAYER, piece: int = 4096) -> Blob:
    def opened(at: int) -> Iterator[bytes]:
        for start in range(at, len(data), piece):
            yield data[start:start + piece]

    return Blob(describe(media_type, data), opened)


def manifest(layers: list[Blob], config: Blob, media_type: str = MANIFEST, **more: object) -> Content:
    rows = [layer.descriptor.document() for layer in layers]
    data = canonical({"schemaVersion": 2, "mediaType": media_type, "config": config.descriptor.document(),
                      "layers": rows, **more})
    return Content(media_type, describe(media_type, data).digest, data)


def push(repository: Repository, content: Content, blobs: list[Blob], tag: str = "") -> None:
    for item in blobs:
        repository.put_blob(item)
    repository.put_manifest(content, tag)


CONFIG_BLOB = blob(canonical({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}),
                   CONFIG)
DATA = hashlib.shake_256(b"data").digest(300_000)


def test_what_was_pushed_is_pulled(place: Place) -> None:
    there = place.open("lab/seg")
    layer = blob(DATA)
    content = manifest([layer], CONFIG_BLOB)
    assert there.head("1") is None
    assert there.put_blob(layer).how == "sent" and there.put_blob(layer).how == "there"
    there.put_blob(CONFIG_BLOB)
    there.put_manifest(content, "1")
    assert there.manifest("1") == content == there.manifest(content.digest)
    assert there.head("1") == content.descriptor == there.head(content.digest)
    assert b"".join(there.blob(layer.descriptor)) == DATA == b"".join(read_blob(there, layer.descriptor, QUICK))
    for at in (1, 4096, len(DATA) - 1, len(DATA)):
        assert b"".join(there.blob(layer.descriptor, at)) == DATA[at:]


def test_chunks_are_small(place: Place) -> None:
    there = place.open("lab/seg")
    layer = blob(bytes(3 << 20))
    there.put_blob(layer)
    assert max(map(len, there.blob(layer.descriptor))) <= 1 << 20


def test_what_is_not_there(place: Place) -> None:
    there = place.open("lab/seg")
    push(there, manifest([], CONFIG_BLOB), [CONFIG_BLOB], "1")
    nothing = "sha256:" + "0" * 64
    for ask in (lambda: there.manifest("2"), lambda: there.manifest(nothing),
                lambda: b"".join(there.blob(Descriptor(LAYER, nothing, 3)))):
        with pytest.raises(RegistryError) as caught:
            ask()
        assert caught.value.code == "registry.not-found" and "lab/seg" in str(caught.value)
    assert there.head("2") is None and there.head(nothing) is None
    assert there.referrers(nothing) == ()


def test_a_tag_moves(place: Place) -> None:
    there = place.open("lab/seg")
    first, second = manifest([], CONFIG_BLOB), manifest([blob(b"x")], CONFIG_BLOB)
    push(there, first, [CONFIG_BLOB], "1")
    push(there, second, [blob(b"x")], "1")
    assert there.manifest("1") == second and there.tags() == ["1"]
    if place.http:
        assert there.manifest(first.digest) == first


def test_tags(place: Place) -> None:
    there = place.open("lab/seg")
    content = manifest([], CONFIG_BLOB)
    names = ["z", "1.0", "_x", "Latest", "a" * 128, "b"]
    push(there, content, [CONFIG_BLOB])
    for name in names:
        there.put_manifest(content, name)
    assert there.tags() == sorted(names)


def test_referrers(place: Place) -> None:
    there = place.open("lab/seg")
    image = manifest([], CONFIG_BLOB)
    push(there, image, [CONFIG_BLOB], "1")
    subject = image.descriptor.document()
    made = [manifest([], CONFIG_BLOB, artifactType=f"application/vnd.test.{n % 2}", subject=subject,
                     annotations={"n": str(n)}) for n in range(5)]
    for content in made:
        there.put_manifest(content)
    there.put_manifest(made[0])  # again is no harm
    assert sorted(d.digest for d in there.referrers(image.digest)) == sorted(c.digest for c in made)
    assert {d.digest for d in there.referrers(image.digest, "application/vnd.test.1")} == {
        made[1].digest, made[3].digest}
    assert there.referrers(image.digest, "application/vnd.test.2") == ()
    assert there.referrers(made[0].digest) == ()
    assert there.manifest(made[0].digest) == made[0]


def test_referrers_from_many_threads(place: Place) -> None:
    there = place.open("lab/seg")
    image = manifest([], CONFIG_BLOB)
    push(there, image, [CONFIG_BLOB], "1")
    made = [manifest([], CONFIG_BLOB, subject=image.descriptor.document(), annotations={"n": str(n)}) for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(there.put_manifest, made))
    assert {d.digest for d in there.referrers(image.digest)} == {c.digest for c in made}


def test_a_subject_that_is_not_there_yet(place: Place) -> None:
    there = place.open("lab/seg")
    image = manifest([], CONFIG_BLOB)
    speaking = manifest([], CONFIG_BLOB, subject=image.descriptor.document())
    push(there, speaking, [CONFIG_BLOB])
    assert [d.digest for d in there.referrers(image.digest, CONFIG)] == [speaking.digest]
    there.put_manifest(image, "1")
    assert there.manifest("1") == image


def test_mount(place: Place) -> None:
    source, there = place.open("lab/base"), place.open("lab/seg")
    layer = blob(DATA)
    source.put_blob(layer)
    sent = there.put_blob(layer, mount="lab/base")
    assert sent.how == ("mounted" if place.mounts else "sent")
    assert b"".join(there.blob(layer.descriptor)) == DATA
    other = blob(DATA[:1000])
    assert there.put_blob(other, mount="lab/none").how == "sent"
    assert b"".join(there.blob(other.descriptor)) == DATA[:1000]


def test_an_index_of_images_and_indexes(place: Place) -> None:
    there = place.open("lab/seg")
    images = [manifest([blob(bytes([n]))], CONFIG_BLOB) for n in range(2)]
    for n, image in enumerate(images):
        push(there, image, [blob(bytes([n])), CONFIG_BLOB])
    inner = index(images[:1])
    outer = index([images[1], inner])
    there.put_manifest(inner)
    there.put_manifest(outer, "all")
    assert there.manifest("all") == outer and there.manifest(inner.digest) == inner
    assert there.head("all") == outer.descriptor
    assert there.tags() == ["all"]


def index(children: list[Content]) -> Content:
    data = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {**c.descriptor.document(), "platform": {"os": "linux", "architecture": "amd64"}} for c in children]})
    return Content(INDEX, describe(INDEX, data).digest, data)


def test_docker_schema_2_and_bytes_that_are_not_canonical(place: Place) -> None:
    there = place.open("lab/seg")
    config = blob(CONFIG_BLOB_BYTES, DOCKER_CONFIG)
    data = json.dumps({"mediaType": DOCKER_MANIFEST, "layers": [], "config": config.descriptor.document(),
                       "schemaVersion": 2}, indent=3).encode() + b"\n"
    content = Content(DOCKER_MANIFEST, describe(DOCKER_MANIFEST, data).digest, data)
    push(there, content, [config], "docker")
    assert there.manifest("docker") == content


CONFIG_BLOB_BYTES = b"".join(CONFIG_BLOB.open(0))


def test_an_empty_blob_the_empty_config_and_embedded_data(place: Place) -> None:
    there = place.open("lab/seg")
    empty = Blob(Descriptor("application/vnd.oci.empty.v1+json", describe("", b"{}").digest, 2), blob(b"{}").open)
    nothing = blob(b"")
    embedded = {**empty.descriptor.document(), "data": base64.b64encode(b"{}").decode()}
    data = canonical({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.test",
                      "config": embedded, "layers": [nothing.descriptor.document()]})
    content = Content(MANIFEST, describe(MANIFEST, data).digest, data)
    push(there, content, [empty, nothing], "artifact")
    assert there.manifest("artifact") == content
    assert b"".join(there.blob(nothing.descriptor)) == b"" == b"".join(read_blob(there, nothing.descriptor, QUICK))


def test_sha512(place: Place, request: pytest.FixtureRequest) -> None:
    if "docker-registry" in request.node.name:
        pytest.skip("docker-registry 2.8 files everything under sha256")
    there = place.open("lab/seg")
    layer = Blob(Descriptor(LAYER, "sha512:" + hashlib.sha512(DATA).hexdigest(), len(DATA)), blob(DATA).open)
    there.put_blob(layer)
    assert there.put_blob(layer).how == "there"
    assert b"".join(read_blob(there, layer.descriptor, QUICK)) == DATA
    data = manifest([layer], CONFIG_BLOB).data
    content = Content(MANIFEST, "sha512:" + hashlib.sha512(data).hexdigest(), data)
    push(there, content, [CONFIG_BLOB])
    assert there.manifest(content.digest) == content


def test_bytes_that_are_not_the_descriptors_are_refused(place: Place) -> None:
    there = place.open("lab/seg")
    wrong = Blob(describe(LAYER, b"right"), blob(b"wrong").open)
    with pytest.raises(RegistryError):
        there.put_blob(wrong)
    with pytest.raises(RegistryError):
        b"".join(there.blob(wrong.descriptor))
    for digest in ("sha256:../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "a" * 32, ""):
        with pytest.raises(RegistryError):
            b"".join(there.blob(Descriptor(LAYER, digest, 3)))


def test_many_threads(place: Place) -> None:
    there = place.open("lab/seg")
    layers = [blob(hashlib.shake_256(bytes([n])).digest(50_000)) for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert {s.how for s in pool.map(there.put_blob, layers)} == {"sent"}
        found = list(pool.map(lambda x: b"".join(there.blob(x.descriptor)), layers))
    assert found == [b"".join(x.open(0)) for x in layers]
    images = [manifest([x], CONFIG_BLOB) for x in layers]
    there.put_blob(CONFIG_BLOB)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda pair: there.put_manifest(pair[1], f"t{pair[0]}"), enumerate(images)))
    assert there.tags() == sorted(f"t{n}" for n in range(12)), "no writer loses another's tag"


def test_a_name_for_people(place: Place) -> None:
    assert "lab/seg" in place.open("lab/seg").name and ":x" not in place.open("lab/seg").name


def test_nothing_of_ours_is_left_behind(place: Place) -> None:
    there = place.open("lab/seg")
    push(there, manifest([blob(DATA)], CONFIG_BLOB), [blob(DATA), CONFIG_BLOB], "1")
    list(there.blob(describe(LAYER, DATA)))
    there.blob(describe(LAYER, DATA), 10)  # opened and never read
    if hasattr(there, "close"):
        there.close()
    end = time.monotonic() + 10
    while any(t.name == "bareboat-guard" for t in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not [t for t in threading.enumerate() if t.name == "bareboat-guard"]

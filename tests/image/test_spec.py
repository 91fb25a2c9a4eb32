"""Manifest, config, index and layout as image-spec asks; and their bytes, which must never change by accident."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace

import jsonschema
import pytest
from tests.corpus.wheels.zipforge import FILENAME, Archive, wheel_parts
from tests.image_schemas import check_image, check_index

from bareboat.image.layer import DIRECTORY, SYMLINK, LayerDigests, TreeEntry, splice, splice_group, store_tree
from bareboat.image.layout import full, members, names, split, tar_of
from bareboat.image.plan import GeneratedFile, Plan, interpreter
from bareboat.image.spec import Image, Layer, make_image, platform_document
from bareboat.image.wheel import read_layout
from bareboat.lock import Deb, Wheel


def check(image: Image) -> None:
    """Everything that must hold of an image that was made, its blobs not read."""
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    check_image(image.manifest, image.config)
    assert not config["config"]["User"].startswith(("0", "root")) and config["config"]["WorkingDir"].startswith("/")
    files = {m.path: m for m in members(image, "lab/x:1", archive=True)}
    check_index(files["index.json"].content or b"")
    index = json.loads(files["index.json"].content or b"")
    count = len(manifest["layers"])
    assert count == len(config["rootfs"]["diff_ids"]) == len(config["history"])
    assert not any(h.get("empty_layer") for h in config["history"])
    for of, data in ((manifest["config"], image.config), (index["manifests"][0], image.manifest)):
        assert of["digest"] == "sha256:" + hashlib.sha256(data).hexdigest() and of["size"] == len(data)
    [docker] = json.loads(files["manifest.json"].content or b"")
    assert docker["RepoTags"] == ["lab/x:1"] and docker["Config"] in files and len(docker["Layers"]) == count
    assert all(path in files for path in docker["Layers"])


def plan(platform: str = "linux/amd64") -> Plan:
    deb = Deb("libc6", "2.41-12", "amd64", "pool/x.deb", "a" * 64, 10)
    wheel = Wheel("demo", "1.0", FILENAME, "https://index.example/demo.whl", "b" * 64, 100)
    return Plan(platform, "debian", "trixie", interpreter("3.13", "3.13.5"), (deb,), (wheel,),
                (GeneratedFile("x", "y"),), (("PATH", "/bin"),))


def layers() -> list[Layer]:
    return [Layer(LayerDigests(f"sha256:{c * 64}", 10, f"sha256:{c * 64}", 1024), what, packages)
            for c, what, packages in (("1", "base", ("libc6=2.41-12",)), ("2", "demo 1.0", ()), ("3", "files", ()))]


def test_an_image_is_what_the_spec_asks() -> None:
    check(make_image(plan(), layers()))


def test_the_bytes_of_an_image_never_change() -> None:
    """A golden digest: whoever changes it raises ASSEMBLY_FORMAT, since every image of a lock changes with it."""
    assert make_image(plan(), layers()).descriptor.digest == \
        "sha256:24e11fea98b148ec93fb4cfd32032470ac622776d827f6e9f52372d55377a8b6"


@pytest.mark.parametrize("spoil", [
    lambda m, c: m.pop("mediaType"), lambda m, c: m["config"].update(size="1"), lambda m, c: m.update(layer=[]),
    lambda m, c: m["layers"][0].update(mediaType="application/x-tar"), lambda m, c: c.pop("rootfs"),
    lambda m, c: c["history"].pop(), lambda m, c: c["config"].update(Env=["A"]), lambda m, c: c.update(created="now"),
    lambda m, c: c["config"].update(labels={})])
def test_what_is_no_image_is_caught(spoil) -> None:  # type: ignore[no-untyped-def]
    image = make_image(plan(), layers())
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    spoil(manifest, config)
    with pytest.raises((jsonschema.ValidationError, AssertionError)):
        check_image(json.dumps(manifest).encode(), json.dumps(config).encode())


def test_variant() -> None:
    assert platform_document("linux/arm64/v8") == {"os": "linux", "architecture": "arm64", "variant": "v8"}
    check(make_image(plan("linux/arm64/v8"), layers()))


@pytest.mark.parametrize(("name", "repository", "tag"), [
    ("seg", "docker.io/library/seg", "latest"), ("lab/seg:1", "docker.io/lab/seg", "1"),
    ("localhost:5000/seg", "localhost:5000/seg", "latest"), ("host.example/a/b:2", "host.example/a/b", "2")])
def test_names(name: str, repository: str, tag: str) -> None:
    assert (full(split(name)[0]), split(name)[1]) == (repository, tag)
    assert names(name) == {"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": f"{repository}:{tag}"}


def test_an_image_without_a_name_has_none() -> None:
    image = make_image(plan(), layers())
    files = {m.path: m.content for m in members(image, archive=True)}
    assert json.loads(files["manifest.json"] or b"")[0]["RepoTags"] is None
    assert "annotations" not in json.loads(files["index.json"] or b"")["manifests"][0]


def test_the_archive_is_a_tar() -> None:
    image = make_image(plan(), layers())
    raw = b"".join(tar_of(members(image, "x", archive=True), lambda m: [bytes(m.size)]))
    assert len(raw) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        found = {m.name: m for m in tar.getmembers()}
    assert {"oci-layout", "index.json", "manifest.json", "blobs/sha256"} <= set(found)
    assert found["blobs/sha256/" + "1" * 64].size == 10


def test_a_layer_that_two_sources_share_is_there_once() -> None:
    first, *rest = layers()
    image = make_image(plan(), [first, first, *rest])
    paths = [m.path for m in members(image, archive=True)]
    assert len(paths) == len(set(paths)) and len(image.layers) == 4
    check(image)


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        return self.data[offset : offset + count]


def drain(chunks) -> tuple[bytes, LayerDigests]:  # type: ignore[no-untyped-def]
    parts = []
    while True:
        try:
            parts.append(next(chunks))
        except StopIteration as end:
            return b"".join(parts), end.value


def wheel(name: str, files: dict[str, bytes], method: int = 8):  # type: ignore[no-untyped-def]
    parts = [replace(p, method=method) for p in wheel_parts(files, info=f"{name}-1.0.dist-info")[1:]]
    data = Archive(parts).build()
    source = Bytes(data)
    of = Wheel(name, "1.0", f"{name}-1.0-py3-none-any.whl", "", hashlib.sha256(data).hexdigest(), len(data))
    return source, read_layout(source, of, interpreter("3.13", "3.13.5"))


def agrees(blob: bytes, digests: LayerDigests) -> list[tarfile.TarInfo]:
    """The blob is what its digests say, as gzip and tarfile read it."""
    raw = gzip.decompress(blob)
    assert digests == LayerDigests("sha256:" + hashlib.sha256(blob).hexdigest(), len(blob),
                                   "sha256:" + hashlib.sha256(raw).hexdigest(), len(raw))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return tar.getmembers()


def test_a_group_of_wheels_has_no_path_twice() -> None:
    shared = {"nvidia/__init__.py": b"", "nvidia/same.py": b"same\n" * 9}
    parts = [wheel(n, {**shared, f"nvidia/{n}.py": n.encode()}) for n in ("one", "two")]
    blob, digests = drain(splice_group(parts))
    paths = [m.name for m in agrees(blob, digests)]
    assert len(paths) == len(set(paths)) and sum(p.endswith("nvidia/one.py") for p in paths) == 1
    assert drain(splice_group(parts))[0] == blob
    assert drain(splice_group(parts[:1]))[0] == drain(splice(*parts[0]))[0]


def tree(cut: int) -> list[TreeEntry]:
    big = b"0123456789abcdef" * 200_000
    return [TreeEntry("etc", 0o755, DIRECTORY), TreeEntry("etc/ő", 0o4755, size=3, chunks=lambda: [b"abc"]),
            TreeEntry("etc/\udcff", 0o600), TreeEntry("link", 0o777, SYMLINK, link="etc/ő"),
            TreeEntry("tmp", 0o1777, DIRECTORY),
            TreeEntry("zbig", 0o644, size=len(big), chunks=lambda: [big[i : i + cut] for i in range(0, len(big), cut)])]


def test_a_tree_is_read_back_and_its_bytes_do_not_depend_on_how_it_was_read() -> None:
    blob, digests = drain(store_tree(tree(1 << 20)))
    found = {m.name: m for m in agrees(blob, digests)}
    assert found["tmp"].mode == 0o1777 and found["etc/ő"].mode == 0o4755 and found["."].isdir()
    assert drain(store_tree(tree(70_001)))[0] == blob
    assert digests.digest == "sha256:a38a97bd2beca813aee38efe9ebf1924932c10a1747d31e879dc683953b65734"


def test_a_spliced_layer_never_changes() -> None:
    """Of a wheel whose members are stored, so that this machine's zlib is not in the test's own input."""
    _, digests = drain(splice(*wheel("demo", {"demo/big.py": b"x = 1\n" * 50_000}, method=0)))
    assert digests.digest == \
        "sha256:7ce408071a895e4978fa4c0461eb9936a53661d26f82ad8ef70ab23435633e40"

"""Image archives: OCI layouts in a tar and what `docker save` writes; broken and malicious ones."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bareboat.errors import ArchiveError
from bareboat.image.manifest import DOCKER_MANIFEST, Manifest, read_manifest
from bareboat.image.spec import CONFIG, LAYER, MANIFEST
from bareboat.registry.archive import PLAIN_LAYER, read_archive
from bareboat.store import Store


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    out.seek(0)
    return out


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def layout() -> dict[str, bytes]:
    config, layer = b'{"rootfs":{"diff_ids":[]}}', b"layer"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                           "config": {"mediaType": CONFIG, "digest": f"sha256:{sha(config)}", "size": len(config)},
                           "layers": [{"mediaType": LAYER, "digest": f"sha256:{sha(layer)}", "size": 5}]}).encode()
    row = {"mediaType": MANIFEST, "digest": f"sha256:{sha(manifest)}", "size": len(manifest)}
    index = {"schemaVersion": 2, "manifests": [
        {**row, "annotations": {"org.opencontainers.image.ref.name": "1",
                                "io.containerd.image.name": "docker.io/lab/seg:1"}},
        {**row, "annotations": {"org.opencontainers.image.ref.name": "paper"}}]}
    return {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(),
            **{f"blobs/sha256/{sha(b)}": b for b in (config, layer, manifest)}}


def test_a_layout(store: Store) -> None:
    repository, found = read_archive(store, tar(layout()), "x.tar")
    [named] = found
    assert named.names == ("docker.io/lab/seg:1", "paper")
    content = repository.manifest(named.content.digest)
    document = read_manifest(content.data, content.media_type, "x")
    assert isinstance(document, Manifest)
    assert b"".join(repository.blob(document.layers[0].descriptor, 2)) == b"yer"


def docker_files() -> dict[str, bytes]:
    config = b'{"rootfs":{"diff_ids":[]}}'
    rows = [{"Config": f"{sha(config)}.json", "RepoTags": ["lab/seg:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]
    return {"a/layer.tar": b"first", f"{sha(config)}.json": config, "manifest.json": json.dumps(rows).encode(),
            "repositories": b"{}"}


def test_what_docker_20_saves(store: Store) -> None:
    """A layer that is there already is a link to it."""
    repository, [named] = read_archive(store, tar(docker_files(), {"b/layer.tar": "../a/layer.tar"}), "x.tar")
    assert (named.names, named.content.media_type) == (("lab/seg:1",), DOCKER_MANIFEST)
    content = repository.manifest(named.content.digest)
    document = read_manifest(content.data, content.media_type, "x")
    assert isinstance(document, Manifest)
    assert [x.descriptor.media_type for x in document.layers] == [PLAIN_LAYER] * 2
    assert [x.descriptor.digest for x in document.layers] == [f"sha256:{sha(b'first')}"] * 2
    _, [same] = read_archive(store, tar(docker_files(), {"b/layer.tar": "../a/layer.tar"}), "x.tar")
    assert same == named


@pytest.mark.parametrize(("files", "code"), [
    ({}, "archive.unknown"), ({"x": b"1"}, "archive.unknown"),
    ({"index.json": b"{"}, "manifest.malformed"),
    ({"index.json": b'{"schemaVersion":2,"layers":[],"config":{}}'}, "manifest.malformed"),
    ({"index.json": b" " * (5 << 20)}, "archive.malformed"),
    ({"manifest.json": b"{}"}, "archive.unknown"), ({"manifest.json": b"[{}]"}, "archive.malformed"),
    ({"manifest.json": b'[{"Config":"../../etc/passwd","Layers":[]}]'}, "archive.malformed"),
    ({"manifest.json": b"[" * 100_000}, "archive.malformed"),
    ({"../x": b"1"}, "tar.path"), ({"/etc/x": b"1"}, "tar.path"),
    ({f"blobs/sha256/{'a' * 64}": b"1"}, "blob.digest"),
])
def test_what_is_refused(store: Store, files: dict[str, bytes], code: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        _, found = read_archive(store, tar(files), "x.tar")
        if not found:
            raise ArchiveError("archive.unknown", "none")
    assert caught.value.code == code


def test_a_link_out_of_the_archive_leads_nowhere(store: Store) -> None:
    files = {k: v for k, v in docker_files().items() if k != "a/layer.tar"}
    with pytest.raises(ArchiveError) as caught:
        read_archive(store, tar(files, {"a/layer.tar": "/etc/passwd", "b/layer.tar": "../../../etc/passwd"}), "x.tar")
    assert caught.value.code == "archive.malformed"


def test_a_cut_archive(store: Store) -> None:
    data = tar(layout()).getvalue()
    with pytest.raises(ArchiveError) as caught:
        read_archive(store, io.BytesIO(data[: len(data) // 3]), "x.tar")
    assert caught.value.code == "tar.truncated"

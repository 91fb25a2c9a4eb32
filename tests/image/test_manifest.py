"""Other people's manifests: what is understood, and what could be read in two ways."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ArchiveError
from bareboat.image.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MANIFEST_MOST,
    Entry,
    Index,
    Manifest,
    Platform,
    choose,
    read_config,
    read_manifest,
)
from bareboat.image.spec import CONFIG, INDEX, LAYER, MANIFEST, Descriptor

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def row(digest: str = A, media_type: str = LAYER, size: int = 3, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def manifest(**changes: object) -> dict[str, object]:
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": row(B, CONFIG), "layers": [row()], **changes}


def read(doc: object, media_type: str = "") -> Any:
    return read_manifest(json.dumps(doc).encode(), media_type, "x")


def test_a_manifest() -> None:
    found = read(manifest(subject=row(B, MANIFEST), artifactType="a/b", annotations={"k": "v"}))
    assert isinstance(found, Manifest)
    assert found.config.descriptor == Descriptor(CONFIG, B, 3)
    assert found.layers[0].descriptor == Descriptor(LAYER, A, 3)
    assert (found.subject, found.artifact_type, found.annotations) == (Descriptor(MANIFEST, B, 3), "a/b",
                                                                         (("k", "v"),))


def test_docker_s_kinds() -> None:
    assert isinstance(read(manifest(mediaType=DOCKER_MANIFEST), DOCKER_MANIFEST), Manifest)
    found = read({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": [
        row(A, DOCKER_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7"})]}, DOCKER_INDEX)
    assert isinstance(found, Index)
    assert str(found.manifests[0].platform) == "linux/arm/v7"


def test_without_its_own_media_type_the_server_s_counts() -> None:
    doc = manifest()
    del doc["mediaType"]
    assert read(doc, MANIFEST).media_type == MANIFEST
    assert read(doc).media_type == MANIFEST


@pytest.mark.parametrize(("doc", "media_type"), [
    ([], ""), ({}, ""), ("x", ""), (None, ""),
    (manifest(manifests=[]), ""),
    ({"schemaVersion": 2, "manifests": [row(A, MANIFEST)], "config": row()}, INDEX),
    ({"schemaVersion": 2, "mediaType": MANIFEST, "manifests": []}, MANIFEST),
    (manifest(mediaType=INDEX), INDEX),
    (manifest(), DOCKER_MANIFEST),
    ({"schemaVersion": 2, "manifests": []}, MANIFEST),
    (manifest(schemaVersion=1), ""), (manifest(schemaVersion=3), ""), (manifest(fsLayers=[]), ""),
    (manifest(config=None), ""), (manifest(layers={}), ""), (manifest(layers=[7]), ""),
    (manifest(layers=[row("sha256:../..")]), ""), (manifest(layers=[row("sha256:" + "A" * 64)]), ""),
    (manifest(layers=[row("sha256:abc")]), ""), (manifest(layers=[row("md5:" + "a" * 32)]), ""),
    (manifest(layers=[row(size=-1)]), ""), (manifest(layers=[row(size=True)]), ""),
    (manifest(layers=[row(size=1 << 70)]), ""), (manifest(layers=[row(size=1.5)]), ""),  # type: ignore[arg-type]
    (manifest(layers=[row()] * 501), ""), (manifest(annotations={"a": 1}), ""), (manifest(mediaType=7), ""),
    (manifest(layers=[row(data="!!")]), ""), (manifest(layers=[row(data="YWJj")]), ""),
    (manifest(artifactType="a\0b"), ""),
])
def test_what_is_refused(doc: object, media_type: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        read(doc, media_type)
    assert caught.value.code in ("manifest.malformed", "manifest.old")


@pytest.mark.parametrize("text", ['{"schemaVersion":2,"schemaVersion":2}', '{"a":NaN}', "{", "\xff", "[" * 100_000])
def test_json_that_could_be_read_in_two_ways(text: str) -> None:
    with pytest.raises(ArchiveError):
        read_manifest(text.encode("latin-1"), "", "x")


def test_a_huge_manifest() -> None:
    with pytest.raises(ArchiveError) as caught:
        read_manifest(b" " * (MANIFEST_MOST + 1), "", "x")
    assert caught.value.code == "manifest.too-large"


def test_embedded_content() -> None:
    digest = "sha256:" + hashlib.sha256(b"abc").hexdigest()
    found = read(manifest(layers=[row(digest, size=3, data=base64.b64encode(b"abc").decode())]))
    assert found.layers[0].data == b"abc"


def test_a_config() -> None:
    found = read_config(json.dumps({
        "os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [A]},
        "config": {"Env": ["A=1", "B=x=y", "A=2"], "Entrypoint": ["/e"], "Cmd": None, "WorkingDir": "/w", "User": "5",
                   "Labels": {"l": "v"}, "Healthcheck": {}}}).encode(), "x")
    assert found.platform == Platform("linux", "amd64")
    assert found.env == (("A", "2"), ("B", "x=y"))
    assert (found.entrypoint, found.cmd, found.workdir, found.user) == (("/e",), (), "/w", "5")


@pytest.mark.parametrize("doc", [
    {}, {"rootfs": {"diff_ids": ["x"]}}, {"rootfs": {"diff_ids": [A]}, "config": {"Env": ["=x"]}},
    {"rootfs": {"diff_ids": [A]}, "config": {"Cmd": "sh"}}, {"rootfs": {"diff_ids": [A]}, "config": {"Cmd": [1]}},
    {"rootfs": {"diff_ids": [A]}, "os": 1}, {"rootfs": {"diff_ids": [A]}, "config": []},
])
def test_configs_that_are_refused(doc: object) -> None:
    with pytest.raises(ArchiveError) as caught:
        read_config(json.dumps(doc).encode(), "x")
    assert caught.value.code == "config.malformed"


@pytest.mark.parametrize(("platform", "rows", "chosen"), [
    ("linux/amd64", [("linux", "arm64", ""), ("linux", "amd64", "")], 1),
    ("linux/amd64", [("linux", "amd64", "v3"), ("linux", "amd64", "v2")], None),
    ("linux/amd64/v3", [("linux", "amd64", ""), ("linux", "amd64", "v2"), ("linux", "amd64", "v4")], 1),
    ("linux/arm64", [("linux", "arm64", "v8"), ("linux", "arm64", "v9")], 0),
    ("linux/arm/v7", [("linux", "arm", "v6"), ("linux", "arm", "v7"), ("linux", "arm", "v8")], 1),
    ("linux/amd64", [("unknown", "unknown", ""), ("windows", "amd64", "")], None),
])
def test_the_row_of_a_platform(platform: str, rows: list[tuple[str, str, str]], chosen: int | None) -> None:
    entries = [Entry(Descriptor(MANIFEST, A, n), Platform(*r)) for n, r in enumerate(rows)]
    found = choose(entries, platform)
    assert (None if found is None else found.descriptor.size) == chosen


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c, max_size=3)
                    | st.dictionaries(st.sampled_from(["schemaVersion", "config", "layers", "digest", "size", "x",
                                                       "mediaType", "manifests", "data", "platform"]), c)))
def test_any_json_is_understood_or_refused(doc: object) -> None:
    try:
        read(doc)
    except ArchiveError:
        pass


@pytest.mark.parametrize("variant", ["v²", "v٣", "v" + "9" * 5000, "²", "v8.²"])
def test_a_variant_of_no_number_is_none(variant: str) -> None:
    descriptor = Descriptor(MANIFEST, "sha256:" + "a" * 64, 2)
    assert choose((Entry(descriptor, Platform("linux", "arm64", variant)),), "linux/arm64") is not None


@pytest.mark.parametrize("where", ['{"schemaVersion":2,"layers":[],"annotations":{"a":"\\ud800"}}',
                                   '{"schemaVersion":2,"layers":[],"annotations":{"\\udfff":"a"}}'])
def test_half_a_character_is_no_text(where: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        read_manifest(where.encode(), "", "x")
    assert caught.value.code == "manifest.malformed"
    config = '{"rootfs":{"diff_ids":[]},"config":{"Env":["A=\\ud83d"]}}'
    with pytest.raises(ArchiveError) as caught:
        read_config(config.encode(), "x")
    assert caught.value.code == "config.malformed"
    whole = config.replace("ud83d", "ud83d\\ude00")
    assert read_config(whole.encode(), "x").env == (("A", "\U0001f600"),)

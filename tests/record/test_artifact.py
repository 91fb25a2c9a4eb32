"""A run as an artifact: the same bytes always, read back strictly, everything else refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.errors import BareboatError
from bareboat.image.manifest import Manifest, choose, read_manifest
from bareboat.image.spec import MANIFEST, Descriptor, describe
from bareboat.record import artifact as kinds
from bareboat.record.artifact import Part, make_artifact, make_index, read_artifact, runs_in
from bareboat.record.codec import encode_bytes
from bareboat.record.values import RunRecord

IMAGE = describe(MANIFEST, b"the image")
RECORD = RunRecord("0123456789ab", state="succeeded", argv=("python",), manifest=IMAGE.digest)
PARTS = (Part(kinds.PLAN, "a" * 64, 7, "plan.json"), Part(kinds.LOCK, "b" * 64, 9, "pylock.toml"))


def made() -> bytes:
    return make_artifact(RECORD, encode_bytes(RECORD), PARTS, IMAGE)


def changed(change: Callable[[dict], object]) -> bytes:  # type: ignore[type-arg]
    document = json.loads(made())
    change(document)
    return json.dumps(document).encode()


def test_it_is_read_as_it_was_made() -> None:
    found = read_artifact(made(), "here")
    assert found.subject == IMAGE and found.parts == PARTS and found.run == RECORD.id
    assert found.record.descriptor == describe(kinds.RECORD, encode_bytes(RECORD))
    assert made() == made() and found.of(kinds.LOCK) == PARTS[1:]


def test_engines_take_the_image_and_bareboat_the_run() -> None:
    own = describe(MANIFEST, made())
    index = read_manifest(make_index(IMAGE, "linux/arm64/v8", own), "", "here")
    assert runs_in(index, IMAGE) == (own,)
    entry = choose(index.manifests, "linux/arm64")  # type: ignore[union-attr]
    assert entry is not None and entry.descriptor == IMAGE
    assert choose(index.manifests, "linux/amd64") is None  # type: ignore[union-attr]
    document = read_manifest(made(), MANIFEST, "here")
    assert isinstance(document, Manifest) and runs_in(document, own) == (own,)


@pytest.mark.parametrize(("change", "code"), [
    (lambda d: d.pop("subject"), "artifact.subject"),
    (lambda d: d.update(artifactType="application/vnd.other"), "artifact.malformed"),
    (lambda d: d.update(artifactType=kinds.PLAN), "artifact.malformed"),
    (lambda d: d.update(artifactType="application/vnd.bareboat.run.v2+json"), "record.format"),
    (lambda d: d["config"].update(mediaType="application/vnd.oci.image.config.v1+json"), "artifact.malformed"),
    (lambda d: d["config"].update(mediaType="application/vnd.bareboat.run.record.v2+json"), "record.format"),
    (lambda d: d["config"].update(size=1 << 40), "artifact.too-large"),
    (lambda d: d["config"].update(digest="sha256:../../x"), "manifest.malformed"),
    (lambda d: d["config"].update(digest="sha512:" + "a" * 128), "artifact.malformed"),
    (lambda d: d["layers"][0].update(mediaType="application/vnd.oci.image.layer.v1.tar"), "artifact.malformed"),
    (lambda d: d["layers"][0].update(size=1 << 50), "artifact.too-large"),
    (lambda d: d["layers"][0].update(digest="sha512:" + "a" * 128), "artifact.malformed"),
    (lambda d: d.update(manifests=[]), "manifest.malformed"),
])  # fmt: skip
def test_what_is_not_as_we_write_it_is_refused(change: Callable[[dict], object], code: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(BareboatError) as caught:
        read_artifact(changed(change), "here")
    assert caught.value.code == code and caught.value.where == "here"


def test_an_image_is_no_run() -> None:
    image = json.dumps({"schemaVersion": 2, "config": Descriptor(
        "application/vnd.oci.image.config.v1+json", "sha256:" + "c" * 64, 3).document(), "layers": []}).encode()
    with pytest.raises(BareboatError) as caught:
        read_artifact(image, "here")
    assert caught.value.code == "artifact.malformed"
    assert runs_in(read_manifest(image, MANIFEST, "here"), describe(MANIFEST, image)) == ()


_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=12), lambda inner: st.lists(
    inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["config", "layers", "subject", "annotations", "artifactType", "schemaVersion"]), _VALUES)
def test_any_value_in_any_place_is_read_or_refused(key: str, value: object) -> None:
    try:
        read_artifact(changed(lambda d: d.update({key: value})), "here")
    except BareboatError as error:
        assert error.code.split(".")[0] in ("artifact", "manifest", "record")


def test_parts_of_equal_bytes_are_there_once() -> None:
    again = make_artifact(RECORD, b"{}", (*PARTS, replace(PARTS[0])), IMAGE)
    assert len(json.loads(again)["layers"]) == 2

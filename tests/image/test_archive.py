"""Archives' documents: what is written is read back, and whatever else is read is refused as that and no otherwise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.errors import ArchiveError
from bareboat.image import archive as form
from bareboat.image.archive import (
    Attached,
    Bundle,
    File,
    Shipped,
    archive_members,
    bundle_config,
    read_bundles,
    read_index,
)
from bareboat.image.spec import MANIFEST, Image, canonical, describe

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=20)
FILES = st.lists(st.builds(File, st.sampled_from([form.DEB, form.WHEEL]), HEX, st.integers(0, 1 << 40), TEXT),
                 max_size=12, unique_by=lambda f: f.sha256)


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    files = draw(FILES)
    plan, lock = draw(HEX), draw(HEX)
    rows = (File(form.PLAN, plan, 3, "plan.json"), File(form.LOCK, lock, 3, "bareboat.lock"), *files)
    return Bundle(draw(TEXT), tuple(draw(st.lists(TEXT, max_size=2))), "sha256:" + draw(HEX), plan, "linux/amd64",
                  (("bareboat.lock", lock),), tuple(dict.fromkeys(rows)))


def read(members: dict[str, bytes]) -> tuple[Bundle, ...]:
    found = read_index(members["index.json"], "here")
    manifests = [(d, members[f"blobs/sha256/{d.digest[7:]}"]) for d in found.bundles]
    configs = {c.digest: members[f"blobs/sha256/{c.digest[7:]}"] for c in (bundle_config(m, "") for _, m in manifests)}
    return read_bundles(manifests, configs, "here")


@given(st.lists(bundles(), min_size=1, max_size=3, unique_by=lambda b: b.config()))
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_back(written: list[Bundle]) -> None:
    members = archive_members(written, (), (), tar=True)
    assert len({m.path for m in members}) == len(members)
    found = read({m.path: m.content for m in members if m.content is not None})
    assert {b.config(): set(b.files) for b in found} == {b.config(): set(b.files) for b in written}
    assert {m.blob for m in members if m.content is None} == {f.sha256 for b in written for f in b.files}


def image(name: str, platform: str = "linux/amd64") -> Image:
    return Image(platform, f"sha256:{'1' * 64}", canonical({"config": name}), canonical({"layers": name}),
                 (describe("layer", name.encode()),))


def index_of(*shipped: Shipped) -> list[dict[str, object]]:
    [data] = [m.content for m in archive_members((), shipped, (), tar=False) if m.path == "index.json"]
    assert data is not None
    return json.loads(data)["manifests"]  # type: ignore[no-any-return]


def test_images_of_several_platforms_are_one_index() -> None:
    [row] = index_of(Shipped((image("a"), image("b", "linux/arm64")), ("lab/seg:1",)))
    assert str(row["mediaType"]).endswith("index.v1+json")
    assert row["annotations"]["org.opencontainers.image.ref.name"] == "1"  # type: ignore[index]


def test_two_images_of_one_tag_are_told_apart() -> None:
    rows = index_of(Shipped((image("a"),), ("lab/a:1",)), Shipped((image("b"),), ("lab/b:1",)))
    names = [r["annotations"]["org.opencontainers.image.ref.name"] for r in rows]  # type: ignore[index]
    assert names == ["docker.io/lab/a:1", "docker.io/lab/b:1"]


def test_a_run_is_in_the_index_by_its_kind() -> None:
    blob = describe("x", b"data")
    members = archive_members((), (), (Attached(b"{}", "application/x.run", (blob,)),), tar=False)
    by_path = {m.path: m for m in members}
    assert by_path[f"blobs/sha256/{blob.digest[7:]}"].content is None
    index = by_path["index.json"].content
    assert index is not None
    [entry] = read_index(index, "here").others
    assert entry.artifact_type == "application/x.run" and entry.descriptor.digest == describe(MANIFEST, b"{}").digest


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                      lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
                      max_leaves=6)


@given(bundles(), st.data())
@settings(deadline=None, max_examples=150)
def test_a_document_that_was_changed_is_read_or_refused(bundle: Bundle, data: st.DataObject) -> None:
    members = {m.path: m.content for m in archive_members([bundle], (), (), tar=False) if m.content is not None}
    path = data.draw(st.sampled_from(sorted(set(members) - {"oci-layout"})))
    document = json.loads(members[path])
    key = data.draw(st.sampled_from(sorted(document)))
    document[key] = data.draw(VALUES)
    members[path] = canonical(document)
    try:
        read(members)
    except ArchiveError as error:
        assert error.code.partition(".")[0] in ("archive", "manifest")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"schemaVersion": 2, "layers": [], "config": {}}', b"\xff"])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_index(data, "here")


def test_code_of_a_stranger_s_plan_names_no_trees_that_are_here() -> None:
    from dataclasses import replace

    from bareboat.errors import ArchiveError
    from bareboat.image.archive import check_complete
    from bareboat.image.plan import PlanCode
    from bareboat.image.planning import image_plan
    from bareboat.lock import BaseImage

    digest = "sha256:" + "a" * 64
    plan = image_plan(BaseImage("x", digest, 1, "", digest, 1, ()), "linux/amd64")
    for overlays in ((), (("/app", "overlay-of-somebody"),)):
        made = replace(plan, code=PlanCode(digest, "b" * 64, (), (("", "/app"),), overlays))
        bundle = Bundle("x", (), made.digest, "c" * 64, "linux/amd64", (), ())
        with pytest.raises(ArchiveError) as caught:
            check_complete(bundle, made, "x.tar")
        assert caught.value.code == ("archive.malformed" if overlays else "archive.incomplete")

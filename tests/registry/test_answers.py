"""What registries answer, read so that nothing is taken for what it is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.image.manifest import DOCKER_MANIFEST
from bareboat.image.spec import INDEX, MANIFEST, Descriptor
from bareboat.registry.answers import (
    content_range,
    described,
    media_type_of,
    next_link,
    tag_list,
    unique_json,
    upload_offset,
)
from bareboat.registry.base import Content
from bareboat.registry.referrers import fallback_tag, rows, with_row

A = "sha256:" + "a" * 64


@pytest.mark.parametrize(("text", "found"), [
    ("bytes 0-9/10", (0, 9, 10)), ("bytes 5-9/*", (5, 9, None)), ("bytes 9-5/10", None), ("bytes 0-10/10", None),
    ("bytes */10", None), ("0-9/10", None), ("bytes 0-9/10, bytes 1-2/3", None), ("bytes -1-9/10", None), ("", None),
    ("bytes 0-" + "9" * 30 + "/*", None),
])  # fmt: skip
def test_content_range(text: str, found: object) -> None:
    assert content_range(text) == found


@pytest.mark.parametrize(("text", "found"), [
    ("0-99", 100), ("bytes=0-99", 100), ("0-0", 0), ("1-99", None), ("", None), ("0--1", None), ("0-9x", None),
])  # fmt: skip
def test_upload_offset(text: str, found: object) -> None:
    assert upload_offset(text) == found


@pytest.mark.parametrize(("headers", "found"), [
    (['</v2/a/tags/list?n=2&last=b>; rel="next"'], "/v2/a/tags/list?n=2&last=b"),
    (["<x>; rel=next"], "x"), (['<x>; rel="prev", <y>; foo=bar; rel="next"'], "y"), (["<x>; rel=nextish"], ""),
    (["<x>"], ""), (["x; rel=next"], ""), ([], ""), (['<a>; rel="prev"', '<b>; REL="NEXT"'], "b"),
])  # fmt: skip
def test_the_next_page(headers: list[str], found: str) -> None:
    assert next_link(headers) == found


@given(st.text(max_size=200))
def test_no_header_is_an_exception(text: str) -> None:
    content_range(text)
    upload_offset(text)
    next_link([text])
    described(text, 3, text)


@given(st.binary(max_size=300))
def test_no_body_is_an_exception_of_another_kind(data: bytes) -> None:
    assert isinstance(media_type_of(data, ""), str)
    for read in (tag_list, unique_json):
        try:
            read(data)
        except ValueError:
            pass


@pytest.mark.parametrize("doc", [
    {"tags": ["ok", "../x"]}, {"tags": "ok"}, {"tags": [3]}, {"tags": [""]}, {"tags": ["a" * 129]}, {"name": "x"}, [],
    {"tags": {"a": 1}}, {"tags": ["a\n"]}, 3,
])  # fmt: skip
def test_what_is_no_list_of_tags(doc: object) -> None:
    with pytest.raises(ValueError):
        tag_list(json.dumps(doc).encode())


def test_lists_of_tags() -> None:
    assert tag_list(b'{"tags": ["b", "a"]}') == ["b", "a"]
    assert tag_list(b'{"tags": null}') == [] == tag_list(b'{"name": "x", "tags": []}')


@pytest.mark.parametrize(("data", "said", "found"), [
    (b"{}", MANIFEST, MANIFEST), (b"{}", f"{MANIFEST}; charset=utf-8", MANIFEST),
    (b'{"mediaType": "%s"}' % DOCKER_MANIFEST.encode(), "application/json", DOCKER_MANIFEST),
    (b'{"manifests": []}', "", INDEX), (b'{"layers": []}', "text/plain", MANIFEST), (b"junk", "Text/HTML", "text/html"),
    (b"[]", "a/b", "a/b"),
])  # fmt: skip
def test_what_a_manifest_is(data: bytes, said: str, found: str) -> None:
    assert media_type_of(data, said) == found


@pytest.mark.parametrize(("digest", "length", "kind"), [
    ("sha256:../x", 3, MANIFEST), (A, None, MANIFEST), (A, 0, MANIFEST), (A, 3, "text/html"), ("", 3, MANIFEST),
])  # fmt: skip
def test_a_head_that_tells_nothing(digest: str, length: int | None, kind: str) -> None:
    assert described(digest, length, kind) is None
    assert described(A, 3, MANIFEST) == Descriptor(MANIFEST, A, 3)


def test_a_list_of_referrers_keeps_what_others_wrote() -> None:
    theirs = {"mediaType": MANIFEST, "digest": A, "size": 3, "artifactType": "x/y", "ours": "not"}
    old = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]}).encode()
    data = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "a/b", "annotations": {"k": "v"},
                       "config": {"mediaType": "c/d", "digest": A, "size": 3}, "layers": []}).encode()
    content = Content(MANIFEST, "sha256:" + "b" * 64, data)
    new = with_row(old, content, "x")
    assert new is not None and json.loads(new)["manifests"] == [
        theirs, {**content.descriptor.document(), "artifactType": "a/b", "annotations": {"k": "v"}}]
    assert with_row(new, content, "x") is None
    assert [d.digest for d in rows(Content(INDEX, "", new), "a/b", "x")] == [content.digest]
    assert fallback_tag(A) == "sha256-" + "a" * 64 and len(fallback_tag("sha512:" + "c" * 128)) <= 128



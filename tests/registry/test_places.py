"""Places of images as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import UsageError
from bareboat.registry.places import parse_place

HEX = "a" * 64


@pytest.mark.parametrize(("text", "kind", "complete", "wanted", "label"), [
    ("python:3.12", "registry", "docker.io/library/python:3.12", "3.12", "python:3.12"),
    ("docker://ghcr.io/lab/seg", "registry", "ghcr.io/lab/seg:latest", "latest", "ghcr.io/lab/seg:latest"),
    (f"x@sha256:{HEX}", "registry", f"docker.io/library/x@sha256:{HEX}", f"sha256:{HEX}", f"x@sha256:{HEX}"),
    ("oci:/images/seg:1", "oci", "oci:/images/seg:1", "1", "seg:1"),
    ("oci:/images/seg", "oci", "oci:/images/seg", "", ""),
    ("oci:/a:b/seg:1", "oci", "oci:/a:b/seg:1", "1", "seg:1"),
    (f"oci:/images/seg@sha256:{HEX}", "oci", f"oci:/images/seg@sha256:{HEX}", f"sha256:{HEX}", ""),
    (f"archive:sha256:{HEX}", "archive", f"archive:sha256:{HEX}", f"sha256:{HEX}", ""),
    ("docker-daemon:seg:1", "docker-daemon", "docker-daemon:docker.io/library/seg:1", "1", "seg:1"),
])
def test_what_people_write(text: str, kind: str, complete: str, wanted: str, label: str) -> None:
    place = parse_place(text)
    assert (place.kind, str(place), place.wanted, place.label) == (kind, complete, wanted, label)
    assert parse_place(str(place)) == place


def test_a_layout_is_named_from_here() -> None:
    assert parse_place("oci:seg/:1").path == str(Path.cwd() / "seg")


@pytest.mark.parametrize(("text", "code"), [
    ("oci:", "reference.malformed"), ("oci::1", "reference.malformed"), ("docker-archive:x.tar", "reference.transport"),
    ("containers-storage:x", "reference.transport"), ("https://ghcr.io/x", "reference.transport"),
    ("docker://", "reference.malformed"), ("docker-daemon:", "reference.malformed"), ("UP", "reference.malformed"),
])
def test_what_is_refused(text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_place(text)
    assert caught.value.code == code


@given(st.text(max_size=40))
def test_a_place_reads_back(text: str) -> None:
    try:
        place = parse_place(text)
    except UsageError:
        return
    assert parse_place(str(place)) == place


@pytest.mark.parametrize(("text", "label"), [
    ("oci:/srv/Seg:1", "seg:1"), ("oci:/srv/seg", ""), ("oci:/srv/my image:1", ""), ("oci:/:1", ""),
    ("oci:/srv/seg/:latest", "seg:latest"), (f"oci:/srv/seg@sha256:{'a' * 64}", ""),
])  # fmt: skip
def test_an_image_of_a_layout_is_called_after_its_directory(text: str, label: str) -> None:
    assert parse_place(text).label == label

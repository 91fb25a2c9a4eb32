"""Names of images as people write them and as they are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import UsageError
from bareboat.image.reference import Reference, parse_reference

HEX = "a" * 64


@pytest.mark.parametrize(("text", "complete", "short"), [
    ("python", "docker.io/library/python:latest", "python:latest"),
    ("python:3.12-slim", "docker.io/library/python:3.12-slim", "python:3.12-slim"),
    ("lab/seg", "docker.io/lab/seg:latest", "lab/seg:latest"),
    ("docker.io/lab/seg:1", "docker.io/lab/seg:1", "lab/seg:1"),
    ("index.docker.io/library/python:3", "docker.io/library/python:3", "python:3"),
    ("localhost:5000/x/y", "localhost:5000/x/y:latest", "localhost:5000/x/y:latest"),
    ("127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1"),
    ("[::1]:5000/x:1", "[::1]:5000/x:1", "[::1]:5000/x:1"),
    ("GHCR.io/lab/seg:1", "ghcr.io/lab/seg:1", "ghcr.io/lab/seg:1"),
    (f"nvcr.io/nvidia/pytorch:24.01-py3@sha256:{HEX}", f"nvcr.io/nvidia/pytorch:24.01-py3@sha256:{HEX}",
     f"nvcr.io/nvidia/pytorch:24.01-py3@sha256:{HEX}"),
    (f"x@sha256:{HEX}", f"docker.io/library/x@sha256:{HEX}", f"x@sha256:{HEX}"),
])
def test_what_people_write(text: str, complete: str, short: str) -> None:
    found = parse_reference(text)
    assert str(found) == complete
    assert found.short == short
    assert parse_reference(complete) == found == parse_reference(short)


@pytest.mark.parametrize("text", [
    "", ":", "@", "Upper", "ghcr.io/Lab/seg", "x:", "x:.bad", "a//b", "/a", "a/", "../etc/passwd", "x@sha256:../..",
    f"x@sha256:{'A' * 64}", f"x@sha256:{HEX}0", "x@md5:" + "a" * 32, "x y", "x\n", "host.example/" + "a" * 250,
    "-host.example/x", "x:" + "t" * 129, "http://ghcr.io/x", "a..b", "a/b:c/d",
])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.code == "reference.malformed"


@given(st.text(max_size=60))
def test_any_text_is_a_reference_that_reads_back_or_refused(text: str) -> None:
    try:
        found = parse_reference(text)
    except UsageError:
        return
    assert isinstance(found, Reference)
    assert parse_reference(str(found)) == found
    assert "/../" not in str(found) and "\n" not in str(found)

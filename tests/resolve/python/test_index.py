from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ResolveError
from bareboat.resolve.python.index import Offer, effective, read_page, sdist_version, serving, with_offers

PAGE = (
    b'<!DOCTYPE html><a href="../../files/x-1.0.tar.gz#sha256=aa" data-requires-python="&gt;=3.8">x-1.0.tar.gz</a>'
    b'<a href="https://cdn.example/x-1.0-cp27-cp27mu-linux_x86_64.whl">x-1.0-cp27-cp27mu-linux_x86_64.whl</a>'
    b'<a href="x-2.0.zip" data-yanked="bad">x-2.0.zip</a><a href="x-3.0.zip">x-3.0.zip</a>'
    b'<a href="x-3.0-py3-none-any.whl" data-core-metadata="sha256=bb">x-3.0-py3-none-any.whl</a>'
)


def usable(filename: str) -> bool:
    return filename.endswith("-any.whl")


def test_html_and_json_pages_read_alike() -> None:
    html = read_page("text/html", PAGE, "https://index.example/simple/x/")
    assert html["files"][0] == {
        "filename": "x-1.0.tar.gz",
        "url": "https://index.example/files/x-1.0.tar.gz",
        "hashes": {"sha256": "aa"},
        "requires-python": ">=3.8",
    }
    assert html["files"][4]["core-metadata"] == {"sha256": "bb"}
    body = json.dumps({"files": [{"filename": "x-1.0.zip", "url": "../x-1.0.zip", "hashes": {}}]}).encode()
    page = read_page("application/vnd.pypi.simple.v1+json", body, "https://index.example/simple/x/")
    assert page["files"][0]["url"] == "https://index.example/simple/x-1.0.zip"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"files": [1]}', b'{"files": [{"filename": "x"}]}'])
def test_a_malformed_page_is_an_error_of_the_index(body: bytes) -> None:
    with pytest.raises(ResolveError) as e:
        read_page("application/vnd.pypi.simple.v1+json", body, "https://u:canary@index.example/x/")
    assert e.value.code == "python.index"
    assert "canary" not in str(e.value)


def test_only_releases_without_a_wheel_that_fits_are_offered() -> None:
    page = read_page("text/html", PAGE, "https://index.example/simple/x/")
    shown, offers = with_offers("x", page, usable, "http://127.0.0.1:1")
    assert offers == {"x-1.0-py3-none-any.whl": Offer("x", "1.0", "https://index.example/files/x-1.0.tar.gz", "aa")}
    assert shown["files"][:-1] == page["files"]
    assert shown["files"][-1]["requires-python"] == ">=3.8"
    assert shown["files"][-1]["core-metadata"] is True


@pytest.mark.parametrize(
    ("filename", "name", "version"),
    [
        ("docopt-0.6.2.tar.gz", "docopt", "0.6.2"),
        ("my-old-name-1.0.zip", "my-old-name", "1.0"),
        ("My.Old_Name-1.0b1.tar.bz2", "my-old-name", "1.0b1"),
        ("other-1.0.tar.gz", "docopt", ""),
        ("docopt-0.6.2-py3-none-any.whl", "docopt", ""),
        ("docopt-0.6.2.exe", "docopt", ""),
    ],
)
def test_versions_of_sdists(filename: str, name: str, version: str) -> None:
    assert sdist_version(filename, name) == version


def test_a_build_happens_only_when_its_metadata_is_asked_for() -> None:
    built: list[str] = []

    def build(offer: Offer) -> bytes:
        built.append(offer.version)
        return b"Name: x\n"

    def get(url: str) -> bytes:
        with urllib.request.urlopen(url) as response:
            return bytes(response.read())

    def fetch(url: str) -> tuple[int, str, bytes]:
        return (200, "text/html", PAGE) if url == "https://index.example/simple/x/" else (404, "", b"")

    with serving(("https://index.example/simple",), usable, fetch, build) as served:
        page = json.loads(get(f"{served.base}/0/X/"))
        assert built == []
        assert get(page["files"][-1]["url"] + ".metadata") == b"Name: x\n"
        assert built == ["1.0"]
        for path in ("/0/y/", "/7/x/", "/offer/x/z-1-py3-none-any.whl.metadata", "/../etc/passwd", "/"):
            with pytest.raises(urllib.error.HTTPError) as e:
                get(served.base + path)
            assert e.value.code == 404
            e.value.close()
        assert served.failure is None


def test_a_failed_build_is_kept_for_whoever_started_uv() -> None:
    def build(offer: Offer) -> bytes:
        raise ResolveError("python.build-failed", "no compiler")

    with serving(("https://index.example",), usable, lambda url: (200, "text/html", PAGE), build) as served:
        urllib.request.urlopen(f"{served.base}/0/x/").close()
        with pytest.raises(urllib.error.HTTPError) as e:
            urllib.request.urlopen(f"{served.base}/offer/x/x-1.0-py3-none-any.whl.metadata")
        e.value.close()
    assert isinstance(served.failure, ResolveError)


def test_effective_indexes_in_uvs_order() -> None:
    shown = "--index-url https://a.example/simple\n--extra-index-url https://b.example\n--find-links w\n\nsix==1\n"
    assert effective(shown) == (("https://b.example", "https://a.example/simple"), ("w",))


@given(st.binary(max_size=300))
def test_any_html_is_a_page(body: bytes) -> None:
    with_offers("x", read_page("text/html", body, "https://index.example/x/"), usable, "http://127.0.0.1:1")


@given(st.text(max_size=60))
def test_any_file_name_is_met(filename: str) -> None:
    page = {"files": [{"filename": filename + suffix, "url": "u", "hashes": {}} for suffix in (".whl", ".tar.gz")]}
    with_offers("x", page, usable, "http://127.0.0.1:1")

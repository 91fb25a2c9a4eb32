"""A package index on the loopback that offers sdists as wheels: uv asks for one's metadata, and it is built.

uv's part stays what it is: choosing versions. Ours: for a release that has an sdist and no wheel for the
target, the page lists a wheel (py3-none-any) of our own, with its metadata served apart (PEP 658, PEP
691, PEP 714). Only when uv asks for that metadata is the sdist built, in the sandbox. Every other file
keeps its upstream URL. Decision 0051.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urljoin

from bareboat.errors import ResolveError
from bareboat.resolve.python.formats import ANY, Formats
from bareboat.resolve.python.requirements import normalize
from bareboat.transport import redacted

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
_SDISTS = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")

Fetch = Callable[[str], "tuple[int, str, bytes]"]  # URL → status, content type, body
Build = Callable[["Offer"], bytes]  # → METADATA of the wheel


@dataclass(frozen=True)
class Offer:
    """An sdist that is offered as a wheel. url, sha256, size: of the sdist."""

    name: str
    version: str
    url: str
    sha256: str
    size: int = 0


@dataclass
class Served:
    """What happened while serving: offers by their made-up file name, and the first build that failed."""

    base: str = ""
    offers: dict[str, Offer] = field(default_factory=dict)
    failure: Exception | None = None


@contextmanager
def serving(
    indexes: tuple[str, ...],
    usable: Callable[[str], bool],
    fetch: Fetch,
    build: Build,
    formats: Formats = ANY,
) -> Iterator[Served]:
    """Serve the indexes at served.base + "/0/", "/1/" … while the block runs. usable: file name of a
    wheel → fits?"""
    served = Served()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                status, kind, body = self._answer([unquote(p) for p in self.path.split("?")[0].split("/") if p])
            except Exception as e:  # raised again by whoever started uv: here it would be lost in a thread
                with lock:
                    served.failure = served.failure or e
                status, kind, body = 500, "text/plain", b"the build failed"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def _answer(self, parts: list[str]) -> tuple[int, str, bytes]:
            if len(parts) == 3 and parts[0] == "offer" and parts[2].endswith(".whl.metadata"):
                offer = served.offers.get(parts[2][: -len(".metadata")])
                return (200, "text/plain", build(offer)) if offer else (404, "text/plain", b"")
            if len(parts) == 2 and parts[0].isdigit() and int(parts[0]) < len(indexes):
                name = normalize(parts[1])
                url = indexes[int(parts[0])].rstrip("/") + f"/{quote(name)}/"
                status, kind, body = fetch(url)
                if status != 200:
                    return status, "text/plain", b""
                page = read_page(kind, body, url)
                shown, offers = with_offers(name, page, usable, served.base, formats)
                with lock:
                    served.offers.update(offers)
                return 200, JSON_TYPE, json.dumps(shown).encode()
            return 404, "text/plain", b""

        def log_message(self, format: str, *args: Any) -> None:
            pass  # lower rooms never print

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_offers(
    name: str,
    page: dict[str, Any],
    usable: Callable[[str], bool],
    base: str,
    formats: Formats = ANY,
) -> tuple[dict[str, Any], dict[str, Offer]]:
    """The page with wheels of ours added, and what they stand for; without those that must not be taken."""
    files = page.get("files", [])
    if formats.built(name):
        files = [f for f in files if not f["filename"].endswith(".whl")]
    covered = {f["filename"].split("-")[1] for f in files if f["filename"].endswith(".whl") and usable(f["filename"])}
    offers: dict[str, Offer] = {}
    added = []
    for f in () if formats.never_built(name) else files:
        version = sdist_version(f["filename"], name)
        if not version or version in covered or f.get("yanked"):
            continue
        wheel = f"{name.replace('-', '_')}-{version.replace('-', '_')}-py3-none-any.whl"
        if wheel in offers:
            continue
        offers[wheel] = Offer(name, version, f["url"], f.get("hashes", {}).get("sha256", ""), f.get("size") or 0)
        # without a digest uv would download the wheel to compute one; this one is never written to the lock
        digest = offers[wheel].sha256 or hashlib.sha256(f["url"].encode()).hexdigest()
        kept = {k: f[k] for k in ("requires-python", "upload-time") if f.get(k)}
        added.append(
            {
                "filename": wheel,
                "url": f"{base}/offer/{quote(name)}/{quote(wheel)}",
                "hashes": {"sha256": digest},
                "core-metadata": True,
                **kept,
            }
        )
    meta = {"api-version": "1.0"}
    return {"meta": meta, "name": name, "files": [*files, *added]}, offers


def sdist_version(filename: str, name: str) -> str:
    """The version of an sdist by its file name, "" when it is none of this project."""
    for suffix in _SDISTS:
        if filename.endswith(suffix):
            stem = filename[: -len(suffix)]
            for at in range(len(stem)):  # old sdists have hyphens in their names
                if stem[at] == "-" and normalize(stem[:at]) == name and stem[at + 1 : at + 2].isdigit():
                    return stem[at + 1 :]
    return ""


def read_page(kind: str, body: bytes, url: str) -> dict[str, Any]:
    """A project page of the simple API, JSON (PEP 691) or HTML (PEP 503), its file URLs absolute."""
    if "json" in kind:
        try:
            page: dict[str, Any] = json.loads(body)
            return {"files": [{**f, "url": urljoin(url, f["url"])} for f in page.get("files", [])]}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ResolveError("python.index", "the index's page is malformed", where=redacted(url)) from None
    parser = _Anchors()
    parser.feed(body.decode("utf-8", "replace"))
    files = []
    for attributes, text in parser.anchors:
        href, _, fragment = urljoin(url, attributes.get("href") or "").partition("#")
        algorithm, _, value = fragment.partition("=")
        entry: dict[str, Any] = {
            "filename": text.strip(),
            "url": href,
            "hashes": {algorithm: value} if value else {},
        }
        if attributes.get("data-requires-python"):
            entry["requires-python"] = attributes["data-requires-python"]
        if "data-yanked" in attributes:
            entry["yanked"] = attributes["data-yanked"] or True
        metadata = attributes.get("data-core-metadata") or attributes.get("data-dist-info-metadata")
        if metadata:
            algorithm, _, value = metadata.partition("=")
            entry["core-metadata"] = {algorithm: value} if value else True
        files.append(entry)
    return {"files": files}


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: list[tuple[dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.anchors.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.anchors and self.anchors[-1][1] == "" and data.strip():
            self.anchors[-1] = (self.anchors[-1][0], data)


def effective(output: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Indexes in the order uv asks them, and find-links locations, from `--emit-index-url
    --emit-find-links`."""
    first, extra, links = "", [], []
    for line in output.splitlines():
        flag, _, value = line.strip().partition(" ")
        if flag == "--index-url":
            first = value
        elif flag == "--extra-index-url":
            extra.append(value)
        elif flag == "--find-links":
            links.append(value)
    return (*extra, *((first,) if first else ())), tuple(links)

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bareboat.builder.cpython import cpython_key, executable_of, make_cpython_tree
from bareboat.builder.image import base_of, bottom_keys
from bareboat.errors import ArchiveError, ResolveError
from bareboat.image.plan import Plan, interpreter_of
from bareboat.lock import Base, CPython
from bareboat.resolve.cpython import Asked, lock_cpython
from bareboat.store import Store


def archive(*members: tuple[str, bytes | str]) -> bytes:
    """A gzip tar; text is a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


GOOD = archive(("python/bin/python3.12", b"program"), ("python/bin/python3", "python3.12"),
               ("python/lib/python3.12/os.py", b""))


def kept(store: Store, data: bytes) -> CPython:
    return CPython("3.12.9", "https://mirror.example/x.tar.gz", store.put_blob([data]), len(data))


def test_the_archive_becomes_a_tree_without_its_top(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    tree = make_cpython_tree(store, kept(store, GOOD))
    assert (tree / "opt/python/bin/python3.12").read_bytes() == b"program"
    assert (tree / "opt/python/bin/python3").readlink() == Path("python3.12")


@pytest.mark.parametrize(("data", "code"), [
    (archive(("other/bin/python3.12", b"")), "cpython.layout"),
    (archive(("python/bin/python3.11", b"")), "cpython.layout"),
    (archive(("python/../../x", b"")), "tar.path"),
    (archive(("python/lib", "/etc"), ("python/lib/x", b"")), "tree.clash"),
    (GOOD[:-30], "cpython.corrupt"),
    (b"not gzip at all", "cpython.corrupt"),
    (gzip.compress(b"x" * 600), "tar.header"),
], ids=("other-root", "other-version", "outside", "through-link", "cut", "no-gzip", "no-tar"))
def test_an_archive_that_is_none_leaves_nothing(data: bytes, code: str, tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    found = kept(store, data)
    with pytest.raises(ArchiveError) as e:
        make_cpython_tree(store, found)
    assert e.value.code == code and store.tree(cpython_key(found)) is None


def test_it_is_part_of_the_plan_and_of_its_trees() -> None:
    cpython = CPython("3.12.9", "https://mirror.example/x.tar.gz", "a" * 64, 1)
    base = Base("debian", "trixie", "", (), "3.12", "3.12.9", "glibc 2.41", executable_of("3.12"), cpython=cpython)
    python = interpreter_of(base)
    assert (python.executable, python.site) == ("/opt/python/bin/python3.12", "/opt/venv/lib/python3.12/site-packages")
    plan = Plan("linux/amd64", "debian", "trixie", python, (), (), (), (), libc=base.libc, cpython=cpython)
    assert bottom_keys(plan)[-1] == cpython_key(cpython)
    assert interpreter_of(base_of(plan)) == python
    assert plan.digest != Plan("linux/amd64", "debian", "trixie", python, (), (), (), (), libc=base.libc).digest


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path, list[str]]]:
    """A mirror on the loopback, empty; what is asked of it."""
    asked: list[str] = []
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder, asked
    server.shutdown()
    server.server_close()


def publish(url: str, folder: Path, asked: list[str], sums: str | None) -> str:
    """Put the archive where uv's list says that it is; sums: the digest that is stated for it. Its address."""
    from urllib.parse import unquote

    with pytest.raises(ResolveError):
        lock_cpython(Asked("3.12", "linux/amd64", url), Store.open(folder.parent / "probe"))
    path = next(unquote(p) for p in (line.partition("?")[0] for line in asked) if p.endswith(".tar.gz"))
    at = folder / path.lstrip("/")
    at.parent.mkdir()
    at.write_bytes(GOOD)
    if sums is not None:
        (at.parent / "SHA256SUMS").write_text(f"{sums}  {at.name}\n")
    return path


def test_uvs_list_knows_where_and_a_mirror_stands_in(mirror: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    url, folder, asked = mirror
    digest = hashlib.sha256(GOOD).hexdigest()
    publish(url, folder, asked, digest)
    store = Store.open(tmp_path / "home")
    found = lock_cpython(Asked("3.12", "linux/amd64", f"{url}/"), store)
    assert found is not None
    assert found.version.startswith("3.12.") and found.url.startswith(f"{url}/20")
    assert (found.sha256, found.size) == (digest, len(GOOD)) and store.blob(digest) is not None


def test_what_is_not_what_the_release_says_is_refused(mirror: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    url, folder, asked = mirror
    publish(url, folder, asked, "0" * 64)
    with pytest.raises(ArchiveError) as e:
        lock_cpython(Asked("3.12", "linux/amd64", url), Store.open(tmp_path / "home"))
    assert e.value.code == "blob.digest"


def test_without_sums_what_came_is_pinned(mirror: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    url, folder, asked = mirror
    publish(url, folder, asked, None)
    found = lock_cpython(Asked("3.12", "linux/amd64", url), Store.open(tmp_path / "home"))
    assert found is not None and found.sha256 == hashlib.sha256(GOOD).hexdigest()


def test_a_version_that_nobody_built_is_none_and_offline_is_said(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert lock_cpython(Asked("3.99", "linux/amd64"), store) is None
    with pytest.raises(ResolveError) as e:
        lock_cpython(Asked("3.12", "linux/arm64", offline=True), store)
    assert e.value.code == "cpython.offline"

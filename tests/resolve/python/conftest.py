"""A small package index on the loopback, and a room that builds on the host, for tests without network or
sandbox."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bareboat.host.process import Command, run
from bareboat.project.values import Dependencies
from bareboat.resolve.python.building import BuildSpec
from bareboat.resolve.python.request import Request
from bareboat.resolve.python.target import Target

TARGET = Target("3.13.5", "glibc 2.41", "linux/amd64")
DRIVER = Path(__file__).parents[3] / "src/bareboat/resolve/python/pep517_inside.py"

BACKEND = """
import os, zipfile
NAME, VERSION, REQUIRES = {name!r}, {version!r}, {requires!r}
def get_requires_for_build_wheel(settings=None):
    return []
def build_wheel(out, settings=None, metadata=None):
    name = NAME + "-" + VERSION + "-py3-none-any.whl"
    info = NAME + "-" + VERSION + ".dist-info/"
    with zipfile.ZipFile(os.path.join(out, name), "w") as z:
        def add(path, text):
            z.writestr(zipfile.ZipInfo(path, (1980, 1, 2, 0, 0, 0)), text)
        add(NAME + ".py", open("code.py").read())
        lines = ["Metadata-Version: 2.1", "Name: " + NAME, "Version: " + VERSION]
        add(info + "METADATA", "\\n".join(lines + ["Requires-Dist: " + r for r in REQUIRES]) + "\\n")
        add(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        add(info + "RECORD", "")
    return name
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def wheel_bytes(name: str, version: str, requires: tuple[str, ...] = (), tag: str = "py3-none-any") -> bytes:
    """A wheel with one module."""
    data = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(data, "w") as z:
        z.writestr(zipfile.ZipInfo(f"{name}.py"), f"VERSION = {version!r}\n")
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {r}" for r in requires]
        z.writestr(zipfile.ZipInfo(f"{info}/METADATA"), "\n".join(lines) + "\n")
        z.writestr(zipfile.ZipInfo(f"{info}/WHEEL"), f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        z.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")
    return data.getvalue()


def source_files(name: str, version: str, requires: tuple[str, ...] = ()) -> dict[str, str]:
    """A source tree whose backend is part of it and needs nothing."""
    backend = BACKEND.format(name=name, version=version, requires=requires)
    return {"pyproject.toml": PYPROJECT, "backend.py": backend, "code.py": "X = 1\n"}


def sdist_bytes(name: str, version: str, requires: tuple[str, ...] = (), **files: str) -> bytes:
    """An sdist of source_files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as t:
        for path, text in {**source_files(name, version, requires), **files}.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text.encode())
            t.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


class Index:
    """A simple index (PEP 503) over a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        index = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                index.asked.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/simple/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def add(self, filename: str, content: bytes) -> str:
        """Publish a file; returns its sha256."""
        name = filename.split("-")[0].lower().replace("_", "-")
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / "files").mkdir(exist_ok=True)
        (self.folder / "files" / filename).write_bytes(content)
        page = self.folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        before = page.read_text() if page.exists() else ""
        page.write_text(before + f'<a href="/files/{filename}#sha256={sha256}">{filename}</a>\n')
        return sha256

    def wheel(self, name: str, version: str, requires: tuple[str, ...] = (), tag: str = "py3-none-any") -> str:
        """Publish a wheel."""
        return self.add(f"{name}-{version}-{tag}.whl", wheel_bytes(name, version, requires, tag))

    def sdist(self, name: str, version: str, requires: tuple[str, ...] = (), **files: str) -> str:
        """Publish an sdist."""
        return self.add(f"{name}-{version}.tar.gz", sdist_bytes(name, version, requires, **files))


class HostRoom:
    """A BuildRoom without a sandbox: sources of our own making are built on the host. Counts what it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[BuildSpec] = []
        self.memory: dict[str, Mapping[str, object]] = {}
        folder.mkdir(exist_ok=True)

    def run(self, spec: BuildSpec) -> str:
        self.runs.append(spec)
        work = spec.out / "work"
        work.mkdir()
        argv = (
            sys.executable,
            str(DRIVER),
            str(spec.source),
            spec.subdirectory,
            str(work),
            str(spec.out),
            spec.want,
        )
        done = run(Command(argv, env=dict(spec.env), timeout=60))
        return (done.stdout + done.stderr).decode()

    def blob(self, sha256: str) -> Path | None:
        path = self.folder / sha256
        return path if path.exists() else None

    def keep(self, path: Path) -> str:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        (self.folder / sha256).write_bytes(content)
        return sha256

    def download(self, url: str, sha256: str) -> Path:
        import urllib.request

        with urllib.request.urlopen(url) as response:
            content = response.read()
        path = self.folder / hashlib.sha256(content).hexdigest()
        assert sha256 in ("", path.name)
        path.write_bytes(content)
        return path

    def remembered(self, key: str) -> Mapping[str, object] | None:
        return self.memory.get(key)

    def remember(self, key: str, value: Mapping[str, object]) -> None:
        self.memory[key] = value


class Folder:
    """A project folder, and requests for it."""

    def __init__(self, root: Path, scratch: Path, index: Index) -> None:
        self.root, self.scratch, self.index = root, scratch, index
        self.count = 0

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def request(self, *files: str, source: str = "requirements", **more: Any) -> Request:
        self.count += 1
        scratch = self.scratch / str(self.count)
        scratch.mkdir(parents=True)
        asked = {k: more.pop(k) for k in ("requirements", "groups", "extras") if k in more}
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "UV_CACHE_DIR": str(self.scratch / "cache"),
            "UV_DEFAULT_INDEX": self.index.url,
            "UV_NO_CONFIG": "1",
        }
        dependencies = Dependencies(source, files or ("requirements.txt",), **asked)
        return Request(self.root, dependencies, more.pop("target", TARGET), scratch, env=env, **more)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    made = Index(folder)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def room(tmp_path: Path) -> HostRoom:
    return HostRoom(tmp_path / "blobs")


@pytest.fixture
def project(tmp_path: Path, index: Index) -> Folder:
    root = tmp_path / "pro ject"
    root.mkdir()
    return Folder(root, tmp_path / "scratch", index)


@pytest.fixture
def git_repository(tmp_path: Path) -> Any:
    """A function (name, version) → (URL, commit): commits a source to one repository."""
    folder = tmp_path / "repository"

    def commit(name: str, version: str) -> tuple[str, str]:
        fresh = not folder.exists()
        folder.mkdir(exist_ok=True)
        for path, text in source_files(name, version).items():
            (folder / path).write_text(text)
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        for argv in ([("init", "-q", "-b", "main")] if fresh else []) + [
            ("add", "."),
            (*who, "commit", "-qm", version),
        ]:
            assert run(Command(("git", *argv), cwd=folder)).code == 0
        head = run(Command(("git", "rev-parse", "HEAD"), cwd=folder)).stdout.decode().strip()
        return folder.as_uri(), head

    return commit

"""A whole small world: a signed archive and a package index of our own, a store, a project folder, the fake engine."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from tests.archive_factory import Key, Suite, python_packages
from tests.resolve.python.conftest import Index

from bareboat.engine.memory import Guest, MemoryEngine
from bareboat.settings import Settings
from bareboat.store import Store
from bareboat.verbs.collaborators import Work


def wheel(name: str, version: str, *requires: str) -> bytes:
    """A wheel with one module and a RECORD that is right."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
    files = {f"{name}.py": f"version = {version!r}\n",
             f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    rows = [f"{path},sha256={_urlsafe(text)},{len(text)}\n" for path, text in files.items()]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": "".join(rows) + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return content.getvalue()


def carrying(name: str, inner: str) -> bytes:
    """A wheel, version 1.0, that has another package's metadata, version 7, among its files, as setuptools does."""
    path, text = f"{name}/_vendor/{inner}-7.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {inner}\nVersion: 7\n\n"
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel(name, "1.0"))) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            row = f"{path},sha256={_urlsafe(text)},{len(text)}\n" if member.filename.endswith("/RECORD") else ""
            new.writestr(member.filename, old.read(member).decode() + row)
        new.writestr(path, text)
    return out.getvalue()


def _urlsafe(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


class Heard:
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    detail = say

    def progress(self, what: str, done: int, total: int) -> None:
        pass

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class World:
    """Everything a run needs, without network, root or sandbox. work: the collaborators; root: the project."""

    def __init__(self, base: Path, index: Index) -> None:
        self.base, self.index, self.root, self.tell = base, index, base / "project", Heard()
        archive, key = base / "archive", Key()
        Suite(python_packages(), date=datetime.now(timezone.utc)).write(archive, key)
        Suite(python_packages(), codename="trixie-updates", date=datetime.now(timezone.utc)).write(archive, key)
        (base / "keys").write_bytes(key.public)
        (self.root / "src").mkdir(parents=True)
        self.settings = Settings(home=base / "home", debian_mirror=f"file:{archive}",
                                 debian_security_mirror=f"file:{archive}", debian_keyring=base / "keys",
                                 leases_path=base / "leases")
        self.engine = MemoryEngine({"true": lambda _: 0, "false": lambda _: 1})
        self.store = Store.open(self.settings.home)

    @property
    def work(self) -> Work:
        return Work(self.store, self.engine, self.settings, self.tell)

    def program(self, name: str, call: Callable[[Guest], int]) -> None:
        self.engine.programs[name] = call

    def publish(self, name: str, version: str, *requires: str) -> str:
        """A wheel on the index; its sha256."""
        return self.index.add(f"{name}-{version}-py3-none-any.whl", wheel(name, version, *requires))

    def require(self, *lines: str) -> None:
        (self.root / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))

    def outside(self) -> dict[str, bytes]:
        """The project's files by path, with their content."""
        return {os.fspath(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}

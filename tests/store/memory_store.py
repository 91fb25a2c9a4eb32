"""A store of plain files with the calls snapshots and results need, without locks or fsync."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


class Writer:
    def __init__(self, root):
        self.root = root

    def _at(self, path):
        parts = path.split("/")
        assert path and not path.startswith("/") and ".." not in parts
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        return full

    def file(self, path, mode, chunks):
        full = self._at(path)
        full.write_bytes(b"".join(chunks))
        full.chmod(mode)

    def symlink(self, path, target):
        self._at(path).symlink_to(target)

    def directory(self, path, mode=0o755):
        self._at(path).mkdir(parents=True, exist_ok=True)


class FolderStore:
    """blob, put_blob, get_json, put_json, tree, make_tree as bareboat.store.Store has them."""

    def __init__(self, home: Path):
        self.home = home
        for name in ("blobs", "tmp", "json", "trees"):
            (home / name).mkdir(parents=True, exist_ok=True)
        self.puts = 0

    def blob(self, sha256):
        path = self.home / "blobs" / sha256
        return path if sha256 and path.exists() else None

    def put_blob(self, chunks, *, sha256=None, size=None, where=""):
        data = b"".join(chunks)
        digest = hashlib.sha256(data).hexdigest()
        assert sha256 in (None, digest) and size in (None, len(data))
        (self.home / "blobs" / digest).write_bytes(data)
        self.puts += 1
        return digest

    def put_json(self, kind, key, value):
        self.puts += 1
        (self.home / "json" / f"{kind}-{key}").write_text(json.dumps(value))

    def get_json(self, kind, key):
        path = self.home / "json" / f"{kind}-{key}"
        return json.loads(path.read_text()) if path.exists() else None

    def tree(self, key):
        path = self.home / "trees" / key
        return path if path.exists() else None

    def make_tree(self, key, fill):
        path = self.home / "trees" / key
        path.mkdir()
        fill(Writer(path))
        return path

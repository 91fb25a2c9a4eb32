"""Small JSON values by kind and key, each with its own digest, so that a changed bit or a swapped file is
noticed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from bareboat.digests import sha256
from bareboat.errors import StoreError
from bareboat.store.atomic import write_file
from bareboat.store.disk_errors import disk_error
from bareboat.store.paths import Layout, check_key, document_name
from bareboat.store.stamps import stamp

# Made again from other things at no loss: gc takes those that nobody used.
REMAKEABLE = frozenset({"cache", "manifests", "plans", "projects"})
# Not synced when written, and a damaged one counts as absent. Which containers are listed may be lost by a power cut in
# their first seconds, as if that had come a moment earlier; how a run went is in its record.
_UNSYNCED = REMAKEABLE | {"containers", "live", "starts"}
_MAGIC = b"bareboat 1 "


class Documents:
    """The documents of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def put(self, kind: str, key: str, value: object) -> None:
        """Replace a document atomically; the last writer wins. Durable unless its kind can be made again."""
        check_key(kind)
        durable = kind not in _UNSYNCED
        body = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        head = _MAGIC + _digest(kind, key, body) + b" " + json.dumps(key).encode() + b"\n"
        target = self._layout.document(kind, key)
        self._make_kind(kind, durable)
        write_file(self._layout, target, (head, body), durable=durable)

    def _make_kind(self, kind: str, durable: bool) -> None:
        directory = self._layout.at("documents", kind)
        try:
            try:
                os.mkdir(directory, 0o700)
                if self._layout.lent:
                    from bareboat.store.lending import KINDS

                    os.chmod(directory, 0o755 if kind in KINDS else 0o700)
            except FileExistsError:
                if _is_settled(directory):
                    return
            if durable:
                from bareboat.host.files import fsync_directory

                fsync_directory(self._layout.at("documents"))
        except OSError as error:
            raise disk_error(error, directory) from error

    def get(self, kind: str, key: str) -> object | None:
        """The value, or None; marks use.

        Raises StoreError store.damaged, unless the kind can be made again: then None.
        """
        return self._read(kind, key, marks=True)

    def peek(self, kind: str, key: str) -> object | None:
        """As get, without marking use; a damaged one is an error whatever its kind."""
        return self._read(kind, key, marks=False)

    def _read(self, kind: str, key: str, *, marks: bool) -> object | None:
        path = self._layout.document(check_key(kind), key)
        try:
            with open(path, "rb") as file:
                data = file.read()
                if marks:
                    stamp(path, os.fstat(file.fileno()).st_mtime)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_error(error, path) from error
        head, _, body = data.partition(b"\n")
        if head[: len(_MAGIC)] == _MAGIC and head[len(_MAGIC) :].split(b" ")[0] == _digest(kind, key, body):
            return json.loads(body.decode("utf-8", "surrogatepass"))  # type: ignore[no-any-return]
        if kind in _UNSYNCED and marks:
            return None
        raise StoreError(
            "store.damaged",
            f"the document {kind}/{key} is not as it was written",
            where=path,
            hint="restore it from a copy of the store, or remove this file and make it again",
        )

    def remove(self, kind: str, key: str) -> bool:
        """Remove a document; False when there was none. Durable when it returns, where its making was."""
        path = self._layout.document(check_key(kind), key)
        from bareboat.host.files import fsync_directory

        try:
            os.unlink(path)
            if kind not in _UNSYNCED:
                fsync_directory(os.path.dirname(path))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_error(error, path) from error
        return True

    def keys(self, kind: str) -> list[str]:
        """Every key of a kind, sorted, damaged ones left out."""
        directory = self._layout.at("documents", check_key(kind))
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            key = _key_of(f"{directory}/{name}")
            if key is not None and document_name(key) == name:
                found.append(key)
        return sorted(found)

    def strangers(self, kind: str, keys: list[str]) -> list[str]:
        """File names of a kind that are not the name of any of its readable keys."""
        known = {document_name(key) for key in keys}
        return sorted(set(os.listdir(self._layout.at("documents", kind))) - known)

    def kinds(self) -> list[str]:
        """Every kind that was ever written."""
        return sorted(os.listdir(self._layout.at("documents")))

    def path(self, kind: str, key: str) -> Path:
        """Where a document is; for age and size only."""
        return Path(self._layout.document(check_key(kind), key))


def _is_settled(directory: str) -> bool:
    """Whether something durable was written here before, which means that its own name is durable as well."""
    with os.scandir(directory) as entries:
        return next(entries, None) is not None


def _digest(kind: str, key: str, body: bytes) -> bytes:
    name = f"{kind}\0{key}\0".encode("utf-8", "surrogatepass")
    return sha256(name + body).hexdigest().encode()


def _key_of(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            head = file.readline(8192)
        key = json.loads(head[len(_MAGIC) + 65 :])
    except (OSError, ValueError):
        return None
    return key if isinstance(key, str) else None

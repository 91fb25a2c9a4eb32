"""What is in the store and what keeps it: read once for gc and for df."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bareboat.errors import BareboatError
from bareboat.store.documents import REMAKEABLE, Documents
from bareboat.store.paths import Layout
from bareboat.store.references import BLOB, DOCUMENT, TREE, Ref, anything_named, pins, references
from bareboat.store.runs import RunStore

IMAGES = ("plans", "projects")  # kinds whose documents stand for an image: young ones keep all they name


@dataclass(frozen=True)
class Item:
    """A thing that could be collected. used: when last, seconds since the epoch; path: its file or
    directory.
    """

    ref: Ref
    path: str
    used: float


@dataclass
class Survey:
    """Everything, with the roots. needs: what a document names. Reading is remembered by inode and times."""

    items: dict[Ref, Item] = field(default_factory=dict)
    needs: dict[Ref, frozenset[Ref]] = field(default_factory=dict)
    tags: dict[str, frozenset[Ref]] = field(default_factory=dict)
    runs: dict[str, frozenset[Ref]] = field(default_factory=dict)
    _lent: bool = False
    _seen: dict[str, tuple[tuple[int, ...], frozenset[Ref]]] = field(default_factory=dict)

    def read(self, layout: Layout) -> None:
        """Look at everything anew; what has not changed since the last look is not parsed again."""
        self.items, self.needs, self.tags, self.runs = {}, {}, {}, {}
        self._lent = layout.lent
        self._read_documents(layout)
        self._read_runs(layout)
        for digest in os.listdir(layout.at("blobs", "sha256")):
            self._add(Ref(BLOB, digest), layout.blob(digest), layout.blob(digest))
        for key in os.listdir(layout.at("trees")):
            wrapper = layout.tree(key)
            synced = f"{wrapper}/synced"
            self._add(Ref(TREE, key), wrapper, synced if os.path.exists(synced) else f"{wrapper}/boot")

    def _add(self, ref: Ref, path: str, stamp: str) -> None:
        try:
            used = os.stat(stamp).st_mtime
        except OSError:
            used = 0.0  # a tree without its marks: hidden, or half removed
        if self._lent and ref.kind != DOCUMENT:  # others cannot write when they used it, but the kernel does
            from bareboat.store.lending import last_read

            used = max(used, last_read(path if ref.kind == BLOB else f"{path}/manifest"))
        self.items[ref] = Item(ref, path, used)

    def _read_documents(self, layout: Layout) -> None:
        documents = Documents(layout)
        for kind in documents.kinds():
            keys = documents.keys(kind)
            for key in keys:
                path = str(documents.path(kind, key))
                ref = Ref(DOCUMENT, f"{kind}/{key}")
                found = self._once(path, partial(_needs_of, documents, kind, key))
                if kind == "tags":
                    self.tags[key] = found
                    continue
                self.needs[ref] = found
                about = key if kind == "manifests" else _tree_of_note(key) if kind == "cache" else ""
                if about:
                    tree = Ref(TREE, about)
                    self.needs[tree] = self.needs.get(tree, frozenset()) | {ref}
                if kind in REMAKEABLE:
                    self._add(ref, path, path)
                else:
                    self.runs[f"documents/{ref.key}"] = found
            for name in documents.strangers(kind, keys):
                path = layout.at("documents", kind, name)
                if kind in REMAKEABLE:
                    self._add(Ref(DOCUMENT, f"{kind}/{name}"), path, path)
                else:
                    self.runs[f"documents/{kind}/{name}"] = self._once(path, _unreadable)

    def _read_runs(self, layout: Layout) -> None:
        runs = RunStore(layout)
        for run in runs.ids():
            path = str(runs.path(run) / "record.json")
            self.runs[run] = self._once(path, partial(_pins_of, runs, run))

    def _once(self, path: str, read: Callable[[], frozenset[Ref]]) -> frozenset[Ref]:
        try:
            status = os.stat(path)
            signature = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            known = self._seen.get(path)
            if known is not None and known[0] == signature:
                return known[1]
            try:
                found = read()
            except (BareboatError, ValueError):  # better kept for nothing than missed
                with open(path, "rb") as file:
                    found = anything_named(file.read().decode("utf-8", "replace"))
        except OSError:
            return frozenset()
        self._seen[path] = (signature, found)
        return found

    def closure(self, roots: frozenset[Ref]) -> set[Ref]:
        """The roots and all they need."""
        marked: set[Ref] = set()
        pending = list(roots)
        while pending:
            ref = pending.pop()
            if ref not in marked:
                marked.add(ref)
                pending.extend(self.needs.get(ref, ()))
        return marked

    def images(self) -> list[Item]:
        """The documents that stand for images, the last used first."""
        found = [i for r, i in self.items.items() if r.kind == DOCUMENT and r.key.split("/")[0] in IMAGES]
        return sorted(found, key=lambda item: (-item.used, item.ref))


def _needs_of(documents: Documents, kind: str, key: str) -> frozenset[Ref]:
    return references(documents.peek(kind, key))


def _pins_of(runs: RunStore, run: str) -> frozenset[Ref]:
    return pins(runs.read(run))


def _unreadable() -> frozenset[Ref]:
    raise ValueError


def _tree_of_note(key: str) -> str:
    """The tree that a note in the cache is about: notes of what is in a tree stay as long as it does."""
    kind, _, tree = key.partition("-")
    return tree if kind in ("manifest", "tops") else ""

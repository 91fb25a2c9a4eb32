"""Bit rot: everything compared with what was written. Blobs by sha256, trees by their manifest, documents and
records by their own digests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from bareboat.errors import BareboatError
from bareboat.store.blobs import Blobs
from bareboat.store.documents import REMAKEABLE, Documents
from bareboat.store.leases import Leases
from bareboat.store.paths import Layout
from bareboat.store.runs import RunStore
from bareboat.store.trees import Trees


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written. repaired: taken out of sight, to be made or fetched again."""

    kind: str  # "blob", "tree", "document", "record"
    key: str
    what: str
    repaired: bool = False


@dataclass(frozen=True)
class CheckReport:
    """How many were compared, by kind, and what was found."""

    checked: tuple[tuple[str, int], ...]
    damaged: tuple[Damage, ...]


def check(layout: Layout, *, repair: bool, content: bool) -> CheckReport:
    """See Store.check. content=False looks at kinds, modes and sizes only: no file is read but documents.

    Repair never touches what cannot be made again: tags, records, documents of other kinds.
    """
    leases = Leases(layout)
    counts: dict[str, int] = {}
    damaged: list[Damage] = []
    try:
        for kind, key, what in _differences(layout, leases, content, counts):
            damaged.append(Damage(kind, key, what, repair and _repair(layout, leases, kind, key)))
    finally:
        leases.close()
    return CheckReport(tuple(sorted(counts.items())), tuple(damaged))


def _differences(
    layout: Layout, leases: Leases, content: bool, counts: dict[str, int]
) -> Iterator[tuple[str, str, str]]:
    blobs, trees = Blobs(layout, leases), Trees(layout, leases)
    counts.update({"blob": 0, "tree": 0, "document": 0, "record": 0})
    for digest in blobs.all() if content else ():
        counts["blob"] += 1
        try:
            if not blobs.is_right(digest):
                yield "blob", digest, "the bytes have another sha256"
        except BareboatError as error:
            if os.path.lexists(layout.blob(digest)):
                yield "blob", digest, error.what
    for key in trees.all():
        counts["tree"] += 1
        try:
            for line in trees.differences(key, content=content):
                yield "tree", key, line
                break
        except (BareboatError, ValueError) as error:
            if os.path.exists(layout.tree(key)):
                yield "tree", key, str(error)
    documents = Documents(layout)
    for kind in documents.kinds():
        keys = documents.keys(kind)
        for key in keys:
            counts["document"] += 1
            what = _document_trouble(documents, kind, key)
            if what:
                yield "document", f"{kind}/{key}", what
        for name in documents.strangers(kind, keys):
            counts["document"] += 1
            yield "document", f"{kind}/{name}", "the head of the document has changed"
    runs = RunStore(layout)
    for run in runs.ids():
        counts["record"] += 1
        try:
            runs.read(run)
        except BareboatError as error:
            yield "record", run, error.what


def _document_trouble(documents: Documents, kind: str, key: str) -> str:
    try:
        documents.peek(kind, key)
    except BareboatError as error:
        return error.what
    return ""


def _repair(layout: Layout, leases: Leases, kind: str, key: str) -> bool:
    if kind == "blob":
        Blobs(layout, leases).remove(key)
    elif kind == "tree":
        Trees(layout, leases).hide(key)
    elif kind == "document" and key.split("/")[0] in REMAKEABLE:
        name = key.split("/", 1)
        documents = Documents(layout)
        path = layout.at("documents", *name)
        if not documents.remove(*name) and os.path.dirname(path) == layout.at("documents", name[0]):
            os.unlink(path)  # its key cannot be read any more: by the file's own name
    else:
        return False
    return True

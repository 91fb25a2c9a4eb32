"""What refers to what, for gc and df: pure functions from documents and records to the things they need.

A document says so by keys at its top level: "trees" and "bytecode" (tree keys), "blobs" (sha256s) and
"plan_blob" (one), "plan" (a plan digest: the document plans/DIGEST), and "pins" (any of them as "tree:KEY",
"blob:SHA256", "document:KIND/KEY"). Of a run record only "pins" counts: its wheels can be fetched again, its
code cannot.
"""

from __future__ import annotations

from typing import NamedTuple

TREE, BLOB, DOCUMENT = "tree", "blob", "document"


class Ref(NamedTuple):
    """kind: "tree", "blob" or "document"; key: of a document, KIND/KEY."""

    kind: str
    key: str


def references(value: object) -> frozenset[Ref]:
    """What a document needs, by the keys above; things of other shapes are nothing."""
    if not isinstance(value, dict):
        return frozenset()
    found = set(pins(value))
    for name, kind in (("trees", TREE), ("bytecode", TREE), ("blobs", BLOB), ("plan_blob", BLOB)):
        item = value.get(name)
        for key in item if isinstance(item, list) else [item]:
            if isinstance(key, str) and key:
                found.add(Ref(kind, key))
    plan = value.get("plan")
    if isinstance(plan, str) and plan:
        found.add(Ref(DOCUMENT, f"plans/{plan}"))
    locks = value.get("locks")  # pairs of a file name and the blob of its text
    for pair in locks if isinstance(locks, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str):
            found.add(Ref(BLOB, pair[1]))
    return frozenset(found)


def pins(value: object) -> frozenset[Ref]:
    """What a value names under "pins"."""
    items = value.get("pins") if isinstance(value, dict) else None
    found = set()
    for item in items if isinstance(items, list) else []:
        kind, _, key = item.partition(":") if isinstance(item, str) else ("", "", "")
        if kind in (TREE, BLOB, DOCUMENT) and key:
            found.add(Ref(kind, key))
    return frozenset(found)


def anything_named(text: str) -> frozenset[Ref]:
    """Every digest in a text that cannot be read any more: what it may have needed is kept."""
    import re

    found = set()
    for digest in re.findall(r"[0-9a-f]{64}", text):
        found |= {Ref(BLOB, digest), Ref(TREE, digest), Ref(DOCUMENT, f"plans/sha256:{digest}")}
    for key in re.findall(r"tree:([a-z0-9][a-z0-9.-]{0,199})", text):
        found.add(Ref(TREE, key))
    return frozenset(found)

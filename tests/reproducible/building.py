"""One build from lock to archive, and every digest of what came out."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.archive_factory import NOW, Key
from tests.reproducible.inputs import Inputs

from bareboat.builder.blobs import find_layer, layer_recipes, make_blobs
from bareboat.builder.image import Sources, make_trees
from bareboat.image.layout import Member, members, tar_of
from bareboat.image.planning import plan_for
from bareboat.lock import Lock, PlatformLock, dumps, loads
from bareboat.project.values import Project
from bareboat.resolve.debian.archive import Archive
from bareboat.resolve.debian.http import Offline
from bareboat.resolve.debian.lockbase import BaseRequest, lock_base
from bareboat.resolve.debian.sources import ArchiveSettings, Mirrors
from bareboat.store import Store

PLATFORM = "linux/amd64"


def build(given: Inputs, mirror: Path, key: Key, home: Path) -> dict[str, str]:
    """Everything's digest by name, of the image of these inputs built in the store at home."""
    import pysequoia

    store = Store.open(home)
    try:
        archive = Archive("debian", Mirrors((f"file://{mirror}/debian",)), ArchiveSettings(), store, Offline(),
                          [pysequoia.Cert.from_bytes(key.public)], lambda: NOW)
        base = lock_base(BaseRequest(suite="trixie", python="3.13", python_source="test", apt=given.apt,
                                     apt_source="apt", platform=PLATFORM), archive)
        wheels = tuple(replace(w, url=f"file://{mirror}/{w.filename}") for w, _ in given.wheels)
        text = dumps(Lock((), "request", (PlatformLock(PLATFORM, base, wheels),)))
        locked = loads(text).platforms[0]
        project = Project(home, "project", None, workdir=given.workdir, package=given.package)
        plan = plan_for(project, locked)
        sources = Sources(lambda _: archive, jobs=2)
        trees = make_trees(store, plan, sources, lambda *_: None)
        image = make_blobs(store, plan, sources, lambda *_: None)
        found = {"lock": sha256(text.replace(str(mirror), "").encode()), "plan": plan.digest,
                 "config": image.config_descriptor.digest, "manifest": image.descriptor.digest}
        for at, tree in enumerate(trees.keys):
            root = store.tree(tree)
            assert root is not None
            found[f"tree {at} {tree.rpartition('-')[0].split('-demo')[0]}"] = f"{tree} {tree_digest(root)}"
        for at, recipe in enumerate(layer_recipes(store, plan)):
            layer = find_layer(store, recipe.key)
            assert layer is not None
            kind = recipe.key.split("-", 2)[2].rpartition("-")[0].split("-demo")[0]
            found[f"layer {at} {kind}"] = f"{layer.digest} {layer.diff_id} {layer.size} {layer.tar_size}"
        whole = hashlib.sha256()

        def read(member: Member) -> list[bytes]:
            path = store.blob(member.blob)
            assert path is not None
            return [path.read_bytes()]

        for chunk in tar_of(members(image, "lab/x:1", archive=True), read):
            whole.update(chunk)
        found["archive"] = whole.hexdigest()
        return found
    finally:
        store.close()


def tree_digest(root: Path) -> str:
    """Of a tree as it is on disk: each path with kind, mode, mtime in ns, and content or target; not owners."""
    rows: list[Any] = []
    pending = [b""]
    while pending:
        path = pending.pop()
        full = os.fsencode(root) + b"/" + path
        status = os.lstat(full)
        mode, what = status.st_mode, b""
        if stat.S_ISDIR(mode):
            pending += [path + b"/" + name if path else name for name in os.listdir(full)]
        elif stat.S_ISLNK(mode):
            what = os.readlink(full)
        else:
            with open(full, "rb") as file:
                what = hashlib.sha256(file.read()).digest()
        rows.append((path, mode, status.st_mtime_ns, what))
    return sha256(repr(sorted(rows)).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

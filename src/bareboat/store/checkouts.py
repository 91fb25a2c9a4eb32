"""Projects that were fetched: a directory by commit and folder, in which their lock is kept as in any project's.

    checkouts/KEY/root     the files; ours to write, since the lock goes there

Made once; a process that uses one holds a lease on "checkout:KEY", and gc takes what nobody used for long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bareboat.host.files import fsync_directory, remove_tree
from bareboat.store.disk_errors import disk_error
from bareboat.store.leases import Leases
from bareboat.store.locks import making
from bareboat.store.paths import Layout, check_key
from bareboat.store.scratch import Scratch
from bareboat.store.treewriter import TreeWriter

KEY = "checkout:"


def checkout(layout: Layout, leases: Leases, key: str, fill: Callable[[TreeWriter, Path], None] | None) -> Path | None:
    """The directory of a checkout, made by fill where it is not there, with a directory for its work; None where it is
    not and there is no fill. Leased until the store is closed. Atomic, one maker at a time. Raises StoreError, and what
    fill raises, which leaves nothing.
    """
    leases.keep(KEY + check_key(key))
    folder = layout.at("checkouts", key)
    root = Path(f"{folder}/root")
    try:
        if _used(folder):
            return root
        if fill is None:
            return None
        with making(layout, KEY + key):
            if _used(folder):
                return root
            with Scratch(layout, "checkout") as scratch:
                made, work = Path(f"{scratch.path}/made"), Path(f"{scratch.path}/work")
                for path in (made, work, made / "root"):
                    path.mkdir(0o700)
                writer = TreeWriter(made / "root", where=key)
                try:
                    fill(writer, work)
                    writer.finish()
                finally:
                    writer.close()
                os.makedirs(layout.at("checkouts"), 0o700, exist_ok=True)
                remove_tree(folder)  # what a gc was in the middle of
                os.rename(made, folder)
            fsync_directory(layout.at("checkouts"))
    except OSError as error:
        raise disk_error(error, folder) from error
    return root


def _used(folder: str) -> bool:
    """Whether it is there; marks that it is used."""
    if not os.path.isdir(f"{folder}/root"):
        return False
    os.utime(folder)
    return True

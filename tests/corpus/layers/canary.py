"""A directory that nothing may touch, and how it is seen that something did."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def make(root: Path) -> Path:
    """The canary: a file, a directory with a file, a link, all of them writable for whoever gets there."""
    (root / "dir").mkdir(parents=True)
    (root / "file").write_bytes(b"untouched")
    (root / "dir/file").write_bytes(b"untouched")
    (root / "link").symlink_to("file")
    for path in (root / "file", root / "dir/file", root / "dir", root):
        os.chmod(path, 0o777)
        os.utime(path, (1, 1))
    return root


def seen(root: Path) -> str:
    """A digest of everything below: names, kinds, modes, owners, times, link counts, attributes, content."""
    whole = hashlib.sha256()
    pending = [os.fspath(root)]
    while pending:
        path = pending.pop()
        s = os.lstat(path)
        whole.update(repr((path, s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_nlink, s.st_size)).encode())
        if os.path.islink(path):
            whole.update(os.readlink(path).encode())
        elif os.path.isdir(path):
            pending += sorted((e.path for e in os.scandir(path)), reverse=True)
        else:
            whole.update(repr(os.listxattr(path)).encode() + Path(path).read_bytes())
    return whole.hexdigest()

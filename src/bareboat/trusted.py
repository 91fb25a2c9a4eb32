"""A file that many obey, read only when nobody but its owner can have written it."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.errors import BareboatError


def read_trusted(file: Path, owner: int, kind: type[BareboatError]) -> bytes | None:
    """The bytes of an administrator's file; None where there is none. owner: the uid it must belong to.

    Raises `kind` "settings.untrusted" where the file, the directory that holds it, or what a link leads to belongs to
    somebody else or can be written by group or others; "settings.unreadable". To pass such a file over would be worse:
    then whoever can spoil it switches off what it says.
    """
    try:
        real = file.resolve(strict=True)
        for directory in {file.parent, real.parent}:
            _check(os.stat(directory), directory, owner, kind)
        with open(real, "rb") as opened:
            _check(os.fstat(opened.fileno()), file, owner, kind)
            return opened.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, RuntimeError) as wrong:  # RuntimeError: links in a circle
        raise kind("settings.unreadable", f"cannot be read: {getattr(wrong, 'strerror', None) or wrong}",
                   where=str(file), hint="it is to be readable by everybody: chmod 644") from None


def _check(status: os.stat_result, path: Path, owner: int, kind: type[BareboatError]) -> None:
    name = "root" if owner == 0 else f"uid {owner}"
    if status.st_uid != owner:
        raise kind("settings.untrusted", f"belongs to uid {status.st_uid}, and all here would obey it",
                   where=str(path), hint=f"the administrator's file and its directory belong to {name}: chown {owner}"
                   f" {path}")
    if status.st_mode & 0o022:
        raise kind("settings.untrusted", f"others can write to it (mode {status.st_mode & 0o7777:04o}), and all here"
                   " would obey it", where=str(path), hint=f"look at what it says, then: chmod go-w {path}")

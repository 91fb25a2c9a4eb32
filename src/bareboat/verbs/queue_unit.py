"""queue unit: a user unit by which systemd starts the worker at each start of the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from bareboat.errors import EngineError, UsageError
from bareboat.values import dataclass

NAME = "bareboat-queue.service"
PASSED = ("BAREBOAT_HOME", "BAREBOAT_QUEUE_PATH", "BAREBOAT_LEASES_PATH", "XDG_DATA_HOME", "PATH")


@dataclass(frozen=True)
class Written:
    """Where the unit is, and what is to be typed to put it to use."""

    path: Path
    commands: tuple[str, ...]


def unit_text(argv: tuple[str, ...], env: Mapping[str, str]) -> str:
    """The unit. A worker that ends because it is idle is not started again before somebody queues something; attempts
    are processes of its own group and outlive it (KillMode=process).
    """
    lines = ["[Unit]", "Description=bareboat: carries out this user's queued runs", "",
             "[Service]", "Type=exec", f"ExecStart={' '.join(map(quoted, argv))}", "KillMode=process",
             "Restart=on-failure", "RestartSec=10"]
    lines += [f"Environment={quoted(f'{name}={env[name]}')}" for name in PASSED if env.get(name)]
    return "\n".join([*lines, "", "[Install]", "WantedBy=default.target", ""])


def quoted(word: str) -> str:
    """A word of a unit file, systemd.syntax(7) and systemd.service(5): quotes, backslashes, % and $ are escaped. Raises
    UsageError "queue.unit" for what has no place in one.
    """
    if "\n" in word or "\0" in word:
        raise UsageError("queue.unit", "a line break cannot be in a unit", where=repr(word[:60]))
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(c in word for c in " \t\"'\\;") or not word else word


def write(home: Path | None = None) -> Written:
    """Write the unit for this user; idempotent. Raises EngineError "queue.unit" where it cannot be written."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") if home is None else home / ".config"
    path = base / "systemd/user" / NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(unit_text((sys.executable, "-m", "bareboat.entry.worker"), os.environ), encoding="utf-8")
    except OSError as error:
        raise EngineError("queue.unit", f"it cannot be written: {error.strerror}", where=os.fspath(path),
                          hint="look at owner and mode of that path") from None
    return Written(path, ("systemctl --user daemon-reload", f"systemctl --user enable --now {NAME}",
                          "loginctl enable-linger        # so that it is started without a log-in"))

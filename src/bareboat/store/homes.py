"""The homes of sessions: directories that belong to a person and are never collected."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.host.files import remove_tree
from bareboat.store.disk_errors import disk_error
from bareboat.store.paths import Layout, check_key


def session_home(layout: Layout, name: str, fresh: bool) -> Path:
    """sessions/NAME/home, made when it is missing. fresh: an old one is renamed aside, then removed; a session that is
    using it keeps what it has. Raises StoreError.
    """
    folder = layout.at("sessions", check_key(name))
    home = f"{folder}/home"
    try:
        for path in (layout.at("sessions"), folder):
            os.makedirs(path, 0o700, exist_ok=True)
        if fresh and os.path.isdir(home):
            aside = layout.at("tmp", f"gone-{os.urandom(8).hex()}")
            os.rename(home, aside)
            remove_tree(aside)
        os.makedirs(home, 0o700, exist_ok=True)
        os.chmod(home, 0o700)
    except OSError as error:
        raise disk_error(error, home) from error
    return Path(home)

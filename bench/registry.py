"""Debian's docker-registry on the loopback, for figures of pull and push."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Registry:
    """host: "127.0.0.1:PORT"; folder: where it keeps what was pushed."""

    host: str
    folder: Path

    def bytes(self) -> int:
        """Of all blobs, manifests and configs included."""
        return sum(p.stat().st_size for p in self.folder.rglob("data") if p.is_file())


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """Started, and stopped at the end; what was pushed stays in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: "
        f"{folder}/data}}}}\nhttp: {{addr: '{host}', secret: bench}}\n")
    process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as there:
                if there.connect_ex((host.split(":")[0], int(host.split(":")[1]))) == 0:
                    break
            time.sleep(0.05)
        yield Registry(host, folder / "data")
    finally:
        process.terminate()
        process.wait()

"""Debian's docker-registry on the loopback, for tests that are `live`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def need(*programs: str) -> None:
    """Skip where a program is absent; fail in CI, which promised it."""
    for program in programs:
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"CI needs {program}")
            pytest.skip(f"needs {program}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def docker_registry(folder: Path, more: str = "", port: int = 0) -> Iterator[str]:
    """Its host and port while it runs. more: lines of its configuration."""
    need("docker-registry")
    port = port or free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: "
        f"{folder}/registry}}}}\nhttp: {{addr: '127.0.0.1:{port}', secret: x}}\n{more}")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()

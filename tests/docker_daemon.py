"""Debian's own Docker with a daemon of its own, for as long as a test needs it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.docker_registry import need

DAEMON, CLIENT = "/usr/sbin/dockerd", "/usr/bin/docker"


@contextmanager
def debian_docker(folder: Path) -> Iterator[str]:
    """Its DOCKER_HOST. Skips where it is not installed, or where one is not root."""
    need(DAEMON, CLIENT)
    if os.getuid():
        pytest.skip("dockerd needs root")
    host = f"unix://{folder}/sock"
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen([DAEMON, "--data-root", folder / "data", "--exec-root", folder / "exec", "-H", host,
                                   "--bridge", "none", "--iptables=false", "-p", folder / "pid"],
                                  stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(150):
            if subprocess.run([CLIENT, "info"], env={"DOCKER_HOST": host}, capture_output=True).returncode == 0:
                break
            time.sleep(0.2)
        yield host
    finally:
        daemon.terminate()
        daemon.wait()
        # it leaves its network namespace mounted, and a mounted folder cannot be removed
        for left in (folder / "exec/netns").glob("*"):
            subprocess.run(["umount", left], check=False)

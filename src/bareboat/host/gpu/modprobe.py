"""NVIDIA's own helper, which makes the nodes that are missing until the first CUDA program of a start of the machine.

Outside a container libcuda calls it by itself; inside, nothing can make a node, so it is called before.
"""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.host.process import Command

PROGRAM = "nvidia-modprobe"
_FOLDERS = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")  # where root installs it; never where a PATH leads
SECONDS = 20.0


def command(program: Path) -> Command:
    """Load the module of unified memory and make its nodes, as NVIDIA's container toolkit does; nothing of the
    caller's environment reaches a program that may be root's."""
    return Command((str(program), "-u", "-c=0"), env={}, timeout=SECONDS)


def make_nodes(root: Path = Path("/"), folders: tuple[str, ...] = _FOLDERS) -> bool:
    """Call the helper where a driver is loaded, /dev/nvidia-uvm is missing and there is one. Whether the node is there.

    A helper that fails is passed over: what is missing is told by who needs it.
    """
    node = root / "dev/nvidia-uvm"
    if node.exists() or not (root / "dev/nvidiactl").exists():
        return node.exists()
    from bareboat.errors import BareboatError
    from bareboat.host.process import run

    program = next((p for f in folders if os.access(p := Path(f) / PROGRAM, os.X_OK)), None)
    if program is not None:
        try:
            run(command(program))
        except BareboatError:
            pass
    return node.exists()

"""A machine with GPUs made of files: CDI specifications, device nodes that are others under their names, libraries."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

UUIDS = tuple(f"GPU-{n}{n}{n}{n}{n}{n}{n}{n}-1f69-c64e-cf85-44e9b07e7a2a" for n in range(4))
# Nodes that everybody may open, so that what is inside can be told by what it reads; none of them is a GPU.
NODES = {"/dev/nvidia0": "/dev/zero", "/dev/nvidia1": "/dev/full", "/dev/nvidiactl": "/dev/null",
         "/dev/nvidia-uvm": "/dev/null"}


def need_gcc() -> str:
    """The compiler; skip where there is none, but never in CI."""
    found = shutil.which("gcc")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("gcc is not installed")
        pytest.skip("gcc is not installed")
    return found


def library(path: Path, soname: str, source: str = "int answer(void) { return 42; }") -> Path:
    """A shared library of that soname, compiled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = path.with_suffix(".c")
    code.write_text(source)
    subprocess.run([need_gcc(), "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(path), str(code)], check=True)
    code.unlink()
    return path


def cdi_yaml(folder: Path, driver: Path, count: int = 2) -> Path:
    """A specification as nvidia-ctk writes it, of GPUs by number and UUID; driver: a host's libcuda.so.999.88."""
    devices = []
    for name, nodes in [*((str(n), [n]) for n in range(count)), *((UUIDS[n], [n]) for n in range(count)),
                        ("all", list(range(count)))]:
        lines = "".join(f"            - path: /dev/nvidia{n}\n              hostPath: {NODES[f'/dev/nvidia{n}']}\n"
                        for n in nodes)
        devices.append(f"    - name: \"{name}\"\n      containerEdits:\n        deviceNodes:\n{lines}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nvidia.yaml"
    file.write_text(f"""---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
{''.join(devices)}containerEdits:
    env:
        - NVIDIA_VISIBLE_DEVICES=void
    deviceNodes:
        - path: /dev/nvidiactl
          hostPath: {NODES['/dev/nvidiactl']}
        - path: /dev/nvidia-uvm
          hostPath: {NODES['/dev/nvidia-uvm']}
    hooks:
        - hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
          args:
            - nvidia-cdi-hook
            - create-symlinks
            - --link
            - libcuda.so.1::/opt/nv/lib/libcuda.so
          env:
            - NVIDIA_CTK_DEBUG=false
        - hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
          args: [nvidia-cdi-hook, enable-cuda-compat, --host-driver-version=999.88]
        - hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
          args: [nvidia-cdi-hook, update-ldcache, --folder, /opt/nv/lib]
    mounts:
        - hostPath: {driver}
          containerPath: /opt/nv/lib/{driver.name}
          options: [ro, nosuid, nodev, rbind, rprivate]
""")
    return file

"""A machine with GPUs made of files: CDI specifications, device nodes that are others under their names, libraries."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from bareboat.host.gpu import amd
from bareboat.host.gpu import nvml as nvml_of_bareboat
from bareboat.host.kernel import platform
from bareboat.image import ldcache

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


@cache
def _fake_nvml() -> Path:
    """The compiled library: once a session, in a directory that goes with it."""
    folder = tempfile.mkdtemp(prefix="bareboat-nvml-")
    atexit.register(shutil.rmtree, folder)
    path = Path(folder) / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("fake_nvml.c")
    subprocess.run([need_gcc(), "-shared", "-fPIC", "-w", "-o", str(path), str(source)], check=True)
    return path


def nvml(says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A management library that says so; see fake_nvml.c for the words."""
    need_gcc()
    (tmp_path / "nvml.txt").write_text(says)
    monkeypatch.setenv("FAKE_NVML", str(tmp_path / "nvml.txt"))
    return _fake_nvml()


def none_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the GPUs that the machine of the tests may have."""
    monkeypatch.setattr(nvml_of_bareboat, "LIBRARY", "libbareboat-no-such.so.1")
    monkeypatch.setattr(amd, "gpus", lambda root=Path("/"), first=0: ())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


GIB = 1 << 30
TWO = f"""driver 550.54.14
cuda 12040
gpu {UUIDS[0]}|NVIDIA H100 80GB HBM3|0|{80 * GIB}|{GIB}|30|00000000:01:00.0|0
gpu {UUIDS[1]}|NVIDIA H100 80GB HBM3|1|{80 * GIB}|0|0|00000000:02:00.0|0
"""
MIG_UUIDS = ("MIG-e3a2b2f1-5a0f-5b7e-9f6f-2d3b7e4f1c10", "MIG-11111111-5a0f-5b7e-9f6f-2d3b7e4f1c10")
MIG = f"""driver 550.54.14
cuda 12040
gpu {UUIDS[0]}|NVIDIA A100-SXM4-40GB|0|{40 * GIB}|0|0|00000000:01:00.0|1
mig 0|3|0|{MIG_UUIDS[0]}|NVIDIA A100-SXM4-40GB MIG 3g.20gb|{20 * GIB}|{GIB}
mig 0|4|0|{MIG_UUIDS[1]}|NVIDIA A100-SXM4-40GB MIG 3g.20gb|{20 * GIB}|0
proc {MIG_UUIDS[0]}|4321|{GIB}
gpu {UUIDS[1]}|NVIDIA A100-SXM4-40GB|1|{40 * GIB}|0|0|00000000:02:00.0|0
"""


def machine(root: Path, count: int = 2) -> Path:
    """A machine with NVIDIA's driver below root: nodes, libraries, the loader's cache, nvidia-smi."""
    for node, real in NODES.items():
        if node[-1] not in "0123456789" or int(node[-1]) < count:
            (root / node[1:]).parent.mkdir(parents=True, exist_ok=True)
            (root / node[1:]).symlink_to(real)
    entries = []
    for name, version in (("libcuda", "550.54.14"), ("libnvidia-ml", "550.54.14"), ("libGLX_nvidia", "550.54.14")):
        library(root / f"usr/lib/nv/{name}.so.{version}", f"{name}.so.1")
        (root / f"usr/lib/nv/{name}.so.1").symlink_to(f"{name}.so.{version}")
        entries.append((f"{name}.so.1", f"/usr/lib/nv/{name}.so.1"))
    (root / "etc").mkdir()
    architecture = platform().partition("/")[2]
    (root / "etc/ld.so.cache").write_bytes(ldcache.build([*entries, ("libz.so.1", "/usr/lib/libz.so.1")], architecture))
    (root / "usr/bin").mkdir()
    (root / "usr/bin/nvidia-smi").write_text("#!/bin/sh\necho smi\n")
    (root / "usr/bin/nvidia-smi").chmod(0o755)
    return root

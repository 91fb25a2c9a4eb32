"""What of the host's GPU driver a container needs where no CDI specification says it.

NVIDIA: nodes, the user-space libraries that fit the kernel module, and its tools; the list follows what NVIDIA's
container toolkit mounts for computing and video, and the libraries are where this machine's loader finds them. They go
into a directory of ours, so that no library of the image is covered. AMD: nodes alone; ROCm is in the image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from bareboat.errors import EngineError
from bareboat.host.gpu.amd import KFD
from bareboat.host.gpu.values import Gpu, Unit
from bareboat.workload import Device, Driver, Mount

INSIDE = "/run/bareboat/driver"
_CONTROL = ("/dev/nvidiactl", "/dev/nvidia-uvm")  # CUDA opens both before any GPU
_CAPABILITIES = 2  # nodes of a MIG instance: of its GPU instance, and of its compute instance
_ALSO = ("/dev/nvidia-uvm-tools", "/dev/nvidia-modeset")  # used where they are there
_LIBRARIES = ("libcuda", "libcudadebugger", "libnvidia-allocator", "libnvidia-cfg", "libnvidia-compiler",
              "libnvidia-encode", "libnvidia-gpucomp", "libnvidia-ml", "libnvidia-ngx", "libnvidia-nscq",
              "libnvidia-nvvm", "libnvidia-opencl", "libnvidia-opticalflow", "libnvidia-pkcs11",
              "libnvidia-pkcs11-openssl3", "libnvidia-ptxjitcompiler", "libnvidia-fatbinaryloader", "libnvcuvid",
              "libnvoptix", "libnvidia-rtcore", "libnvidia-tileiras")
_PLAIN = ("libcuda.so", "libnvcuvid.so", "libnvidia-encode.so", "libnvidia-opticalflow.so")  # dlopened without a number
_PROGRAMS = ("nvidia-smi", "nvidia-debugdump")


def driver_of(units: Sequence[Unit], root: Path = Path("/")) -> Driver:
    """What these GPUs need. root: where the machine's /dev, /etc and libraries are.

    Raises EngineError "gpu.node" where a device node is not there or may not be used, "gpu.driver" without libcuda.
    """
    for unit in units:  # without its nodes a program would find no GPU, and most go on without a word
        if not unit.gpu.nodes or (unit.mig is not None and len(unit.mig.nodes) < _CAPABILITIES):
            raise EngineError("gpu.node", f"the driver does not say which device nodes belong to {unit}",
                              hint="Write a CDI specification: sudo nvidia-ctk cdi generate "
                                   "--output=/etc/cdi/nvidia.yaml")
    instances = [node for unit in units if unit.mig for node in unit.mig.nodes]
    nodes = list(dict.fromkeys([*nodes_of([unit.gpu for unit in units]), *instances]))
    for node in nodes:
        check_node(root / node[1:])
    mounts: tuple[Mount, ...] = ()
    links: dict[str, str] = {}
    if any(unit.gpu.vendor == "nvidia" for unit in units):
        nodes += [node for node in _ALSO if os.path.exists(root / node[1:])]
        mounts, links = _nvidia(root)
    libraries = {os.path.basename(link): f"{INSIDE}/lib/{target}" for link, target in links.items()}
    for mount in mounts:  # some are asked for by the name with the driver's version, which no link has
        if mount.target.startswith(f"{INSIDE}/lib/"):
            libraries.setdefault(os.path.basename(mount.target), mount.target)
    return Driver(tuple(Device(root / node[1:], node) for node in nodes), mounts, tuple(links.items()),
                  tuple(libraries.items()))


def nodes_of(gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """The device nodes without which these GPUs cannot be used: those of the drivers, then their own."""
    vendors = {gpu.vendor for gpu in gpus}
    shared = (*(_CONTROL if "nvidia" in vendors else ()), *((KFD,) if "amd" in vendors else ()))
    return tuple(dict.fromkeys((*shared, *(node for gpu in gpus for node in gpu.nodes))))


def check_node(node: Path) -> None:
    """Raises EngineError "gpu.node" where this user cannot open a device node for reading and writing."""
    try:
        mode = os.stat(node).st_mode
    except OSError as e:
        hint = ("The driver's module makes it: as root, modprobe nvidia-uvm or nvidia-modprobe -u -c=0."
                if "nvidia" in node.name else "Load the driver: modprobe amdgpu.")
        raise EngineError("gpu.node", f"the device node cannot be used: {e.strerror}", where=str(node),
                          hint=hint) from None
    if not stat.S_ISCHR(mode):
        raise EngineError("gpu.node", "this is no device node", where=str(node))
    check_access(node)


def check_access(node: Path) -> None:
    """Raises EngineError "gpu.node" where this user may not read and write a device node that is there."""
    if not os.access(node, os.R_OK | os.W_OK):
        raise EngineError("gpu.node", "this user may not use the device node", where=str(node), hint=group_hint(node))


def group_hint(node: Path) -> str:
    """How to come to use a node: the group that may, where there is one."""
    import grp

    status = os.stat(node)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    if status.st_mode & 0o060 == 0o060 and status.st_gid:
        me = os.environ.get("USER", "YOU")
        return f"Its administrator adds you to the group {group}: usermod -aG {group} {me}; then log in anew."
    return "Its administrator gives it to you, as by a udev rule."


def _nvidia(root: Path) -> tuple[tuple[Mount, ...], dict[str, str]]:
    """Mounts of libraries and programs, and the links by which the libraries are asked for."""
    from bareboat.host.kernel import platform
    from bareboat.image import ldcache

    flags = ldcache.ARCHITECTURES[platform().partition("/")[2]][0] | 3
    try:
        cache = (root / "etc/ld.so.cache").read_bytes()
    except OSError:
        cache = b""
    mounts: dict[str, Mount] = {}
    links: dict[str, str] = {}
    for kind, name, path in ldcache.entries(cache):
        if kind != flags or name.partition(".so.")[0] not in _LIBRARIES or ".so." not in name:
            continue
        real = Path(os.path.realpath(root / path.lstrip("/")))
        if real.is_file() and f"{INSIDE}/lib/{name}" not in links:
            mounts.setdefault(f"{INSIDE}/lib/{real.name}", Mount(real, f"{INSIDE}/lib/{real.name}", True))
            if real.name != name:
                links[f"{INSIDE}/lib/{name}"] = real.name
    if not any(os.path.basename(path).startswith("libcuda.so.") for path in (*links, *mounts)):
        raise EngineError("gpu.driver", "the driver's libcuda.so.1 is not in this machine's loader cache",
                          where=str(root / "etc/ld.so.cache"),
                          hint="Install the driver's libraries (Debian: libcuda1), run ldconfig as root, or write a "
                               "CDI specification: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml")
    for plain in _PLAIN:
        if f"{INSIDE}/lib/{plain}.1" in links:
            links[f"{INSIDE}/lib/{plain}"] = links[f"{INSIDE}/lib/{plain}.1"]
    for program in _PROGRAMS:
        for folder in ("usr/bin", "bin", "usr/local/bin", "opt/bin"):
            real = Path(os.path.realpath(root / folder / program))
            if real.is_file():
                mounts[f"/usr/bin/{program}"] = Mount(real, f"/usr/bin/{program}", True)
                break
    return tuple(mounts.values()), links


def topology(root: Path = Path("/sys")) -> tuple[Mount, ...]:
    """What of /sys tells how GPUs are connected, read-only: NCCL, RCCL and ROCm look there. Facts of hardware only."""
    wanted = [root / name for name in ("bus/pci", "class/pci_bus", "class/drm", "class/kfd", "class/infiniband",
                                       "devices/virtual/kfd", "module/amdgpu")]
    try:
        wanted += sorted((root / "devices").glob("pci*"))
    except OSError:
        pass
    return tuple(Mount(path, f"/sys/{path.relative_to(root)}", True) for path in wanted if path.is_dir())

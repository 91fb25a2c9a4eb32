"""AMD's GPUs, as their kernel driver lists them in /sys/class/kfd and /sys/class/drm: nothing is loaded or started."""

from __future__ import annotations

from pathlib import Path

from bareboat.host.gpu.values import Gpu, GpuProcess

KFD = "/dev/kfd"  # what every GPU needs besides its own render node


def gpus(root: Path = Path("/"), first: int = 0) -> tuple[Gpu, ...]:
    """The GPUs of the kfd topology that compute, in the order of their nodes; first: the index of the first."""
    found: list[Gpu] = []
    topology = root / "sys/class/kfd/kfd/topology/nodes"
    for node in sorted(_folders(topology), key=lambda n: int(n.name) if n.name.isdigit() else -1):
        facts = _facts(node / "properties")
        minor = facts.get("drm_render_minor", 0)
        if not facts.get("simd_count") or not minor:
            continue  # a processor, or a GPU that this container of ours may not see
        device = root / f"sys/class/drm/renderD{minor}/device"
        unique = facts.get("unique_id", 0)
        number = _number(node / "gpu_id")
        found.append(Gpu(
            index=first + len(found), uuid=f"GPU-{unique:016x}" if unique else "", vendor="amd",
            name=_text(device / "product_name") or f"AMD {_text(node / 'name') or 'GPU'}",
            memory=_number(device / "mem_info_vram_total"), used=_number(device / "mem_info_vram_used"),
            utilisation=_number(device / "gpu_busy_percent"), pci=_pci(facts),
            nodes=(f"/dev/dri/renderD{minor}",), processes=_processes(root, number),
        ))
    return tuple(found)


def _processes(root: Path, number: int | None) -> tuple[GpuProcess, ...]:
    """Who has memory on the GPU of this kfd number."""
    found = []
    for process in _folders(root / "sys/class/kfd/kfd/proc"):
        memory = _number(process / f"vram_{number}")
        if memory and process.name.isdigit():
            found.append(GpuProcess(int(process.name), memory))
    return tuple(sorted(found, key=lambda p: p.pid))


def _pci(facts: dict[str, int]) -> str:
    if "location_id" not in facts:
        return ""
    location = facts["location_id"]
    return f"{facts.get('domain', 0):08x}:{location >> 8 & 0xFF:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"


def _facts(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _folders(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []

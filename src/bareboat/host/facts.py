"""What of this machine numbers may depend on: kernel, CPU and its level, memory, libc, GPU and driver."""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.digests import sha256
from bareboat.host.files import processors
from bareboat.record.gathered import HostFacts

# x86-64 psABI, "Micro-Architecture Levels", by the kernel's names of the flags.
_LEVELS = (
    ("x86-64-v2", frozenset(["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"])),
    ("x86-64-v3", frozenset(["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"])),
    ("x86-64-v4", frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])),
)


def host_facts(root: Path = Path("/")) -> HostFacts:
    """The facts, from /proc and /sys under root; no program is started, and what cannot be read is empty.

    Takes a few milliseconds: gather after the program has started.
    """
    uname = os.uname()
    cpu = _first_cpu(root / "proc/cpuinfo")
    flags = tuple(sorted((cpu.get("flags") or cpu.get("Features") or "").split()))
    gpus, driver = _gpus(root)
    return HostFacts(
        name=uname.nodename,
        kernel=uname.release,
        machine=uname.machine,
        cpu=_model(cpu),
        cores=processors(),
        level=level(uname.machine, flags),
        flags=flags,
        memory=_memory(root / "proc/meminfo"),
        libc=_libc(),
        gpus=gpus,
        driver=driver,
        mark=mark(root),
    )


def mark(root: Path = Path("/")) -> str:
    """16 hex digits that stand for this machine: of its machine-id, which itself is not to be told (machine-id(5))."""
    identity = _read(root / "etc/machine-id").strip()
    return sha256(b"bareboat machine " + identity.encode()).hexdigest()[:16] if identity else ""


def level(machine: str, flags: tuple[str, ...]) -> str:
    """The microarchitecture level: "x86-64-v3"; elsewhere the machine with its vector extension."""
    have = frozenset(flags)
    if machine in ("x86_64", "amd64"):
        reached = "x86-64"
        for name, needed in _LEVELS:
            if not needed <= have:
                break
            reached = name
        return reached
    for extension in ("sve2", "sve", "asimd"):
        if extension in have:
            return f"{machine}+{extension}"
    return machine


def own_level(root: Path = Path("/")) -> str:
    """The level of this machine."""
    cpu = _first_cpu(root / "proc/cpuinfo")
    return level(os.uname().machine, tuple((cpu.get("flags") or cpu.get("Features") or "").split()))


def _first_cpu(path: Path) -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo; a machine may have hundreds, which are the same."""
    found: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, colon, value = line.partition(":")
                if not colon:
                    break
                found[name.strip()] = value.strip()
    except OSError:
        pass
    return found


def _model(cpu: dict[str, str]) -> str:
    if "model name" in cpu:
        return cpu["model name"]
    parts = (cpu.get("CPU implementer", ""), cpu.get("CPU part", ""))
    return f"implementer {parts[0]} part {parts[1]}" if any(parts) else ""


def _memory(path: Path) -> int:
    for line in _read(path).splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def _gpus(root: Path) -> tuple[tuple[str, ...], str]:
    """NVIDIA's and AMD's, as their kernel drivers list them: nvidia-smi would take up to seconds."""
    names: list[str] = []
    driver = ""
    version = _read(root / "proc/driver/nvidia/version").partition("\n")[0]
    words = version.split()
    numbers = [word for word in words if word[:1].isdigit() and "." in word]
    if numbers:
        driver = f"nvidia {numbers[0]}"
    for folder in _folders(root / "proc/driver/nvidia/gpus"):
        for line in _read(folder / "information").splitlines():
            key, _, value = line.partition(":")
            if key == "Model":
                names.append(value.strip())
    for node in _folders(root / "sys/class/kfd/kfd/topology/nodes"):
        if int(dict(_pairs(_read(node / "properties"))).get("simd_count", "0")) > 0:
            names.append(_read(node / "name").strip() or "AMD GPU")
            driver = driver or f"amdgpu {_read(root / 'sys/module/amdgpu/version').strip()}".strip()
    return tuple(names), driver


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(words[0], words[1]) for line in text.splitlines() if len(words := line.split()) == 2]


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

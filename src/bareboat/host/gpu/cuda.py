"""Whether a driver is new enough for the CUDA that an environment was made for. Pure.

NVIDIA's rule (CUDA Compatibility, "minor version compatibility"): a driver runs everything of its own CUDA's major
version and older; what a newer minor version compiled to PTX alone it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bareboat.errors import EngineError
from bareboat.values import dataclass

# The oldest driver for Linux of each major version (CUDA release notes, "CUDA Toolkit and Minimum Required Driver").
OLDEST = {10: "410.48", 11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu(\d+))?")
_PLUGIN = re.compile(r"(?:jax-cuda|cupy-cuda|cudf-cu|cuml-cu|onnxruntime-gpu-cuda)(\d{2})")
_LOCAL = re.compile(r"\+cu(\d{2})(\d)\b")  # torch 2.5.1+cu124
Version = tuple[int, ...]


@dataclass(frozen=True)
class Need:
    """A CUDA version that something of the environment was made for, and what says so."""

    cuda: tuple[int, int]
    source: str

    def __str__(self) -> str:
        return f"CUDA {'.'.join(map(str, self.cuda)) if self.cuda[1] >= 0 else self.cuda[0]} ({self.source})"


def needs(packages: Iterable[tuple[str, str]]) -> Need | None:
    """The newest CUDA that these (name, version) were made for; None where none was. minor -1: any of the major."""
    found: list[Need] = []
    for name, version in packages:
        source = f"{name} {version}"
        numbers = re.match(r"(\d{1,3})\.(\d{1,3})", version)
        if (match := _RUNTIME.fullmatch(name)) and numbers:
            found.append(Need((int(numbers[1]), int(numbers[2])), source))
        elif match := _LOCAL.search(version):
            found.append(Need((int(match[1]), int(match[2])), source))
        elif match := _PLUGIN.match(name):
            found.append(Need((int(match[1]), -1), source))
    return max(found, key=lambda need: need.cuda, default=None)


def check(need: Need, driver: str, cuda: tuple[int, int]) -> str:
    """A note where the driver is older than the minor version, "" where it is not.

    Raises EngineError "gpu.driver-old" where it is too old to run any of it.
    """
    have = f"driver {driver} has CUDA {cuda[0]}.{cuda[1]}"
    if cuda[0] < need.cuda[0]:
        oldest = OLDEST.get(need.cuda[0])
        wanted = f"driver {oldest} or newer" if oldest else "a newer driver"
        raise EngineError("gpu.driver-old", f"{have}, and this environment needs {need}",
                          hint=f"Install {wanted}, or lock packages for CUDA {cuda[0]} (for PyTorch: its index "
                               f"https://download.pytorch.org/whl/cu{cuda[0]}{cuda[1]} or an older one).")
    if cuda < need.cuda:
        return (f"{have}, this environment was made for {need}: what is compiled ahead of time runs, "
                "what is left to the driver (PTX) does not")
    return ""


def require(text: str, env: Mapping[str, str], driver: str, cuda: tuple[int, int]) -> None:
    """NVIDIA_REQUIRE_CUDA of an image: alternatives parted by spaces, each of conditions parted by commas.

    Raises EngineError "gpu.image-requires" where none holds. A condition about what is not known here (brand, arch)
    holds. NVIDIA_DISABLE_REQUIRE in env switches it off, as it does in NVIDIA's toolkit.
    """
    if env.get("NVIDIA_DISABLE_REQUIRE", "").lower() in ("1", "true", "yes", "on", "t", "y"):
        return
    alternatives = text.split()
    if not alternatives or any(all(_holds(c, driver, cuda) for c in a.split(",") if c) for a in alternatives):
        return
    raise EngineError("gpu.image-requires",
                      f"the image requires {' or '.join(alternatives)}; driver {driver} has CUDA {cuda[0]}.{cuda[1]}",
                      where="NVIDIA_REQUIRE_CUDA", hint="Install a newer driver or take an older image; "
                      "-e NVIDIA_DISABLE_REQUIRE=1 tries it all the same.")


def _holds(condition: str, driver: str, cuda: tuple[int, int]) -> bool:
    match = re.fullmatch(r"(cuda|driver)(>=|<=|!=|=|<|>)(\d{1,6}(?:\.\d{1,6}){0,3})", condition)
    if not match:
        return True
    have = cuda if match[1] == "cuda" else _version(driver)
    wanted = _version(match[3])
    length = max(len(have), len(wanted))
    a, b = (v + (0,) * (length - len(v)) for v in (have, wanted))
    if match[1] == "driver" and match[2] in ("=", "!="):
        a = a[: len(wanted)] + b[len(wanted):]
    return {">=": a >= b, "<=": a <= b, "!=": a != b, "=": a == b, "<": a < b, ">": a > b}[match[2]]


def _version(text: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d{1,6}", text)[:4])

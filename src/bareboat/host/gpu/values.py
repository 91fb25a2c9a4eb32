"""GPUs as values: what a machine has, and who uses it."""

from __future__ import annotations

from bareboat.values import dataclass


@dataclass(frozen=True)
class GpuProcess:
    """A process with memory on a GPU. pid: this machine's number; memory: bytes there, None where it is not told;
    graphics: it draws there, and does not compute.
    """

    pid: int
    memory: int | None = None
    graphics: bool = False


@dataclass(frozen=True)
class Mig:
    """A MIG instance. name: "1g.10gb"; index: among the GPU's own; nodes: its capability nodes besides the GPU's."""

    index: int
    uuid: str
    name: str = ""
    memory: int | None = None
    used: int | None = None
    nodes: tuple[str, ...] = ()
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True)
class Gpu:
    """A GPU. index: as nvidia-smi counts, AMD's behind NVIDIA's; vendor: "nvidia" or "amd"; memory, used: bytes;
    utilisation: percent; None where it is not known. nodes: its own device nodes. migs: where MIG mode is on, which is
    what mig says; such a GPU is used by its instances only.
    """

    index: int
    uuid: str
    name: str
    vendor: str = "nvidia"
    memory: int | None = None
    used: int | None = None
    utilisation: int | None = None
    pci: str = ""
    nodes: tuple[str, ...] = ()
    mig: bool = False
    migs: tuple[Mig, ...] = ()
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """The GPUs of a machine. driver: NVIDIA's version; cuda: the newest CUDA that it has, (12, 4), None where it is not
    known. missing: why there is no GPU of a vendor, or why one cannot be asked: sentences for the user. broken: there
    is a driver that cannot be used.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    cuda: tuple[int, int] | None = None
    missing: tuple[str, ...] = ()
    broken: bool = False


@dataclass(frozen=True)
class Unit:
    """What is granted: a whole GPU, or one MIG instance of it."""

    gpu: Gpu
    mig: Mig | None = None

    @property
    def name(self) -> str:
        """Its name in the canonical request: the index, of an instance its UUID."""
        return self.mig.uuid if self.mig else str(self.gpu.index)

    @property
    def uuid(self) -> str:
        """As the driver has it."""
        return self.mig.uuid if self.mig else self.gpu.uuid

    @property
    def busy(self) -> tuple[int, int, int]:
        """What to take first sorts first: without processes, with little memory used, with little to do."""
        of = self.mig or self.gpu
        return len(of.processes), (of.used or 0) >> 28, self.gpu.utilisation or 0

    def __str__(self) -> str:
        """As the first line of a run has it: "GPU 0 NVIDIA H200 (141 GB)"."""
        of = self.mig or self.gpu
        what = f"GPU {self.gpu.index}" + (f":{self.mig.index}" if self.mig else "")
        size = f" ({of.memory / 1e9:.0f} GB)" if of.memory else ""
        return f"{what} {self.gpu.name}" + (f" MIG {self.mig.name}" if self.mig else "") + size

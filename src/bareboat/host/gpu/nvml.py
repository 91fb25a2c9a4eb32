"""NVIDIA's GPUs by its management library (NVML, nvml.h), through ctypes: no package, no program, no daemon.

The library is the driver's own and loaded only when GPUs are asked about. What an older driver does not have is None.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bareboat.host.gpu.values import Gpu, GpuProcess, Inventory, Mig
from bareboat.values import Any

LIBRARY = "libnvidia-ml.so.1"
_NOT_SUPPORTED, _NO_PERMISSION, _NOT_FOUND, _INSUFFICIENT_SIZE = 3, 4, 6, 7
_NOT_AVAILABLE = 2**64 - 1  # NVML_VALUE_NOT_AVAILABLE
_TEXT = 96  # bytes: NVML_DEVICE_UUID_V2_BUFFER_SIZE, _NAME_V2_BUFFER_SIZE
# nvmlReturn_t of nvmlInit, as what a user can do about it.
_WHY = {
    4: "this user may not use the NVIDIA driver (look at owner and mode of /dev/nvidiactl)",
    9: "the NVIDIA driver is not loaded (its kernel module is missing: modprobe nvidia, or install the driver)",
    12: "NVIDIA's management library does not find its other parts; install the driver again",
    15: "a GPU has fallen off the bus; the machine needs a restart",
    18: "the NVIDIA driver was updated: library and kernel module are of two versions; restart the machine",
}


class Unavailable(Exception):
    """NVML cannot be used: a sentence for the user. installed: whether there is an NVIDIA driver at all."""

    def __init__(self, why: str, installed: bool) -> None:
        super().__init__(why)
        self.why, self.installed = why, installed


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_uint64), ("free", ctypes.c_uint64), ("used", ctypes.c_uint64))


class _Utilisation(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Pci(ctypes.Structure):
    _fields_ = (("legacy", ctypes.c_char * 16), *((n, ctypes.c_uint) for n in (
        "domain", "bus", "device", "id", "subsystem")), ("bus_id", ctypes.c_char * 32))


class _Process(ctypes.Structure):  # nvmlProcessInfo_v2_t, which _v3 of the call takes too
    _fields_ = (("pid", ctypes.c_uint), ("memory", ctypes.c_ulonglong), ("gpu_instance", ctypes.c_uint),
                ("compute_instance", ctypes.c_uint))


class _Sample(ctypes.Structure):  # nvmlProcessUtilizationSample_t
    _fields_ = (("pid", ctypes.c_uint), ("time", ctypes.c_ulonglong), *((n, ctypes.c_uint) for n in (
        "sm", "memory", "encoder", "decoder")))


def inventory(library: Path | None = None, root: Path = Path("/")) -> Inventory:
    """NVIDIA's GPUs, as they are now. library: another than the loader finds; root: where /proc is. Raises Unavailable.

    Nothing is kept open: the library is shut down again.
    """
    with _session(library) as call:
        count = ctypes.c_uint()
        if call("nvmlDeviceGetCount_v2", ctypes.byref(count)):
            raise Unavailable("NVIDIA's management library does not say how many GPUs there are", True)
        driver = _text(call, "nvmlSystemGetDriverVersion")
        version = ctypes.c_int()
        known = not call("nvmlSystemGetCudaDriverVersion_v2", ctypes.byref(version))
        gpus = []
        missing = []
        for index in range(count.value):
            device = ctypes.c_void_p()
            code = call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(device))
            if code:
                mine = {_NO_PERMISSION: "this user may not use it"}
                why = mine.get(code) or _WHY.get(code, f"NVML says error {code}")
                missing.append(f"NVIDIA GPU {index}: {why}")
            else:
                gpus.append(_gpu(call, device, index, root))
        cuda = (version.value // 1000, version.value % 1000 // 10) if known and version.value else None
        return Inventory(tuple(gpus), driver, cuda, tuple(missing), bool(missing))


def activity(uuids: tuple[str, ...], pids: frozenset[int], since: int, library: Path | None = None) -> int | None:
    """The most percent that one of these GPUs was busy for these processes since a time (microseconds since the epoch).

    None where the driver does not tell it by process (as of MIG instances). Raises Unavailable.
    """
    most = 0
    with _session(library) as call:
        for uuid in uuids:
            device = ctypes.c_void_p()
            if call("nvmlDeviceGetHandleByUUID", ctypes.c_char_p(uuid.encode()), ctypes.byref(device)):
                return None
            count = ctypes.c_uint(0)
            of = ("nvmlDeviceGetProcessUtilization", device)
            code = call(*of, None, ctypes.byref(count), ctypes.c_ulonglong(since))
            if code == _NOT_FOUND or (code == 0 and not count.value):
                continue  # no samples since then: nobody used it
            if code not in (0, _INSUFFICIENT_SIZE):
                return None
            samples = (_Sample * count.value)()
            code = call(*of, samples, ctypes.byref(count), ctypes.c_ulonglong(since))
            if code not in (0, _NOT_FOUND):
                return None
            found = [max(s.sm, s.encoder, s.decoder) for s in samples[: count.value] if s.pid in pids]
            most = max([most, *(value for value in found if value <= 100)])
    return most


@contextmanager
def _session(library: Path | None) -> Iterator[Any]:
    """A function that makes calls by name between nvmlInit and nvmlShutdown; its value is nvmlReturn_t, and
    _NOT_SUPPORTED for a call that this library does not have."""
    try:
        lib = ctypes.CDLL(str(library or LIBRARY))
    except OSError as e:
        there = library is not None or "cannot open shared object" not in str(e)
        raise Unavailable(f"NVIDIA's management library cannot be loaded: {e}" if there else
                          f"there is no NVIDIA driver here ({LIBRARY} is not found)", there) from None

    def call(name: str, *args: Any) -> int:
        try:
            function = getattr(lib, name)
        except AttributeError:
            return _NOT_SUPPORTED
        return int(function(*args))

    code = call("nvmlInit_v2")
    if code:
        raise Unavailable(_WHY.get(code, f"the NVIDIA driver cannot be used: NVML says error {code}"), True)
    try:
        yield call
    finally:
        call("nvmlShutdown")


def _text(call: Any, name: str, *device: Any) -> str:
    buffer = ctypes.create_string_buffer(_TEXT)
    return "" if call(name, *device, buffer, ctypes.c_uint(_TEXT)) else buffer.value.decode("utf-8", "replace")


def _number(call: Any, name: str, device: Any) -> int | None:
    value = ctypes.c_uint()
    return None if call(name, device, ctypes.byref(value)) else value.value


def _gpu(call: Any, device: Any, index: int, root: Path) -> Gpu:
    memory, utilisation, pci = _Memory(), _Utilisation(), _Pci()
    has_memory = not call("nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
    busy = not call("nvmlDeviceGetUtilizationRates", device, ctypes.byref(utilisation))
    bus = "" if call("nvmlDeviceGetPciInfo_v3", device, ctypes.byref(pci)) else pci.bus_id.decode("ascii", "replace")
    minor = _number(call, "nvmlDeviceGetMinorNumber", device)
    current, pending = ctypes.c_uint(), ctypes.c_uint()
    mig = not call("nvmlDeviceGetMigMode", device, ctypes.byref(current), ctypes.byref(pending)) and current.value == 1
    return Gpu(
        index=index, uuid=_text(call, "nvmlDeviceGetUUID", device), name=_text(call, "nvmlDeviceGetName", device),
        memory=memory.total if has_memory else None, used=memory.used if has_memory else None,
        utilisation=utilisation.gpu if busy else None, pci=bus.lower(),
        nodes=() if minor is None else (f"/dev/nvidia{minor}",),
        mig=mig, migs=tuple(_instances(call, device, minor or 0, root)) if mig else (),
        processes=() if mig else _processes(call, device),
    )


def _instances(call: Any, device: Any, minor: int, root: Path) -> Iterator[Mig]:
    for index in range(_number(call, "nvmlDeviceGetMaxMigDeviceCount", device) or 0):
        instance = ctypes.c_void_p()
        if call("nvmlDeviceGetMigDeviceHandleByIndex", device, ctypes.c_uint(index), ctypes.byref(instance)):
            continue  # there may be fewer than the most
        memory = _Memory()
        known = not call("nvmlDeviceGetMemoryInfo", instance, ctypes.byref(memory))
        gi = _number(call, "nvmlDeviceGetGpuInstanceId", instance)
        ci = _number(call, "nvmlDeviceGetComputeInstanceId", instance)
        yield Mig(index, _text(call, "nvmlDeviceGetUUID", instance),
                  _text(call, "nvmlDeviceGetName", instance).rpartition(" MIG ")[2],
                  memory.total if known else None, memory.used if known else None,
                  _capabilities(root, minor, gi, ci), _processes(call, instance))


def _capabilities(root: Path, minor: int, gi: int | None, ci: int | None) -> tuple[str, ...]:
    """The two nodes that a MIG instance needs besides its GPU's; their numbers are in /proc."""
    top = root / f"proc/driver/nvidia/capabilities/gpu{minor}/mig/gi{gi}"
    found = []
    for file in (top / "access", top / f"ci{ci}/access"):
        try:
            fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
            found.append(f"/dev/nvidia-caps/nvidia-cap{int(fields['DeviceFileMinor'])}")
        except (OSError, KeyError, ValueError):
            continue
    return tuple(found)


def _processes(call: Any, device: Any) -> tuple[GpuProcess, ...]:
    """Who has memory on it, for computing or for graphics, each process once."""
    found: dict[int, int | None] = {}
    computes: set[int] = set()
    for name in ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3"):
        count = ctypes.c_uint(0)
        code = call(name, device, ctypes.byref(count), None)
        if code == _NOT_SUPPORTED:
            name = name.replace("_v3", "_v2")  # the same structure
            code = call(name, device, ctypes.byref(count), None)
        if code != _INSUFFICIENT_SIZE or not count.value:
            continue
        count.value += 8  # some may begin meanwhile
        table = (_Process * count.value)()
        if not call(name, device, ctypes.byref(count), table):
            for row in table[: count.value]:
                memory = None if row.memory == _NOT_AVAILABLE else int(row.memory)
                found[row.pid] = max(memory or 0, found.get(row.pid) or 0) or memory
                if "Compute" in name:
                    computes.add(row.pid)
    return tuple(GpuProcess(pid, memory, pid not in computes) for pid, memory in sorted(found.items()))

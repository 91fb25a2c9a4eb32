"""A container that Slurm's Pyxis starts, for clusters that let nothing else make one (decision 0172).

No real Pyxis has seen this: the words are those of its args.c and README (github.com/NVIDIA/pyxis), tried with a srun
that stands in for it. The program is a step of srun's beside bareboat's part on the node, which keeps the contract.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from bareboat.engine.base import Capabilities, Check, Streams
from bareboat.engine.oci_command import Client
from bareboat.engine.oci_session import Attached
from bareboat.errors import EngineError
from bareboat.host import processes
from bareboat.host.process import Command
from bareboat.workload import Exec, Handle, Limits, Outcome, Process, Usage, Workload

OPTION = "pyxis"  # of Training.options: the repository of a registry
INSIDE = "/run/bareboat-pyxis"  # a folder of the attempt's: how the program is started, and that it was
START, BEGAN = "start", "began"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def srun(load: Workload, image: str, beside: Path) -> tuple[str, ...]:
    """The step, on this node alone. image: as enroot takes it; beside: the folder that is INSIDE."""
    cpus = (f"--cpus-per-task={math.ceil(load.limits.cpus)}",) if load.limits.cpus else ()
    mounts = [f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}" for mount in load.mounts]
    return ("srun", "--overlap", "--quiet", "--nodes=1", "--ntasks=1", f"--nodelist={node()}", *cpus,
            "--kill-on-bad-exit=0", f"--container-image={image}",
            f"--container-mounts={','.join((*mounts, f'{beside}:{INSIDE}'))}", f"--container-workdir={load.cwd}",
            "--no-container-mount-home", "--no-container-entrypoint", "--container-writable",
            "--container-remap-root" if load.uid == 0 else "--no-container-remap-root",
            "/bin/sh", f"{INSIDE}/{START}", *load.argv)


def node() -> str:
    """This node, by Slurm's name for it."""
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def start_script(load: Workload) -> str:
    """Sets the variables, where those of the image would go before, and becomes the program: nothing of them is in an
    argv that others can see. SIGTERM, which Slurm sends to steps of a job that it preempts or stops, is not to end a
    program that is about to be warned: it begins with it ignored, and may catch it.
    """
    exports = [f"export {name}={shlex.quote(value)}" for name, value in load.env if _NAME.match(name)]
    lines = [f": > {INSIDE}/{BEGAN}", "trap '' TERM", *exports, 'mkdir -p "$HOME" 2>/dev/null', 'exec "$@"']
    return "\n".join(lines) + "\n"


def uri(registry: str, repository: str, tag: str) -> str:
    """As `enroot import` takes it, without docker://; it knows no digests."""
    return f"{registry}#{repository}:{tag}"


def unfit(load: Workload, caller: int) -> str:
    """What of a workload Pyxis has no word for; "" where nothing is."""
    for mount in load.mounts:
        if any(c in f"{mount.source}{mount.target}" for c in ",: \t\n"):
            return f"{mount.source} at {mount.target}: a path with a comma, a colon or a space cannot be mounted"
    wrong = {
        "--network none": load.network != "host", "-u with another's number": load.uid not in (0, caller),
        "--tmpfs": bool(load.tmpfs), "-p": bool(load.ports), "--device": bool(load.devices),
        "--platform": bool(load.platform), "extensions that were compiled for the project": bool(load.code_overlays)}
    return next((what for what, is_so in wrong.items() if is_so), "")


class Pyxis:
    """engine.base.Engine, as far as an unattended run asks for it. image: as enroot takes it; beside: a folder of the
    attempt's own, made when it starts; caller: who is root's or the program's number inside.
    """

    name = "pyxis"

    def __init__(self, image: str, beside: Path, caller: int) -> None:
        self.image, self.beside, self.caller = image, beside, caller

    def run(self, workload: Workload, streams: Streams) -> Outcome:
        """As Engine.run. Raises EngineError "slurm.pyxis" too, where the step never came to the program."""
        wrong = unfit(workload, self.caller)
        if wrong:
            raise EngineError("slurm.pyxis", f"Pyxis cannot: {wrong}", where="--pyxis", hint="leave --pyxis out")
        self.beside.mkdir(mode=0o700, exist_ok=True)
        (self.beside / BEGAN).unlink(missing_ok=True)
        start = self.beside / START
        start.touch(0o600)
        start.write_text(start_script(workload), encoding="utf-8", errors="surrogateescape")
        step = Step(dict(workload.env).get("BAREBOAT_FENCE", ""), streams)
        code = step.run(Command(srun(workload, self.image, self.beside), env=dict(os.environ)))
        start.unlink(missing_ok=True)
        if not (self.beside / BEGAN).exists() and not step.reason:
            said = step.tail.decode("utf-8", "replace").strip().splitlines()
            raise EngineError("slurm.pyxis", said[-1] if said else f"srun ended with {code} before the program began",
                              where=self.image, hint="try it: srun --container-image=… true; enroot's credentials are "
                              "in ~/.config/enroot/.credentials")
        return Outcome(code, step.reason)

    def capabilities(self) -> Capabilities:
        """What it is asked for is refused one by one."""
        return Capabilities()

    def exec(self, handle: Handle, call: Exec, streams: Streams) -> Outcome:
        """Not in a step of srun's."""
        raise _cannot("exec")

    def copy_out(self, handle: Handle, path: str) -> Iterator[bytes]:
        """Not out of a step."""
        raise _cannot("cp")

    def copy_in(self, handle: Handle, folder: str, tar: Iterable[bytes]) -> None:
        """Not into a step."""
        raise _cannot("cp")

    def explain(self, workload: Workload) -> str:
        """The command, and what it starts."""
        return f"{shlex.join(srun(workload, self.image, self.beside))}\n{start_script(workload)}"

    def limits(self, limits: Limits) -> str:
        """Slurm's."""
        return "limits are kept by Slurm" if limits != Limits() else ""

    def checks(self) -> list[Check]:
        """Those of the cluster's."""
        return []


class Step(Attached):
    """The step and its processes, which are this machine's and this user's: known by the fence in their variables."""

    def __init__(self, fence: str, streams: Streams) -> None:
        super().__init__(Client("srun", "srun"), "", False, streams, dict(os.environ))
        self._mark = f"BAREBOAT_FENCE={fence}".encode()

    def signal(self, number: int) -> bool:
        """The program: that of its processes whose parent is none of them."""
        pids = self._members(0)
        return any(self._send(pid, number) for pid in pids if processes.parent_of(pid) not in pids)

    def warn(self, number: int) -> int:
        """As Live.warn."""
        return sum(self._send(pid, number) for pid in self._members(0) if processes.catches(pid, number))

    def catches(self, number: int) -> bool:
        """As Live.catches."""
        return any(processes.catches(pid, number) for pid in self._members(0))

    def ask(self, number: int) -> bool:
        """As Live.ask."""
        pids = self._members(0)
        program = next((pid for pid in pids if processes.parent_of(pid) not in pids), 0)
        return bool(not processes.catches(program, number) and self.warn(number)) or self.signal(number)

    def kill(self, reason: str) -> None:
        """Its processes; where there are none yet, srun, whose step ends with it."""
        self.reason = self.reason or reason
        if not sum(self._send(pid, signal.SIGKILL) for pid in self._members(0)) and self.child is not None:
            self.child.signal(signal.SIGTERM)

    def pause(self) -> None:
        """Never: it has no cgroup of its own that would be ours. Raises EngineError."""
        raise _cannot("pause")

    def unpause(self) -> None:
        """Never. Raises EngineError."""
        raise _cannot("unpause")

    def processes(self) -> list[Process]:
        """What runs in it."""
        found = ((pid, processes.told(pid)) for pid in self._members(0))
        return [Process(pid, told[0], told[1], processes.resident(pid), told[2]) for pid, told in found if told]

    def usage(self) -> Usage:
        """Sums over its processes."""
        pids = self._members(0)
        seconds, memory, read, written = processes.sums(pids)
        return Usage(seconds, memory, len(pids), read, written)

    def handle(self) -> Handle:
        """None. Raises EngineError."""
        raise _cannot("exec")

    def _members(self, first: int) -> list[int]:
        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_member(int(name)))

    def _is_member(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self._mark in file.read().split(b"\0")
        except OSError:
            return False

    def _send(self, pid: int, number: int) -> bool:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return False
        if not self._is_member(pid):  # looked at while the descriptor holds whom it names
            os.close(descriptor)
            return False
        return bool(processes.signal_by(descriptor, number))


def _cannot(verb: str) -> EngineError:
    return EngineError("engine.cannot", f"{verb} does not reach into what Pyxis has started", where="--pyxis",
                       hint="srun --overlap --jobid=… does")

"""The fake beside the engine's Protocol: programs are functions, the rest follows the contract."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bareboat.engine.base import Capabilities, Check, Streams
from bareboat.errors import NOT_FOUND, EngineError, ProgramError, UsageError
from bareboat.workload import Exec, Handle, Limits, Lost, Mount, Outcome, Workload

NOWHERE = Path()  # in place of a path of the host's: in memory


@dataclass
class Guest:
    """What a program of the fake sees: the workload, its streams, and files by paths inside."""

    workload: Workload
    streams: Streams
    lost: dict[str, bytes] = field(default_factory=dict)
    memory: dict[str, bytes] = field(default_factory=dict)  # what is in a tmpfs

    @property
    def env(self) -> dict[str, str]:
        """The complete environment."""
        return dict(self.workload.env)

    def stdin(self) -> bytes:
        """Everything that comes in."""
        if self.streams.stdin is None:
            return b""
        chunks = []
        while chunk := os.read(self.streams.stdin, 1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)

    def write(self, path: str, content: bytes) -> None:
        """Write a file: into the mount it lies under, else into the thin layer. PermissionError if read-only."""
        host, read_only = self._host(path)
        if read_only:
            raise PermissionError(path)
        if host == NOWHERE:
            self.memory[self._inside(path)] = content
        elif host is not None:
            host.write_bytes(content)
        elif not self._inside(path).startswith((self.workload.home + "/", "/tmp/")):
            self.lost[self._inside(path)] = content

    def read(self, path: str) -> bytes:
        """Read a file. FileNotFoundError as usual."""
        host, _ = self._host(path)
        if host == NOWHERE:
            if self._inside(path) in self.memory:
                return self.memory[self._inside(path)]
            raise FileNotFoundError(path)
        if host is not None:
            return host.read_bytes()
        for tree in reversed(self.workload.root.trees):
            file = tree / self._inside(path).lstrip("/")
            if file.is_file():
                return file.read_bytes()
        raise FileNotFoundError(path)

    def _inside(self, path: str) -> str:
        return posixpath.normpath(f"{self.workload.cwd}/{path}" if not path.startswith("/") else path)

    def _host(self, path: str) -> tuple[Path | None, bool]:
        inside = self._inside(path)
        own = (Mount(NOWHERE, tmpfs.target, tmpfs.read_only) for tmpfs in self.workload.tmpfs)
        for mount in sorted((*self.workload.mounts, *own), key=lambda m: -len(m.target)):
            if inside == mount.target or inside.startswith(mount.target + "/"):
                if mount.source == NOWHERE:
                    return NOWHERE, mount.read_only
                return mount.source / inside[len(mount.target) + 1:], mount.read_only
        return None, False


class MemoryEngine:
    """Engine whose programs are functions from a Guest to an exit code, by the name of argv[0].

    emulates: platforms that it runs besides its own.
    """

    name = "memory"

    def __init__(self, programs: Mapping[str, Callable[[Guest], int]], emulates: tuple[str, ...] = ()) -> None:
        self.programs, self.emulates = dict(programs), emulates
        self.ran: list[Workload] = []

    def run(self, workload: Workload, streams: Streams) -> Outcome:
        """See Engine.run. A program that raises PermissionError ends with 1, as a shell would."""
        if not workload.argv:
            raise UsageError("engine.argv", "there is no command to run")
        if workload.platform and workload.platform not in self.emulates:
            raise EngineError("engine.platform", f"programs for {workload.platform} cannot be run here",
                              where=workload.platform)
        for mount in workload.mounts:
            if not mount.source.exists():
                raise EngineError("engine.source", "what is to be mounted cannot be opened: No such file or directory",
                                  where=str(mount.source))
        program = self.programs.get(workload.argv[0])
        if program is None:
            raise ProgramError("program.not-found", "not found in the image", exit_code=NOT_FOUND,
                               where=workload.argv[0])
        self.ran.append(workload)
        guest = Guest(workload, streams)
        streams.started()
        try:
            code = program(guest)
        except PermissionError as error:
            streams.stderr(f"{error}\n".encode())
            code = 1
        names = sorted(guest.lost)
        return Outcome(code, lost=Lost(len(names), sum(map(len, guest.lost.values())), tuple(names[:5])))

    def capabilities(self) -> Capabilities:
        """One more program, and no more."""
        return Capabilities(exec=True, lost_files=True, layer=True, emulation=bool(self.emulates))

    def exec(self, handle: Handle, call: Exec, streams: Streams) -> Outcome:
        """The program's function; handle.id names nothing, since a fake has one container at most."""
        if not self.ran:
            raise EngineError("engine.gone", "the container has ended")
        load = replace(self.ran[-1], argv=call.argv, env=call.env, cwd=call.cwd, tty=call.tty)
        program = self.programs.get(call.argv[0])
        if program is None:
            raise ProgramError("program.not-found", "not found in the image", exit_code=NOT_FOUND, where=call.argv[0])
        streams.started()
        return Outcome(program(Guest(load, streams)))

    def copy_out(self, handle: Handle, path: str) -> Iterator[bytes]:
        """Never: a fake keeps no files."""
        raise EngineError("engine.cannot", "this engine cannot copy", where=path)

    def copy_in(self, handle: Handle, folder: str, tar: Iterable[bytes]) -> None:
        """Never."""
        raise EngineError("engine.cannot", "this engine cannot copy", where=folder)

    def explain(self, workload: Workload) -> str:
        """That there is no sandbox."""
        return f"memory engine: {' '.join(workload.argv)}\n"

    def limits(self, limits: Limits) -> str:
        """Nothing is limited."""
        return ""

    def checks(self) -> list[Check]:
        """Nothing is needed."""
        return [Check("memory", True, "a fake")]

"""The seam between bareboat and what runs containers."""

from __future__ import annotations

from collections.abc import Callable

from bareboat.values import Protocol, dataclass
from bareboat.workload import Limits, Outcome, Workload


@dataclass(frozen=True)
class Streams:
    """Where a program's streams go.

    stdin: a descriptor to read from, or None for /dev/null. stdout, stderr: called with each chunk as it arrives,
    in order within a stream; with a terminal everything comes through stdout. started: called once when the program
    has been started. terminal: the descriptor of the caller's terminal when the workload has tty, for its size and
    raw mode.
    """

    stdout: Callable[[bytes], None]
    stderr: Callable[[bytes], None]
    stdin: int | None = None
    terminal: int | None = None
    started: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Check:
    """One line of doctor: ok, or what is wrong and what to do. fatal: the main job cannot run without it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    fatal: bool = False


class Engine(Protocol):
    """Runs a workload to its end in the foreground. Nothing of it is left when run returns or bareboat is killed."""

    name: str

    def run(self, workload: Workload, streams: Streams) -> Outcome:
        """Start, stream, forward signals (SIGINT once asks, twice kills), wait.

        Raises EngineError when the sandbox cannot be made ("engine.platform" for a workload of an architecture that
        cannot be emulated here), ProgramError (126, 127) when the program cannot start.
        """

    def explain(self, workload: Workload) -> str:
        """The exact sandbox as text, without running anything."""

    def limits(self, limits: Limits) -> str:
        """How these limits will be kept on this machine, in one line for the user; "" when there are none."""

    def checks(self) -> list[Check]:
        """What of this machine the engine needs, for doctor."""

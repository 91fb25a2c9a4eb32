"""The seam between bareboat and what runs containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bareboat.host.loop import Loop
from bareboat.values import Any, Protocol, dataclass, field
from bareboat.workload import Exec, Handle, Limits, Outcome, Process, Usage, Workload


class Live(Protocol):
    """A container that runs, in the hands of the process that started it; used between two turns of its loop.

    Nothing here names a process by its number: a container that ended is gone for good, and no stranger is met.
    """

    def signal(self, number: int) -> bool:
        """Signal the program itself (not its children). False: it is gone, or not there yet."""

    def warn(self, number: int) -> int:
        """Send a signal to every process of the container that catches it, which none of them dies of; how many."""

    def catches(self, number: int) -> bool:
        """Whether any process of the container catches a signal; True where that cannot be told."""

    def ask(self, number: int) -> bool:
        """As signal; where the program itself, a shell, would only die of it and take with it others that catch it,
        those are signalled in its place.
        """

    def kill(self, reason: str) -> None:
        """End every process of the container at once; reason becomes the outcome's, where there is none yet."""

    def pause(self) -> None:
        """Stop every process, those being forked included. Idempotent. Raises EngineError."""

    def unpause(self) -> None:
        """Let them go on. Idempotent. Raises EngineError."""

    def resize(self, window: tuple[int, int]) -> None:
        """Set the (rows, columns) of the program's terminal, where it has one."""

    def processes(self) -> list[Process]:
        """What runs in it, the program first."""

    def usage(self) -> Usage:
        """What it uses now."""

    def handle(self) -> Handle:
        """What another process of this user needs to exec, copy and forward; the caller closes its descriptor."""


@dataclass(frozen=True)
class Streams:
    """Where a program's streams go.

    stdin: a descriptor to read from, or None for /dev/null. stdout, stderr: called with each chunk as it arrives,
    in order within a stream; with a terminal everything comes through stdout. started: called once when the program
    has been started. terminal: the descriptor of the caller's terminal when the workload has tty, for its size and
    raw mode. live: called once after started, with the loop that run() turns and the container; the caller may add
    descriptors of its own (a control socket) to the loop, and use the container from their callbacks. layer: called
    once after the end, where the engine can show it, with a descriptor of the thin writable layer before it is gone;
    gives the files (absolute, inside) that it accounts for itself, and that are therefore not told as lost.
    """

    stdout: Callable[[bytes], None]
    stderr: Callable[[bytes], None]
    stdin: int | None = None
    terminal: int | None = None
    started: Callable[[], None] = lambda: None
    live: Callable[[Loop, Live], None] = lambda loop, live: None
    layer: Callable[[int], frozenset[bytes]] = lambda layer: frozenset()


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

    def capabilities(self) -> Capabilities:
        """What it can do on this machine; may look at the machine, starts nothing."""

    def exec(self, handle: Handle, call: Exec, streams: Streams) -> Outcome:
        """Run one more program in the container to its end, as run() does, with the container's namespaces, limits,
        filter and no more rights than its program has. Raises EngineError "engine.gone" when the container ended,
        ProgramError (126, 127).
        """

    def copy_out(self, handle: Handle, path: str) -> Iterator[bytes]:
        """A tar stream of a file or directory inside, named by its own last part; links are not followed below it.
        Raises EngineError "engine.no-file", "engine.gone".
        """

    def copy_in(self, handle: Handle, folder: str, tar: Iterable[bytes]) -> None:
        """Unpack a tar stream of ours into a directory inside; symbolic links resolve inside. Raises EngineError."""

    def explain(self, workload: Workload) -> str:
        """The exact sandbox as text, without running anything."""

    def limits(self, limits: Limits) -> str:
        """How these limits will be kept on this machine, in one line for the user; "" when there are none."""

    def checks(self) -> list[Check]:
        """What of this machine the engine needs, for doctor."""


def _can(help: str, default: Any = False) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do here. Each field's help is a row of the table in docs/engines.md.

    False or "" means no; what a run asks for beyond them is refused before anything starts.
    """

    pause: bool = _can("freeze a container and let it go on")
    exec: bool = _can("one more program in a container that runs")
    copy: bool = _can("files in and out of a container that runs")
    ports: bool = _can("ports of the host that lead inside (-p)")
    ports_without_network: bool = _can("the same with --network none")
    tmpfs: bool = _can("file systems in memory (--tmpfs)")
    devices: bool = _can("device nodes of the host")
    memory: str = _can("a memory limit: kept by the kernel, or watched", "")
    cpus: bool = _can("a limit of CPUs")
    pids: bool = _can("a limit of processes")
    scratch_bound: bool = _can("a bound of the thin layer (--scratch-size)")
    lost_files: bool = _can("files that are lost with the container are counted and named")
    layer: bool = _can("what was installed by hand in a session is found again when it ends")
    emulation: bool = _can("programs of other architectures")
    code_overlays: bool = _can("compiled extensions laid over mounted code")
    any_user: bool = _can("any user inside (-u), and what it writes is the caller's")
    image_writable: bool = _can("the image's own files may be changed for the run, whoever runs it")
    exact_environment: bool = _can("the workload's variables and no other")
    own_input: bool = _can("what the program leaves of standard input is there for who reads on")

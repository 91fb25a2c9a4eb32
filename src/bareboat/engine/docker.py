"""The engines docker and podman: one implementation over their command lines, which are oci_command's values.

A container is made, started in the foreground of a client, looked at, and removed. A guard beside it removes it when
bareboat is killed; where both are killed, its labels say whose it was, and the next run of this store takes it away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bareboat.engine import oci_command as commands
from bareboat.engine.base import Capabilities, Check, Engine, Streams
from bareboat.engine.oci_command import Client, Making
from bareboat.engine.oci_facts import Facts, capabilities, endpoint, facts, local, reach, remote_podman
from bareboat.engine.oci_leavings import abandoned, lost, owner
from bareboat.engine.oci_session import Attached, account, ended, fill, on_terminal, said
from bareboat.errors import BareboatError, EngineError
from bareboat.host import relay
from bareboat.host.process import Command, Completed, ProcessError, begin, run, start
from bareboat.values import Protocol
from bareboat.workload import Exec, Handle, Limits, Lost, Outcome, Workload, checked, mount_target

_NAMED = 5
# What is said where NVIDIA's part of the engine is missing, or its specification does not name the GPU.
_NO_GPU = ("could not select device driver", "unresolvable CDI devices", "nvidia-container-cli",
           "nvidia-container-runtime")
_GPU_HINT = {
    "docker": "Install NVIDIA's container toolkit, then as root: nvidia-ctk runtime configure --runtime=docker, and "
              "systemctl restart docker.",
    "podman": "Make the specification that podman reads: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
}


class Images(Protocol):
    """Who has the images: the store's side, above this room."""

    def ids(self, workload: Workload) -> tuple[str, ...]:
        """What the workload's image may be called by an engine that has it; () when it was never made."""

    def bring(self, workload: Workload, engine: Loader) -> str:
        """Make the image and give it to the engine; its id there."""


class Loader(Protocol):
    """An engine that takes images."""

    @property
    def facts(self) -> Facts:
        """What it is."""

    def layers(self) -> list[tuple[str, ...]]:
        """The DiffIDs of each image that it has."""

    def take_archive(self, chunks: Iterable[bytes]) -> None:
        """An archive as `save` writes it. Raises EngineError "NAME.load"."""

    def take_layout(self, folder: Path, name: str) -> None:
        """The image of this name of a layout in a directory. Raises EngineError "NAME.load"."""

    def has(self, id: str) -> bool:
        """Whether there is an image of this id."""


class CommandLine:
    """Engine over docker's or podman's command line. name: which; store: named in labels, so that one store's
    leavings are told from another's; images: who brings them. rooms: who runs what has no plan, which is bareboat's
    own work (builds of sources, bytecode), where that can be done without feeding its trees. program, caller: others
    than usual, for tests.
    """

    def __init__(self, name: str, store: Path, images: Images, rooms: Engine | None = None, program: str = "",
                 caller: tuple[int, int] | None = None) -> None:
        self.name = name
        self._store, self._images, self._rooms = os.fspath(store), images, rooms
        self._client = Client(name, program or name, caller or (os.getuid(), os.getgid()))
        self._facts: Facts | None = None
        self._looked = False
        self._environ = dict(os.environ)

    @property
    def facts(self) -> Facts:
        """What stands behind the command line; looked at once. Raises EngineError."""
        if self._facts is None:
            self._facts = look(self._client, self._environ)
        return self._facts

    # --- running ---

    def run(self, workload: Workload, streams: Streams) -> Outcome:
        """See Engine.run. Raises EngineError, ProgramError, UsageError."""
        if not workload.root.plan_blob and self._rooms is not None:
            try:
                return self._rooms.run(workload, streams)
            except EngineError as error:
                if error.code != "engine.namespaces":
                    raise
        began = time.monotonic()
        load = self._checked(workload)
        if streams.stdin is not None and relay.is_directory(streams.stdin):
            raise EngineError("engine.stdin", "standard input is a directory",
                              hint="Give a file, a pipe, or /dev/null.")
        window = relay.window(streams.terminal) if load.tty else None
        made = self._create(load, streams.stdin is not None, window)
        client = self.facts.client
        with self._removing(made) as gone, ExitStack() as meanwhile:
            looking = None if self._looked else meanwhile.enter_context(
                begin(self._command(commands.list_ours(client, self._store))))
            self._looked = True
            attached = Attached(client, made, load.tty, streams, self._environ)
            attached.run(commands.start(client, made, streams.stdin is not None))
            outcome = self._outcome(attached, load, time.monotonic() - began)
            gone(self._abandoned(looking.finish()) if looking is not None else ())
        return outcome

    def _checked(self, load: Workload) -> Workload:
        """Refuse before anything is made what this engine cannot do."""
        checked(load)
        for mount in load.mounts:
            mount_target(mount.target)
            try:
                os.stat(mount.source)
            except OSError as error:
                raise EngineError("engine.source", f"what is to be mounted cannot be opened: {error.strerror}",
                                  where=os.fspath(mount.source)) from None
        for text in (*load.argv, *(x for pair in load.env for x in pair), *(str(m.source) for m in load.mounts)):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise EngineError("engine.encoding", f"{self.name} can only be told what is UTF-8", where=repr(text),
                                  hint="rename it, or use --engine bubblewrap") from None
        found = self.facts
        if load.platform:
            raise EngineError("engine.platform", f"programs for {load.platform} cannot be run by {self.name} here",
                              where=load.platform, hint="use --engine bubblewrap, which emulates them")
        self._limits(load.limits, found)
        if load.code_overlays:
            raise EngineError("engine.code-overlay", f"{self.name} cannot lay compiled extensions over mounted code",
                              hint="use --engine bubblewrap, or bareboat build and run the image")
        if load.ports and load.network == "none":
            raise EngineError("engine.ports", f"{self.name} opens no ports of a container that has no network",
                              where="-p", hint="use --network host, or --engine bubblewrap, which forwards them")
        if commands.foreign_owner(found.client, load):
            raise EngineError("engine.user", f"what user {load.uid} writes to the mounts would belong to user "
                              f"{commands.inside(found.client, load.uid, load.gid)[0]} of this machine and not to you",
                              hint=f"leave out --user, or use --engine bubblewrap (or rootless podman), where it is "
                                   f"yours; {self.name} of root's maps nobody")
        from bareboat.engine.oci_program import program

        self._program = program(load, found.platform)
        return load

    def _limits(self, limits: Limits, found: Facts) -> None:
        for name, wanted, able in (("memory", limits.memory, found.memory), ("cpus", limits.cpus, found.cpus),
                                   ("pids", limits.pids, found.pids)):
            if wanted is not None and not able:
                raise EngineError("engine.limits", f"{self.name} cannot limit {name} here", where=f"--{name}",
                                  hint="it needs cgroup v2 with controllers delegated; or use --engine bubblewrap")
        if limits.scratch_size is not None:
            raise EngineError("engine.limits", f"{self.name} cannot bound the thin writable layer",
                              where="--scratch-size", hint="use --engine bubblewrap, or leave it out")

    def _create(self, load: Workload, stdin: bool, window: tuple[int, int] | None) -> str:
        """Make the container; its id. An image that is not there is brought, also when it went meanwhile."""
        for id in self._images.ids(load):
            made = self._try_create(load, id, stdin, window)
            if made:
                return made
        for _ in range(2):
            made = self._try_create(load, self._images.bring(load, self), stdin, window)
            if made:
                return made
        raise EngineError(f"{self.name}.image", "the image goes as soon as it is there",
                          hint=f"does something prune {self.name}'s images? run it again without")

    def _try_create(self, load: Workload, image: str, stdin: bool, window: tuple[int, int] | None) -> str:
        """"" where there is no such image."""
        import tempfile

        client = self.facts.client
        env = commands.environment(client, (*load.env, *load.driver.env), load.tty)
        with tempfile.NamedTemporaryFile("w", prefix="bareboat-env-", encoding="utf-8") as file:
            fill(file, env.file, client)
            for _ in range(3):
                name = f"bareboat-{load.run or 'run'}-{os.urandom(3).hex()}"
                making = Making(image, name, self._program, file.name, self._labels(load), total_memory(), stdin,
                                self._has_workdir(load))
                command = commands.create(client, load, env, making)
                command = Command(command.argv, commands.clients_own(self._environ, env), timeout=300)
                done = run(command) if window is None or client.podman else on_terminal(command, window)
                if done.code == 0:
                    return done.stdout.decode().split()[-1]
                if not self.has(image):
                    return ""
                if not self._call(commands.state(client, name)).code:
                    continue  # the name is another's: one in 16 million
                break
        raise EngineError(f"{self.name}.create", f"{self.name} cannot make the container: {said(done)}",
                          hint=f"bareboat doctor shows what {self.name} lacks here; folders to mount must be this "
                               "machine's, where the daemon runs")

    @staticmethod
    def _has_workdir(load: Workload) -> bool:
        from bareboat.engine.oci_program import find

        return find(load, load.cwd) is not None or any(m.target == load.cwd for m in load.mounts)

    def _labels(self, load: Workload) -> tuple[tuple[str, str], ...]:
        return (("bareboat.run", load.run), ("bareboat.store", self._store), ("bareboat.owner", owner(os.getpid())))

    @contextmanager
    def _removing(self, id: str) -> Iterator[Callable[[tuple[str, ...]], None]]:
        """Whatever happens in the block, the container is gone behind it; also when this process is killed in it."""
        client = self.facts.client
        read, write = os.pipe()
        try:
            try:
                guard = start(commands.guard(client, id), (read, -1, -1))
            finally:
                os.close(read)

            def gone(others: tuple[str, ...]) -> None:
                done = self._call(commands.remove(client, id, *others))
                if done.code and not self._call(commands.state(client, id)).code:
                    raise EngineError(f"{self.name}.remove", f"the container cannot be removed: {said(done)}",
                                      where=id[:12], hint=f"{self.name} rm --force {id[:12]}")

            try:
                yield gone
            except BaseException:
                try:
                    self._call(commands.remove(client, id))
                except ProcessError:
                    pass  # what failed first is what to tell; its labels are what is left
                raise
            finally:
                os.write(write, b"\n")
                guard.wait()
        finally:
            os.close(write)

    def _outcome(self, attached: Attached, load: Workload, spent: float) -> Outcome:
        client = self.facts.client
        with begin(self._command(commands.changes(client, attached.id))) as changes:
            told = self._call(commands.state(client, attached.id))
            found, differs = ended(account(told)), changes.finish()
        if told.code and not attached.reason:
            raise EngineError(f"{self.name}.gone", f"how the program ended is not known: {said(told)}",
                              hint=f"somebody removed the container while it ran, or {self.name} was stopped")
        if not found.ran:
            if attached.reason:
                return Outcome(137, attached.reason, seconds=spent)
            text = found.error or said(Completed(1, b"", attached.tail))
            if load.gpus and any(sign in text for sign in _NO_GPU):
                raise EngineError(f"{self.name}.gpu", f"{self.name} cannot give {load.gpus} to a container: {text}",
                                  hint=_GPU_HINT[self.name])
            raise EngineError(f"{self.name}.start", f"{self.name} cannot start the container: {text}",
                              hint=f"bareboat doctor shows what {self.name} lacks here")
        reason = attached.reason
        if found.out_of_memory and found.code == 137:
            reason = reason or "out of memory"
        return Outcome(found.code, reason, self._lost(attached.id, differs, load), found.seconds or spent)

    def _lost(self, id: str, differs: Completed, load: Workload) -> Lost:
        names = lost(differs.stdout.decode("utf-8", "replace"), load) if differs.code == 0 else ()
        if not names:
            return Lost()
        size = self._call(commands.size(self.facts.client, id)).stdout.strip()
        return Lost(len(names), int(size) if size.isdigit() else 0, names[:_NAMED])

    # --- what it says of itself ---

    def explain(self, workload: Workload) -> str:
        """The exact command line; values of variables are not shown."""
        load = self._checked(workload)
        env = commands.environment(self.facts.client, (*load.env, *load.driver.env), load.tty)
        image = next(iter(self._images.ids(load)), "IMAGE")
        making = Making(image, "bareboat-run", self._program, "FILE", self._labels(load), total_memory(), True)
        words = commands.create(self.facts.client, load, env, making).argv
        shown = [w if not w.startswith("--env=") else "=".join(w.split("=")[:2]) for w in words]
        rows = [("engine", f"{self.name} {self.facts.version}{', rootless' if self.facts.client.rootless else ''}"),
                ("environment", " ".join(name for name, _ in load.env)), *(("command" if n == 0 else "", w)
                                                                           for n, w in enumerate(shown))]
        return "\n".join(f"{name:<13} {text!r}" if not text.isprintable() else f"{name:<13} {text}".rstrip()
                         for name, text in rows) + "\n"

    def limits(self, limits: Limits) -> str:
        """Kept by the engine's cgroup, or refused before the start."""
        words = [name for name, value in (("memory", limits.memory), ("CPUs", limits.cpus), ("processes", limits.pids))
                 if value is not None]
        return f"limits on {', '.join(words)} kept by {self.name}" if words else ""

    def checks(self) -> list[Check]:
        """Whether it can be used, and why not."""
        try:
            found = self.facts
        except BareboatError as e:
            return [Check(self.name, False, f"{e.where}: {e.what}" if e.where else e.what, e.hint)]
        lacking = [n for n, able in (("memory", found.memory), ("CPUs", found.cpus), ("processes", found.pids))
                   if not able]
        text = f"{found.version}{', rootless' if found.client.rootless else ''}"
        if lacking:
            text += f"; limits on {', '.join(lacking)} cannot be kept"
        return [Check(self.name, True, text)]

    def capabilities(self) -> Capabilities:
        """What it can do here."""
        return capabilities(self.facts)

    # --- containers that run ---

    def exec(self, handle: Handle, call: Exec, streams: Streams) -> Outcome:
        """One more program in a running container; see Engine.exec."""
        from bareboat.engine.oci_visits import execute

        return execute(self.facts.client, self._environ, handle, call, streams)

    def copy_out(self, handle: Handle, path: str) -> Iterator[bytes]:
        """A tar stream; see Engine.copy_out."""
        from bareboat.engine.oci_visits import copy_out

        return copy_out(self.facts.client, self._environ, handle, path)

    def copy_in(self, handle: Handle, folder: str, tar: Iterable[bytes]) -> None:
        """Unpack a tar inside; see Engine.copy_in."""
        from bareboat.engine.oci_visits import copy_in

        copy_in(self.facts.client, self._environ, handle, (folder, tar))

    # --- images, as a Loader ---

    def layers(self) -> list[tuple[str, ...]]:
        """The DiffIDs of each image that the engine has."""
        import json

        ids = sorted(set(self._call(commands.images_there(self.facts.client)).stdout.decode().split()))
        if not ids:
            return []
        lines = self._call(commands.layers_there(self.facts.client, ids)).stdout.decode().splitlines()
        return [tuple(found) for line in lines if isinstance(found := json.loads(line), list)]

    def has(self, id: str) -> bool:
        """Whether there is an image of this id."""
        return self._call(commands.image_there(self.facts.client, id)).code == 0

    def take_archive(self, chunks: Iterable[bytes]) -> None:
        """An archive as `save` writes it."""
        from bareboat.host.process import write_to

        self._taken(write_to(Command(commands.load_archive(self.facts.client).argv, self._environ), chunks))

    def take_layout(self, folder: Path, name: str) -> None:
        """The image of this name of a layout in a directory."""
        self._taken(self._call(commands.pull_layout(self.facts.client, os.fspath(folder), name), timeout=3600))

    def _taken(self, done: Completed) -> None:
        if done.code:
            raise EngineError(f"{self.name}.load", f"{self.name} does not take the image: {said(done)}",
                              hint=f"make room ({self.name} system df, {self.name} system prune), then run it again")

    # --- leavings ---

    def leftovers(self) -> tuple[str, ...]:
        """Containers of this store whose bareboat died without taking them away. Never one of a bareboat that lives."""
        return self._abandoned(self._call(commands.list_ours(self.facts.client, self._store)))

    def _abandoned(self, listed: Completed) -> tuple[str, ...]:
        ids = listed.stdout.decode().split()
        if listed.code or not ids:
            return ()
        lines = self._call(commands.owners(self.facts.client, ids)).stdout.decode().splitlines()
        found = [line.split(" ", 1) for line in lines]
        return tuple(words[0] for words in found if len(words) == 2 and abandoned(words[1]))

    def _command(self, command: Command, timeout: float = 60) -> Command:
        return Command(command.argv, self._environ, timeout=timeout)

    def _call(self, command: Command, timeout: float = 60) -> Completed:
        return run(self._command(command, timeout))


def look(client: Client, environ: dict[str, str]) -> Facts:
    """What stands behind a client. Raises EngineError "NAME.missing", "NAME.remote", "docker.down" and as facts()."""
    import json
    import shutil

    if shutil.which(client.program, path=environ.get("PATH")) is None:
        raise EngineError(f"{client.name}.missing", f"{client.name} is not installed",
                          hint=f"install {client.name}, or use --engine bubblewrap")
    if client.podman:
        remote_podman(environ)
    else:
        reach(local(endpoint(environ)))
    done = run(Command(commands.info(client).argv, environ, timeout=20))
    try:
        document = json.loads(done.stdout)
    except ValueError:
        raise EngineError(f"{client.name}.info", f"{client.name} cannot be used: {said(done)}",
                          hint=f"see {client.name} info") from None
    return facts(client, document)


def total_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

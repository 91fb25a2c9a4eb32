"""A workload as the exact sandbox: checked, encoded, and the bwrap options to the letter. Pure.

Everything with a path of the host's in it is done by ourselves before bwrap (root.py), through descriptors; bwrap sees
only names in our private staging directory, so nothing that a user or an image chose can be taken for an option.
"""

from __future__ import annotations

import os

from bareboat.errors import EngineError, UsageError
from bareboat.sandbox.leader import PATH as LEADER
from bareboat.values import TYPE_CHECKING, dataclass
from bareboat.workload import Device, Driver, Mount, Workload, absolute, checked, mount_target

if TYPE_CHECKING:
    from bareboat.sandbox.driver import Made
    from bareboat.sandbox.emulation import Emulation

ARGS_FD, SECCOMP_FD, STATUS_FD = 3, 4, 5  # what bwrap inherits beside 0, 1 and 2; none reaches the program
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Bind:
    """One mount of ours: an absolute host path at a normalised target; over: a tree laid on top of it, read-only."""

    source: bytes
    target: bytes
    read_only: bool
    over: bytes | None = None
    device: bool = False

    @property
    def late(self) -> bool:
        """Under /dev, which bwrap makes: to be bound by bwrap, after."""
        return self.target.startswith(b"/dev/")


@dataclass(frozen=True)
class Memory:
    """A tmpfs of ours at a normalised target: bytes, mode, and whether programs in it may be started."""

    target: bytes
    size: int
    mode: int
    read_only: bool
    programs: bool


@dataclass(frozen=True)
class Box:
    """What is needed to build the sandbox, as bytes. shm, scratch: sizes in bytes; disk: where the upper lives."""

    trees: tuple[bytes, ...]  # bottom to top
    argv: tuple[bytes, ...]
    env: tuple[tuple[bytes, bytes], ...]
    cwd: bytes
    binds: tuple[Bind, ...]
    uid: int
    gid: int
    home: bytes
    host_network: bool
    tty: bool
    hostname: bytes
    shm: int
    scratch: int
    disk: bytes | None
    by_root: bool = False  # the caller is uid 0, so the user inside owns what is root's outside
    overlay: bool = True  # False: as where a user may not stack trees; one tree only
    memory: tuple[Memory, ...] = ()
    driver: Made | None = None  # what a GPU's driver needs in the thin layer
    emulation: Emulation | None = None  # of the image's programs, where they are of another architecture


def _absolute(path: str, what: str) -> bytes:
    return os.fsencode(absolute(path, what))


def _target(path: str) -> bytes:
    return os.fsencode(mount_target(path))


def box(workload: Workload, memory: int, overlay: bool = True, by_root: bool = False) -> Box:
    """The sandbox of a workload on a machine with so many bytes of memory. Raises UsageError, EngineError."""
    checked(workload)
    if not workload.root.trees:
        raise EngineError("engine.root", "the image has no trees")
    overlays = {_target(target): os.fsencode(tree) for target, tree in workload.code_overlays}
    binds = tuple(
        Bind(os.fsencode(mount.source), _target(mount.target), mount.read_only,
             overlays.pop(_target(mount.target), None))
        for mount in (*workload.mounts, *_unless(workload.driver.mounts, workload.mounts))
    ) + tuple(_device(device) for device in dict.fromkeys((*workload.devices, *workload.driver.devices)))
    for target in overlays:
        raise EngineError("engine.code-overlay", "a tree is to be laid over a mount that is not there",
                          where=os.fsdecode(target))
    limits = workload.limits
    scratch = limits.scratch_size or max(memory // 4, 64 << 20)
    return Box(
        trees=tuple(os.fsencode(tree) for tree in workload.root.trees),
        argv=tuple(os.fsencode(part) for part in workload.argv),
        env=tuple((os.fsencode(name), os.fsencode(value))
                  for name, value in ({**dict(workload.env), **dict(workload.driver.env)}).items()),
        cwd=_absolute(workload.cwd, "the working directory"),
        # parents first, so that no mount hides another; otherwise the order given
        binds=tuple(sorted(binds, key=lambda bind: bind.target.count(b"/"))),
        uid=workload.uid,
        gid=workload.gid,
        home=_absolute(workload.home, "the home directory"),
        host_network=workload.network == "host",
        tty=workload.tty,
        hostname=os.fsencode(workload.hostname),
        shm=limits.shm_size or memory // 2,
        scratch=scratch,
        disk=os.fsencode(workload.scratch_dir) if workload.scratch == "disk" and workload.scratch_dir else None,
        overlay=overlay,
        by_root=by_root,
        memory=tuple(Memory(_inner(m.target), m.size or scratch, m.mode, m.read_only, m.programs)
                     for m in workload.tmpfs),
        driver=_made(workload.driver),
    )


def _inner(path: str) -> bytes:
    """The target of a tmpfs: made before bwrap makes /dev."""
    target = _target(path)
    if target.startswith(b"/dev/"):
        raise UsageError("engine.mount-target", "a tmpfs cannot be below /dev", where=path,
                         hint="--shm-size sets the size of /dev/shm")
    return target


def _unless(mounts: tuple[Mount, ...], taken: tuple[Mount, ...]) -> list[Mount]:
    """Mounts of a driver, but where the user has one at the same place: what was typed is what counts."""
    targets = {_target(mount.target) for mount in taken}
    return [mount for mount in mounts if _target(mount.target) not in targets]


def _device(device: Device) -> Bind:
    target = _target(device.target)
    if not target.startswith(b"/dev/"):
        raise UsageError("engine.device", "a device node can only be below /dev", where=device.target)
    return Bind(os.fsencode(device.source), target, True, device=True)


def _made(driver: Driver) -> Made | None:
    if not driver.links and not driver.libraries:
        return None
    from bareboat.sandbox.driver import made

    return made(driver)


def options(box: Box, stage: bytes) -> tuple[bytes, ...]:
    """bwrap's options, as it reads them from ARGS_FD: neither they nor the environment show in a list of processes."""
    out = [
        b"--unshare-user", b"--uid", b"%d" % box.uid, b"--gid", b"%d" % box.gid, b"--disable-userns",
        b"--unshare-pid", b"--unshare-ipc", b"--unshare-uts", b"--unshare-cgroup-try",
        *([] if box.host_network else [b"--unshare-net"]),
        b"--cap-drop", b"ALL", b"--die-with-parent", b"--hostname", box.hostname,
        b"--bind", stage + b"/root", b"/",
        b"--dev", b"/dev",
        b"--perms", b"1777", b"--size", b"%d" % box.shm, b"--tmpfs", b"/dev/shm",
        *([b"--dev-bind", stage + b"/pts", b"/dev/pts"] if box.tty else []),
        b"--proc", b"/proc",
        *(_guards(stage) if box.by_root else []),
    ]
    for number, bind in enumerate(box.binds):
        if bind.late:
            out += [b"--dev-bind", stage + b"/m/%d" % number, bind.target]
    out.append(b"--clearenv")
    for name, value in box.env:
        out += [b"--setenv", name, value]
    out += [b"--chdir", box.cwd, b"--seccomp", b"%d" % SECCOMP_FD, b"--json-status-fd", b"%d" % STATUS_FD]
    return tuple(out)


# The nodes are the host's own: a read-only mount lets them be used and not be changed (chmod by their owner).
NODES = (b"null", b"zero", b"full", b"random", b"urandom", b"tty")

# When root starts a run, its user inside is still the owner of these files, whatever number it has there: writing
# /proc/sys/kernel/core_pattern needs no capability and runs a program on the host at the next crash.
READ_ONLY = (b"/proc/sys", b"/proc/sysrq-trigger", b"/proc/irq", b"/proc/bus", b"/proc/fs", b"/proc/acpi",
             b"/proc/scsi", b"/proc/mtrr", b"/proc/driver", b"/proc/asound")
MASKED = (b"/proc/kcore", b"/proc/keys", b"/proc/timer_list", b"/proc/timer_stats", b"/proc/sched_debug",
          b"/proc/latency_stats", b"/proc/kmsg", b"/proc/kpagecount", b"/proc/kpageflags", b"/proc/kpagecgroup",
          b"/proc/vmallocinfo", b"/proc/slabinfo", b"/proc/kallsyms")


def _guards(stage: bytes) -> list[bytes]:
    """bwrap's options over the new /proc and /dev; what this kernel does not have is left out."""
    out = [word for node in NODES for word in (b"--dev-bind", stage + b"/d/" + node, b"/dev/" + node)]
    for path in READ_ONLY:
        out += [b"--ro-bind-try", path, path]
    for path in MASKED:
        if os.path.exists(path):
            out += [b"--ro-bind", b"/dev/null", path]
    return out


def command(box: Box, program: bytes = b"") -> tuple[bytes, ...]:
    """bwrap's own argv: the program stands behind "--", whatever it looks like; with a terminal behind its leader."""
    before = (LEADER, program) if box.tty else ()
    return (b"bwrap", b"--args", b"%d" % ARGS_FD, b"--", *before, *box.argv)

"""doctor --system: what an administrator has to give the users of this machine, each line ok or what to do.

Asked as root it looks for an ordinary user: root may what others may not. Nothing is changed, no network is asked.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bareboat import settings as table
from bareboat.engine.base import Check, Engine
from bareboat.errors import BareboatError, LeaseError
from bareboat.settings import Settings, SettingsError
from bareboat.values import dataclass

NOBODY = 65534
OPEN = "is open to everybody, and root's"
DELEGATED = ("cpu", "memory", "pids")
_DELEGATE = ("write [Service] and below it Delegate=cpu cpuset io memory pids into /etc/systemd/system/user@.service.d/"
             "delegate.conf, then: systemctl daemon-reload; until then limits are watched, not kept by the kernel")


@dataclass(frozen=True)
class Machine:
    """Where to look; other places in tests. engine: makes the engine that settings name; owner: the uid that the shared
    store may belong to; administrator: the one that /etc/bareboat must belong to.
    """

    engine: Callable[[Settings], Engine]
    owner: Callable[[Settings], int]
    root: Path = Path("/")
    administrator: int = 0


def checks(machine: Machine) -> list[Check]:
    """Every check, in the order people should read them; one that fails in a way nobody foresaw is a line, too."""
    found: list[Check] = []
    chosen = Settings()
    try:
        chosen = _settings(machine)
        found += _settings_checks(machine, chosen)
    except SettingsError as error:
        found.append(Check("settings", False, f"{error.where}: {error.what}", error.hint, fatal=True))
    for check in CHECKS:
        try:
            found += check(machine, chosen)
        except (BareboatError, OSError) as error:
            found.append(Check(check.__name__.strip("_"), False, str(error).split("\n")[0],
                               getattr(error, "hint", "")))
    return found


def _settings(machine: Machine) -> Settings:
    """What holds for a user who sets nothing."""
    file = machine.root / table.SYSTEM_FILE.relative_to("/")
    return table.load({"HOME": "/nonexistent"}, None, file, machine.administrator)


def _settings_checks(machine: Machine, chosen: Settings) -> Iterator[Check]:
    file = machine.root / table.SYSTEM_FILE.relative_to("/")
    if not file.exists():
        yield Check("settings", True, f"no {file}: the defaults hold for everybody")
        return
    names = [name for name, source in chosen.sources if source == str(file)]
    limits = [name.removeprefix("limits.") for name in names if name.startswith("limits.")]
    parts = [f"{len(names)} settings", *([f"fixed: {', '.join(chosen.fixed)}"] if chosen.fixed else []),
             f"limits: {', '.join(limits) or 'none'}"]
    yield Check("settings", True, f"{file} is root's alone; {'; '.join(parts)}")
    if not file.stat().st_mode & 0o004:
        mode = f"{stat.S_IMODE(file.stat().st_mode):04o}"
        yield Check("settings", False, f"{file} cannot be read by users (mode {mode}), so nothing starts for them",
                    f"chmod 644 {file}", fatal=True)


def _namespaces(machine: Machine, chosen: Settings) -> Iterator[Check]:
    if sys.platform != "linux":
        yield Check("user namespaces", False, "there are none on this system", "runs go to an engine such as docker")
        return
    from bareboat.host.namespaces import diagnose, probe

    for c in diagnose(lambda: probe(NOBODY if os.geteuid() == 0 else None)):
        yield Check(c.name, c.ok, c.detail, c.remedy, c.fatal and chosen.engine == "bubblewrap")


def _cgroups(machine: Machine, chosen: Settings) -> Iterator[Check]:
    top = machine.root / "sys/fs/cgroup"
    if not (top / "cgroup.controllers").exists():
        yield Check("cgroups", False, "no cgroup v2 at /sys/fs/cgroup: limits are watched, not kept by the kernel",
                    "boot with systemd.unified_cgroup_hierarchy=1")
        return
    managers = sorted(top.glob("user.slice/user-*.slice/user@*.service/cgroup.controllers"))
    if not managers:
        yield Check("cgroups", True, "cgroup v2; no user is logged in through systemd, so what is delegated to users "
                    "cannot be seen: run this again while one is")
        return
    lacking = sorted({c for m in managers for c in DELEGATED if c not in m.read_text("ascii").split()})
    yield Check("cgroups", not lacking, f"delegated to {len(managers)} user managers"
                + (f", without {', '.join(lacking)}" if lacking else f": {', '.join(DELEGATED)}"), _DELEGATE)


def _subids(machine: Machine, chosen: Settings) -> Iterator[Check]:
    """Only rootless Podman and Docker need them."""
    counts = {name: _lines(machine.root / "etc" / name) for name in ("subuid", "subgid")}
    helper = shutil.which("newuidmap")
    needed = chosen.engine == "podman" or (chosen.engine != "bubblewrap" and shutil.which("podman") is not None)
    fine = all(counts.values()) and helper is not None
    said = ", ".join(f"{count} users in /etc/{name}" for name, count in counts.items())
    yield Check("subuid, subgid", fine or not needed,
                f"{said}, newuidmap {'is there' if helper else 'is missing'}"
                + ("" if needed else "; bubblewrap needs none of it, rootless podman does"),
                "install uidmap, and give each user a range: usermod --add-subuids 100000-165535 --add-subgids "
                "100000-165535 USER, another range for each")


def _lines(path: Path) -> int:
    try:
        return sum(1 for line in path.read_text("utf-8", "replace").splitlines() if line.count(":") == 2)
    except OSError:
        return 0


def _shared(machine: Machine, chosen: Settings) -> Iterator[Check]:
    place = chosen.shared_store_path
    if place is None:
        yield Check("shared store", True, "none (shared-store.path): each user has their own copy of everything")
        return
    from bareboat.store.shared import troubles

    trouble = troubles(place, machine.owner(chosen)) or _shut(place)
    if trouble:
        yield Check("shared store", False, trouble, "put it in order as docs/administration.md says; until then users "
                    "have their own copies")
        return
    names = sum(1 for _ in os.scandir(place / "documents/tags"))
    yield Check("shared store", True, f"{place}: {names} named images, of {chosen.shared_store_owner}'s")
    if hasattr(os, "ST_NOATIME") and os.statvfs(place).f_flag & os.ST_NOATIME:
        yield Check("shared store", False, f"{place} is mounted noatime: gc there cannot see when users used something "
                    "last, only what they use now", "mount it relatime, or give what is to stay a name")


def _shut(place: Path) -> str:
    """Where ordinary users cannot get in, though root can."""
    for folder in (place, *place.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return f"{folder} is closed to users (mode {stat.S_IMODE(folder.stat().st_mode):04o})"
    return ""


def _gpus(machine: Machine, chosen: Settings) -> Iterator[Check]:
    driver = (machine.root / "proc/driver/nvidia/version").exists()
    amd = (machine.root / "dev/kfd").exists()
    folders = [machine.root / folder.lstrip("/") for folder in chosen.gpu_cdi.split(":") if folder]
    files = sorted(f for folder in folders if folder.is_dir() for f in folder.iterdir()
                   if f.suffix in (".json", ".yaml", ".yml"))
    if not files:
        make = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml" if driver else "amd-ctk cdi generate"
        yield Check("CDI", not (driver or amd), "no specifications in " + " or ".join(map(str, folders))
                    + (", though there is a GPU driver" if driver or amd else ", and no GPU driver"), make)
        return
    from bareboat.host.gpu.cdi import SIZE, parse

    for file in files:
        try:
            spec = parse(file.read_bytes()[: SIZE + 1], str(file))
        except BareboatError as error:
            yield Check("CDI", False, f"{error.where}: {error.what}", error.hint or "make it again")
            continue
        writable = file.stat().st_mode & 0o022 or file.stat().st_uid != machine.administrator
        yield Check("CDI", not writable, f"{file}: {spec.kind}, {len(spec.devices)} devices"
                    + (", and somebody but root can write to it" if writable else ""),
                    f"chown {machine.administrator} {file}; chmod 644 {file}")


def _leases(machine: Machine, chosen: Settings) -> Iterator[Check]:
    """The directory in which users agree on GPUs: root's, or whoever came first can remove the locks that he made."""
    from bareboat.lease.place import MODE, PLACES, place

    root = machine.root
    matters = (root / "proc/driver/nvidia/version").exists() or (root / "dev/kfd").exists()
    try:
        at = place(chosen.leases_path, [root / p.relative_to("/") for p in PLACES])
        status = at.path.stat()
    except (LeaseError, FileNotFoundError):
        path = chosen.leases_path or PLACES[0]
        yield Check("leases", not matters, f"{path} is not there: the first user to need it will own it",
                    f"install -d -m 1777 {path}, and for every start of the machine docs/administration.md, "
                    "\"Leases of GPUs\"")
        return
    mode = stat.S_IMODE(status.st_mode)
    wrong = [f"belongs to uid {status.st_uid}"] if status.st_uid != machine.administrator else []
    wrong += [f"has mode {mode:04o}"] if mode != MODE else []
    yield Check("leases", not wrong, f"{at.path} {' and '.join(wrong) or OPEN}",
                f"chown {machine.administrator} {at.path}; chmod 1777 {at.path}")


def _engine(machine: Machine, chosen: Settings) -> Iterator[Check]:
    source = chosen.source("engine")
    lines = machine.engine(chosen).checks()
    wrong = [c for c in lines if not c.ok and (c.fatal or c.name == chosen.engine)]
    said = f"{chosen.engine} ({source})"
    if wrong and chosen.engine != "bubblewrap":
        yield Check("engine", False, f"{said}: {wrong[0].detail}", wrong[0].remedy, fatal=True)
    elif chosen.engine == "bubblewrap":
        program = next((c for c in lines if c.name == "bwrap"), None)
        good = program is None or program.ok
        yield Check("engine", good, f"{said}" + (f", {program.detail}" if program else ""),
                    program.remedy if program else "", fatal=True)
    else:
        yield Check("engine", True, said)


def _program(machine: Machine, chosen: Settings) -> Iterator[Check]:
    """Whether what runs here can be started by everybody."""
    import bareboat

    for what in (Path(sys.executable), Path(bareboat.__file__)):
        for place in (what, *what.parents, *what.resolve().parents):
            need = 0o004 if place == what else 0o001
            if not place.stat().st_mode & need:
                yield Check("program", False, f"{place} is closed to users, so they cannot start this bareboat",
                            "install it where everybody can read, such as a virtual environment below /opt")
                return
    yield Check("program", True, f"{sys.executable} can be started by every user")


CHECKS: tuple[Callable[[Machine, Settings], Iterator[Check]], ...] = (
    _namespaces, _cgroups, _subids, _shared, _gpus, _leases, _engine, _program)

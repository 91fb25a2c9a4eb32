"""gpus: the GPUs of this machine, what they do, and who uses them, in bareboat's containers and outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bareboat.errors import BareboatError
from bareboat.host.gpu.values import Gpu, Inventory, Mig, Unit
from bareboat.lease.values import SLOTS, Holding
from bareboat.store import Store
from bareboat.verbs.collaborators import Work


@dataclass(frozen=True)
class GpuUser:
    """A process on a GPU. memory: bytes there, None where it is not told. container, name: of bareboat's, "" for a
    process outside; of another user's the run that has the GPU leased. user, command: "" where this user may not see
    them.
    """

    pid: int
    memory: int | None
    container: str = ""
    name: str = ""
    user: str = ""
    command: str = ""


@dataclass(frozen=True)
class Holder:
    """A container that runs and was granted the GPU, whether it uses it or not."""

    container: str
    name: str


@dataclass(frozen=True)
class Lessee:
    """A run or session of any user that has the GPU leased. kind: "training", "session" or "serving"; "" where a
    process (run: its number) has it locked and nobody says for what. share: of 1; since, ends: seconds since the epoch,
    0 for not known; ending: it was asked to make room.
    """

    user: str
    run: str
    name: str = ""
    kind: str = ""
    share: float = 1.0
    since: float = 0.0
    ends: float = 0.0
    ending: bool = False


@dataclass(frozen=True)
class Row:
    """A GPU, or a MIG instance of one, with who uses it. holders: this user's containers; leases: everybody's."""

    gpu: Gpu
    mig: Mig | None
    users: tuple[GpuUser, ...]
    holders: tuple[Holder, ...]
    leases: tuple[Lessee, ...] = ()


@dataclass(frozen=True)
class Gpus:
    """rows: every GPU, those in MIG mode before their instances. specs: CDI files with a kind of GPUs. missing: why
    there are none, or why one or a file cannot be used.
    """

    driver: str
    cuda: str
    rows: tuple[Row, ...]
    specs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def gpus(work: Work) -> Gpus:
    """All of them, as they are now. A container that ends meanwhile, or a CDI file that is wrong, stops nothing."""
    from bareboat.host.gpu.specs import KINDS
    from bareboat.verbs.grant import machine, specs_of

    specs = specs_of(work)
    missing = [f"{error.where}: {error.what}" for error, kinds in specs.broken if kinds]
    try:
        here = machine(specs, work)
    except BareboatError:  # of a broken specification, which is told
        from bareboat.host.gpu.inventory import inventory

        here = inventory(work.settings.gpu_nvml)
    owners, granted = _containers(work.store)
    held, wrong = _holdings(work) if here.gpus else ((), ())
    rows = tuple(_leased(row, held, work) for gpu in here.gpus for row in _rows(gpu, owners, granted))
    wrong = (*wrong, *_vanished(held, rows))
    cuda = ".".join(map(str, here.cuda)) if here.cuda else ""
    files = tuple(spec.file for spec in specs.specs if spec.kind in KINDS.values())
    return Gpus(here.driver, cuda, rows, files, tuple(dict.fromkeys((*here.missing, *missing, *wrong))))


def _holdings(work: Work) -> tuple[tuple[Holding, ...], tuple[str, ...]]:
    """What is leased on this machine, and what is wrong with what some tell of it."""
    from bareboat.verbs.lent import leases_of

    try:
        leases = leases_of(work)
        return leases.holdings(), tuple(f"leases: {problem}" for problem in leases.problems())
    except BareboatError as error:
        return (), (f"leases: {error.where}: {error.what}",)


def _vanished(held: tuple[Holding, ...], rows: tuple[Row, ...]) -> Iterator[str]:
    """A line for each GPU that somebody has leased and that is not there any more."""
    from bareboat.verbs.lending import user_name
    from bareboat.verbs.machine import unit_name

    there = {unit_name(Unit(row.gpu, row.mig)) for row in rows}
    for holding in held:
        for unit, _ in holding.units:
            if unit not in there:
                yield (f"{unit} is leased by {user_name(holding.uid)}'s {holding.kind} {holding.name or holding.run}, "
                       "and is not there any more")


def _leased(row: Row, held: tuple[Holding, ...], work: Work) -> Row:
    """The row with who has it leased, and whose of them the processes are that no container of ours has."""
    from bareboat.verbs.lending import user_name, user_of
    from bareboat.verbs.lent import leases_of
    from bareboat.verbs.machine import unit_name

    if row.gpu.mig and row.mig is None:
        return row
    unit = unit_name(Unit(row.gpu, row.mig))
    here = [holding for holding in held if unit in dict(holding.units)]
    found = [Lessee(user_name(h.uid), h.run, h.name, h.kind, dict(h.units)[unit] / SLOTS, h.started, h.ends, h.ending)
             for h in here]
    try:
        lockers = () if here else leases_of(work).lockers(unit)
    except BareboatError:
        lockers = ()  # which is told
    found += [Lessee(user_of(pid), str(pid)) for pid in lockers]
    by = {lessee.user: lessee for lessee in found if lessee.kind}
    users = tuple(u if u.container or u.user not in by or len(by) < len(here) else
                  replace(u, container=by[u.user].run, name=by[u.user].name) for u in row.users)
    return replace(row, users=users, leases=tuple(found))


def _rows(gpu: Gpu, owners: dict[int, Holder], granted: dict[str, list[Holder]]) -> list[Row]:
    def row(mig: Mig | None) -> Row:
        of = mig or gpu
        names = (mig.uuid, f"{gpu.index}:{mig.index}") if mig else (gpu.uuid, str(gpu.index))
        users = tuple(_user(p.pid, p.memory, owners.get(p.pid)) for p in of.processes)
        return Row(gpu, mig, users, tuple(holder for name in names for holder in granted.get(name, ())))

    return [row(None), *(row(mig) for mig in gpu.migs)]


def _user(pid: int, memory: int | None, holder: Holder | None) -> GpuUser:
    from bareboat.host.processes import told

    about = told(pid)
    user, command = (_name(about[0]), about[2]) if about else ("", "")
    return GpuUser(pid, memory, holder.container if holder else "", holder.name if holder else "", user, command)


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _containers(store: Store) -> tuple[dict[int, Holder], dict[str, list[Holder]]]:
    """Of the containers that run and have GPUs: process → container, and name of a GPU → containers."""
    from bareboat.verbs import containers, enter

    owners: dict[int, Holder] = {}
    granted: dict[str, list[Holder]] = {}
    for seen in containers.listed(store):
        if not seen.running or not seen.record.gpus:
            continue
        holder = Holder(seen.container.id, seen.container.name)
        for name in seen.record.gpus.removeprefix("device=").split(","):
            granted.setdefault(name, []).append(holder)
        try:
            for process in enter.tell(seen.container.id, store, do="top")["processes"]:
                owners[int(process[0])] = holder
        except (BareboatError, KeyError, TypeError, ValueError):
            continue  # it ends at this moment
    return owners, granted


def none(found: Gpus) -> str:
    """Why there is no GPU, in one sentence."""
    return "there is no GPU here: " + ("; ".join(found.missing) or "none was found")


def describe(here: Inventory) -> str:
    """The GPUs in a few words, for doctor."""
    names: dict[str, int] = {}
    for gpu in here.gpus:
        names[gpu.name] = names.get(gpu.name, 0) + 1
    shown = ", ".join(f"{count} {name}" if count > 1 else name for name, count in names.items())
    return shown + (f"; driver {here.driver}" if here.driver else "") + (
        f", CUDA {'.'.join(map(str, here.cuda))}" if here.cuda else "")

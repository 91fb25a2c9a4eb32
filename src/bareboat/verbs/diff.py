"""diff: what differs between two runs: packages, code, command, data, variables, results, machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bareboat.errors import RecordError
from bareboat.image.plan import Plan
from bareboat.record.causes import HERE, DataAnswer, data_answers, same_image
from bareboat.record.gathered import ResultFile
from bareboat.record.patch import Side, file_patch
from bareboat.record.tolerance import Tolerance
from bareboat.record.values import CodeSnapshot, RunRecord
from bareboat.record.verdict import IDENTICAL, Verdict, compare
from bareboat.store import Store
from bareboat.verbs.runs import find
from bareboat.verbs.show import plan_of

COMPARED_MOST = 256 << 20  # bytes of one result from elsewhere that are read into memory
Change = tuple[str, str, str]  # name, old, new; "" where it is not there


@dataclass(frozen=True)
class Difference:
    """Everything that differs. machine is told and does not count; problems: what could not be compared."""

    old: RunRecord
    new: RunRecord
    packages: tuple[Change, ...] = ()
    settings: tuple[Change, ...] = ()
    env: tuple[Change, ...] = ()
    data: tuple[tuple[str, DataAnswer], ...] = ()
    code: tuple[str, ...] = ()
    machine: tuple[Change, ...] = ()
    results: Verdict = Verdict(IDENTICAL)  # noqa: RUF009 - a frozen value
    problems: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing that counts differs."""
        changed = self.packages or self.settings or self.env or self.code or self.problems
        return not changed and not any(a.answer == "differs" for _, a in self.data) and self.results.same


def diff(store: Store, old: str, new: str, tolerance: Tolerance = Tolerance()) -> Difference:  # noqa: B008
    """Compare two runs. Raises RecordError record.missing, record.ambiguous."""
    a, b = _with_manifest(find(store, old), store), _with_manifest(find(store, new), store)
    problems: list[str] = []
    packages: tuple[Change, ...] = ()
    if not same_image(a, b):
        left, right = plan_of(store, a), plan_of(store, b)
        if left is None or right is None:
            problems.append("the packages differ; the store no longer has both lists of them")
        elif _as_it_came(left) != _as_it_came(right):
            problems.append("one ran in an image as it came, whose packages no plan here lists; that it is the other's "
                            "is known once that one was pushed or saved with --run")
        else:
            packages = package_changes(left, right)
            if not packages:
                problems.append("the images differ in generated files or configuration, not in packages")
    try:
        code = code_patch(store, a.code, b.code)
    except RecordError as error:
        code = ()
        problems.append(f"the code differs; {error.what}")
    return Difference(
        a, b, packages, _settings(a, b), _changes(_env(a), _env(b)), data_answers(a, b), code, machine(a, b),
        compare(a, b, reader(store), tolerance), tuple(problems),
    )  # fmt: skip


def _as_it_came(plan: Plan) -> bool:
    """Whether it is an image of others and nothing else; what it says itself of its plan is its maker's word."""
    return plan.image is not None and not plan.wheels


def _with_manifest(record: RunRecord, store: Store) -> RunRecord:
    """The record with the manifest that its image got when it was shipped, by which a repetition elsewhere knows it."""
    document = store.get_json("plans", record.plan) if record.plan and not record.manifest else None
    manifest = document.get("manifest") if isinstance(document, dict) else None
    return replace(record, manifest=manifest) if isinstance(manifest, str) else record


def reader(store: Store):  # type: ignore[no-untyped-def]
    """What verdict.compare reads kept results with."""
    from bareboat.store.results import read_kept

    def read(record: RunRecord, file: ResultFile) -> bytes | None:
        if record.origin and file.size > COMPARED_MOST:
            return None  # known by its digest alone: nobody's settings here said that it may be so large
        return read_kept(store, record.results, file)

    return read


def package_changes(old: Plan, new: Plan) -> tuple[Change, ...]:
    """Packages that were added, removed or changed: Python's, then the base's, by name."""
    a = {f"python {w.name}": w.version for w in old.wheels}
    b = {f"python {w.name}": w.version for w in new.wheels}
    rebuilt = {f"python {w.name}": w.sha256 for w in old.wheels}
    for wheel in new.wheels:  # the same version from another build
        name = f"python {wheel.name}"
        if a.get(name) == wheel.version and rebuilt.get(name) != wheel.sha256:
            a[name], b[name] = (
                f"{wheel.version} ({rebuilt[name][:8]})",
                f"{wheel.version} ({wheel.sha256[:8]})",
            )
    a |= {f"{old.family} {d.name}": d.version for d in old.debs}
    b |= {f"{new.family} {d.name}": d.version for d in new.debs}
    head = (
        []
        if old.base == new.base
        else [("base", old.base, new.base)]
    )
    if old.platform != new.platform:
        head.append(("platform", old.platform, new.platform))
    if old.interpreter.full != new.interpreter.full:
        head.append(("python", old.interpreter.full, new.interpreter.full))
    return (*head, *_changes(a, b))


def _changes(old: dict[str, str], new: dict[str, str]) -> tuple[Change, ...]:
    return tuple(
        (name, old.get(name, ""), new.get(name, ""))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _env(record: RunRecord) -> dict[str, str]:
    found = {**dict(record.env), **dict.fromkeys(record.withheld, "(withheld)")}
    return {name: value for name, value in found.items() if name not in HERE}


def _settings(old: RunRecord, new: RunRecord) -> tuple[Change, ...]:
    from bareboat.verbs.show import command_line

    pairs = (
        ("command", command_line(old), command_line(new)),
        ("directory", old.cwd, new.cwd),
        ("network", old.network, new.network),
        ("user", f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}"),
        ("memory", str(old.limits.memory or "no limit"), str(new.limits.memory or "no limit")),
        ("cpus", str(old.limits.cpus or "no limit"), str(new.limits.cpus or "no limit")),
        ("processes", str(old.limits.pids or "no limit"), str(new.limits.pids or "no limit")),
        ("mounts", _mounts(old), _mounts(new)),
    )
    return tuple(pair for pair in pairs if pair[1] != pair[2])


def _mounts(record: RunRecord) -> str:
    kinds = [(m.kind, m) for m in record.mounts] + [("tmpfs", t) for t in record.tmpfs]
    return ", ".join(f"{kind} at {m.target}{' (ro)' if m.read_only else ''}" for kind, m in kinds)


def machine(old: RunRecord, new: RunRecord) -> tuple[Change, ...]:
    """What differs between the machines, as far as both are known."""
    a, b = old.host, new.host
    if a is None or b is None:
        return ()
    pairs = (
        ("host", a.name, b.name), ("kernel", a.kernel, b.kernel), ("cpu", a.cpu, b.cpu),
        ("level", a.level, b.level),
        ("cpus", str(a.cores), str(b.cores)), ("gpus", ", ".join(a.gpus), ", ".join(b.gpus)),
        ("driver", a.driver, b.driver), ("memory", str(a.memory), str(b.memory)),
    )  # fmt: skip
    return tuple(pair for pair in pairs if pair[1] != pair[2])


def code_patch(store: Store, old: CodeSnapshot | None, new: CodeSnapshot | None) -> tuple[str, ...]:
    """The unified patch from one snapshot to the other, as lines. Raises RecordError record.code-gone,
    -damaged.
    """
    if (old.digest if old else "") == (new.digest if new else ""):
        return ()
    from bareboat.store.codepack import Entry
    from bareboat.store.codetree import content, listing

    a = {e.path: e for e in listing(store, old) if e.kind != "d"} if old else {}
    b = {e.path: e for e in listing(store, new) if e.kind != "d"} if new else {}

    def side(entry: Entry | None) -> Side | None:
        if entry is None:
            return None
        if entry.kind == "l":
            return Side(entry.target.encode("utf-8", "surrogateescape"), link=True)
        return Side(content(store, entry), entry.mode)

    lines: list[str] = []
    for path in sorted({*a, *b}):
        left, right = a.get(path), b.get(path)
        if left and right and left.canonical() == right.canonical():
            continue
        lines += file_patch(path, side(left), side(right))
    return tuple(lines) or ("only empty folders differ",)

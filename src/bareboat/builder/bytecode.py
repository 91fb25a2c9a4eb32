"""Bytecode: a read-only tree cannot cache it, so it is compiled once per wheel and interpreter, beside the
wheel.

Never in front of a run. The image's own Python compiles, in the sandbox. A wheel's bytecode comes with the wheel's
files beside it, as hard links: this twin stands in the wheel's place in later starts, so that bytecode costs no
lowers and directories need no merging. The base's is a tree that is stacked on it. The files are valid for ever:
unchecked hashes (PEP 552), or for Python 2.7 the mtime that every file of ours has.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bareboat.builder.stacking import BESIDE, BOUND, bytecode_tree, link_all, roots, stack
from bareboat.errors import EngineError
from bareboat.host.files import processors
from bareboat.host.kernel import foreign
from bareboat.image.plan import Interpreter, Plan
from bareboat.image.wheel import wheel_tree_key

if TYPE_CHECKING:
    from bareboat.engine.base import Engine
    from bareboat.store import Store
    from bareboat.store.treewriter import TreeWriter

FORMAT = 2  # part of every key: raised when the same sources would give other files
_INSIDE = "/bareboat"
_LOG = 4096  # bytes of the compiler's output that are kept


@dataclass(frozen=True)
class _Job:
    """One tree of bytecode to make. sources: absolute paths inside the image, sorted; beside: the tree to twin; over:
    the tree that it is to lie over instead, since that is somebody else's and cannot be linked.
    """

    key: str
    sources: tuple[str, ...]
    beside: Path | None = None
    over: Path | None = None


def pyc_keys(plan: Plan) -> tuple[str, ...]:
    """Keys of all bytecode trees of a plan: the base's first, then one for each different wheel, its twin. Pure."""
    return tuple(_key(source, plan.interpreter) for source in _sources(plan))


def missing(store: Store, plan: Plan) -> list[str]:
    """Keys of bytecode trees that are still to be made."""
    return [key for key in pyc_keys(plan) if bytecode_tree(store, key) is None]


def compile_missing(store: Store, engine: Engine, plan: Plan, processes: int = 0, *,
                    native: tuple[str, ...] = ()) -> int:
    """Compile what a plan lacks and make trees of it; returns how many. Idempotent; one at a time in a store, others
    wait and then find what is left to do.

    native: keys of a base with the very same Python that runs here, for a plan whose own does not. The plan's trees
    must be in the store; those that are not are left out. Sources that do not compile are skipped. Raises EngineError
    when the image's Python cannot be run at all.
    """
    if not missing(store, plan):
        return 0
    with store.turn("bytecode"):
        return _compile_missing(store, engine, plan, processes, native)


def _compile_missing(store: Store, engine: Engine, plan: Plan, processes: int, native: tuple[str, ...]) -> int:
    todo = set(missing(store, plan))
    if not todo or (foreign(plan.platform) and not native):  # its Python does not run here, or a hundred times slower
        return 0
    from bareboat.builder.image import bottom_keys, top_keys

    python = plan.interpreter
    bottom, top = bottom_keys(plan), top_keys(plan)
    wheels = [wheel_tree_key(w, python) for w in plan.wheels]
    keys = [*bottom, *native, *wheels, *top]
    with store.lease(keys):
        trees = {key: store.tree(key) for key in keys}
        if any(trees[key] is None for key in bottom):
            return 0
        jobs = []
        base = _key(_base_source(plan), python)
        if base in todo:
            found = {s for key in bottom for s in _python_files(trees[key], _library(plan))
                     if plan.image is None or not _is_compiled(trees[key], s)}
            jobs.append(_Job(base, tuple(sorted(found))))
        for source in dict.fromkeys(wheels):
            key, tree = _key(source, python), trees[source]
            if key in todo and tree is not None:
                found_here = tuple(sorted(_python_files(tree, (python.site,))))
                jobs.append(_Job(BESIDE + key, found_here, over=tree) if store.is_shared(tree)
                            else _Job(key, found_here, tree))
        there = [key for key in dict.fromkeys(wheels) if trees[key] is not None]
        stacked = stack(store, there, BOUND - len(bottom) - len(native) - 1)
        # The native base lies over the other: its programs run, and the other's sources are where they belong.
        return _compile(store, engine, python, roots(store, [*bottom, *native, *stacked, *top]), jobs, processes)


def _compile(
    store: Store,
    engine: Engine,
    python: Interpreter,
    trees: tuple[Path, ...],
    jobs: Sequence[_Job],
    processes: int,
) -> int:
    from bareboat.engine.base import Streams
    from bareboat.workload import Mount, Rootfs, Workload

    with store.scratch("bytecode") as scratch:
        out, todo = scratch / "out", scratch / "jobs.json"
        out.mkdir()
        todo.write_text(json.dumps([job.sources for job in jobs]), encoding="ascii")
        workload = Workload(
            root=Rootfs(trees),
            argv=(
                python.executable,
                "-s",
                "-S",
                "-B",
                "-W",
                "ignore",
                f"{_INSIDE}/compile.py",
                f"{_INSIDE}/jobs.json",
                f"{_INSIDE}/out",
                str(processes or processors()),
            ),
            env=(("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("PYTHONHASHSEED", "0")),
            cwd="/tmp",
            mounts=(
                Mount(Path(__file__).with_name("compile_inside.py"), f"{_INSIDE}/compile.py", read_only=True),
                Mount(todo, f"{_INSIDE}/jobs.json", read_only=True),
                Mount(out, f"{_INSIDE}/out"),
            ),
            network="none",
        )
        log = bytearray()

        def heard(chunk: bytes) -> None:
            log.extend(chunk)
            del log[:-_LOG]

        outcome = engine.run(workload, Streams(heard, heard))
        made = 0
        for number, job in enumerate(jobs):
            if (out / f"{number}.done").is_file():
                _make(store, job, out / str(number))
                made += 1
        if outcome.code and not made:
            raise EngineError(
                "bytecode.failed",
                f"the image's Python could not compile (exit code {outcome.code})",
                where=log.decode("utf-8", "replace").strip().rpartition("\n")[2],
                hint="runs work without bytecode, imports are slower",
            )
        return made


def _make(store: Store, job: _Job, results: Path) -> None:
    """A tree of the files that the job should have written; whatever else lies there is not taken."""
    expected = {name for source in job.sources for name in _targets(results, source)}

    def fill(tree: TreeWriter) -> None:
        if job.beside is not None:
            link_all(tree, job.beside)
        for name in sorted(expected, key=str.encode):
            path = results / name
            if name in tree or (job.over is not None and os.path.lexists(job.over / name)):
                continue  # the wheel brings it
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                continue  # the source did not compile
            with open(fd, "rb") as file:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    tree.file(name, 0o644, [file.read()])

    store.make_tree(job.key, fill)


def _targets(results: Path, source: str) -> Iterator[str]:
    """Names that the bytecode of a source may have, relative to the root: PEP 3147's, or Python 2's."""
    folder, _, name = source.strip("/").rpartition("/")
    yield f"{folder}/{name}c"
    stem = name.removesuffix(".py") + "."
    try:
        names = os.listdir(results / folder / "__pycache__")
    except OSError:
        return
    for found in names:
        if found.startswith(stem) and found.endswith(".pyc") and "." not in found[len(stem) : -4]:
            yield f"{folder}/__pycache__/{found}"


def _python_files(tree: Path | None, below: tuple[str, ...]) -> Iterator[str]:
    """Absolute paths, as inside the image, of the plain .py files below some directories."""
    for top in below:
        if tree is None:
            continue
        for folder, folders, names in os.walk(f"{tree}{top}"):
            folders.sort()
            for name in names:
                path = f"{folder}/{name}"
                if name.endswith(".py") and stat.S_ISREG(os.lstat(path).st_mode):
                    try:
                        path.encode("utf-8")
                    except UnicodeEncodeError:
                        continue
                    yield path[len(os.fspath(tree)) :]


def _is_compiled(tree: Path | None, source: str) -> bool:
    """Whether whoever made an image has compiled this file."""
    folder, _, name = source.rpartition("/")
    stem = name.removesuffix(".py") + "."
    try:
        return any(n.startswith(stem) for n in os.listdir(f"{tree}{folder}/__pycache__"))
    except OSError:
        return False


def _library(plan: Plan) -> tuple[str, ...]:
    """Where the base's Python code is; of an image only its standard library, for whoever made it had its reasons."""
    python = plan.interpreter
    major = python.version.partition(".")[0]
    if plan.image is None and plan.cpython is None:
        return tuple(dict.fromkeys((f"/usr/lib/python{python.version}", f"/usr/lib/python{major}")))
    prefix = python.executable.rpartition("/bin/")[0]
    return tuple(f"{prefix}/{lib}/python{python.version}" for lib in ("lib", "lib64"))


def _sources(plan: Plan) -> list[str]:
    if not plan.interpreter.version:
        return []  # an image as others made it: nothing of ours is in it
    wheels = [wheel_tree_key(w, plan.interpreter) for w in plan.wheels]
    return [_base_source(plan), *dict.fromkeys(wheels)]


def _base_source(plan: Plan) -> str:
    from bareboat.builder.image import bottom_keys

    return "\0".join(bottom_keys(plan))


def _key(source: str, python: Interpreter) -> str:
    """The key of the bytecode of a tree: of the tree's own key, and of the exact Python that compiles."""
    text = "\0".join((str(FORMAT), source, python.full, python.executable))
    return "pyc-" + hashlib.sha256(text.encode()).hexdigest()

"""Bytecode: the driver as the image's Python runs it, and trees made of what it wrote."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bareboat.builder import bytecode
from bareboat.builder.image import bottom_keys
from bareboat.engine.base import Check, Streams
from bareboat.errors import EngineError
from bareboat.host.process import Command, run
from bareboat.image.plan import EPOCH, Plan, interpreter
from bareboat.image.wheel import wheel_tree_key
from bareboat.lock import Wheel
from bareboat.store import Store
from bareboat.store.treewriter import TreeWriter
from bareboat.workload import Outcome, Workload

DRIVER = Path(bytecode.__file__).with_name("compile_inside.py")
PYTHON = interpreter(f"{sys.version_info[0]}.{sys.version_info[1]}", "{}.{}.{}".format(*sys.version_info[:3]))
GOOD = {"b.py": "y = {1, 2, 3}\nclass C:\n    z = 'abc' * 2\n", "a.py": "x = (1, 'two', b'three')\n"}
BROKEN = {
    "two.py": "print 'two'\n",
    "nul.py": "x = 1\0\n",
    "deep.py": "x = " + "(" * 5000 + ")" * 5000 + "\n",
    "latin.py": "x = '\udcff'\n",
}


class HostEngine:
    """Runs a workload's compiler by this Python, with the paths of its only mounts put in. A fake."""

    name = "host"

    def __init__(self, root: Path, fail: bool = False) -> None:
        self.root, self.fail = root, fail
        self.workloads: list[Workload] = []

    def run(self, workload: Workload, streams: Streams) -> Outcome:
        self.workloads.append(workload)
        if self.fail:
            streams.stderr(b"no such interpreter\n")
            return Outcome(1)
        mounts = {m.target: str(m.source) for m in workload.mounts}
        argv = [sys.executable, *(mounts.get(a, a) for a in workload.argv[1:])]
        done = run(Command(tuple(argv), dict(workload.env)))
        streams.stderr(done.stderr)
        return Outcome(done.code)

    def explain(self, workload: Workload) -> str:
        return ""

    def checks(self) -> list[Check]:
        return []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()


def sources(folder: Path) -> tuple[str, ...]:
    folder.mkdir()
    for name, text in {**GOOD, **BROKEN}.items():
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        os.utime(folder / name, (EPOCH, EPOCH))
    return tuple(sorted(str(folder / n) for n in {**GOOD, **BROKEN}))


def compiled(store: Store, jobs: list[bytecode._Job], folder: Path) -> int:
    return bytecode._compile(store, HostEngine(folder), PYTHON, (folder,), jobs, 2)


def test_only_what_compiles_is_in_the_tree_and_it_never_goes_stale(store: Store, tmp_path: Path) -> None:
    files = sources(tmp_path / "src")
    assert compiled(store, [bytecode._Job("pyc-1", files)], tmp_path) == 1
    tree = store.tree("pyc-1")
    assert tree is not None
    found = sorted(p for p in tree.rglob("*") if p.is_file())
    tag = sys.implementation.cache_tag
    assert [p.name for p in found] == [f"a.{tag}.pyc", f"b.{tag}.pyc"]
    for path in found:
        raw = path.read_bytes()
        assert struct.unpack("<L", raw[4:8]) == (0b01,)  # PEP 552: by hash, never checked
        assert os.fsencode(str(tmp_path / "src" / (path.name[0] + ".py"))) in raw  # co_filename is the final path


def test_twice_gives_the_same_bytes_whatever_else_is_compiled(store: Store, tmp_path: Path) -> None:
    files = sources(tmp_path / "src")
    more = sources(tmp_path / "more")
    compiled(store, [bytecode._Job("pyc-1", files)], tmp_path)
    compiled(store, [bytecode._Job("pyc-other", more), bytecode._Job("pyc-2", files)], tmp_path)
    first, second = store.tree("pyc-1"), store.tree("pyc-2")
    assert first is not None and second is not None
    names = sorted(p.relative_to(first) for p in first.rglob("*.pyc"))
    assert names == sorted(p.relative_to(second) for p in second.rglob("*.pyc"))
    assert all((first / n).read_bytes() == (second / n).read_bytes() for n in names)


def test_an_image_that_cannot_compile_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        bytecode._compile(store, HostEngine(tmp_path, fail=True), PYTHON, (tmp_path,), [bytecode._Job("pyc-1", ())], 1)
    assert caught.value.code == "bytecode.failed" and "no such interpreter" in caught.value.where
    assert store.tree("pyc-1") is None


def test_strange_results_are_not_taken(store: Store, tmp_path: Path) -> None:
    results, tag = tmp_path / "results", sys.implementation.cache_tag
    cache = results / "pkg" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / f"a.{tag}.pyc").write_bytes(b"good")
    (cache / f"evil.{tag}.pyc").write_bytes(b"not asked for")
    (results / "evil").write_bytes(b"not asked for")
    os.mkfifo(cache / f"b.{tag}.pyc")
    bytecode._make(store, bytecode._Job("pyc-1", ("/pkg/a.py", "/pkg/b.py")), results)
    tree = store.tree("pyc-1")
    assert tree is not None
    assert [p.name for p in tree.rglob("*") if p.is_file()] == [f"a.{tag}.pyc"]


def test_a_wheels_bytecode_has_the_wheel_beside_it_without_a_byte_more(store: Store, tmp_path: Path) -> None:
    def wheel(tree: TreeWriter) -> None:
        tree.file("pkg/a.py", 0o644, [b"x = 1\n"])
        tree.file("pkg/lib.so", 0o755, [b"ELF"])
        tree.file("pkg/old.pyc", 0o644, [b"brought along"])

    source, results = store.make_tree("wheel-1", wheel), tmp_path / "results"
    cache = results / "pkg" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / f"a.{sys.implementation.cache_tag}.pyc").write_bytes(b"good")
    (results / "pkg/old.pyc").write_bytes(b"compiled")
    bytecode._make(store, bytecode._Job("pyc-1", ("/pkg/a.py", "/pkg/old.py"), source), results)
    tree = store.tree("pyc-1")
    assert tree is not None
    for name in ("a.py", "lib.so", "old.pyc"):
        assert (tree / "pkg" / name).samefile(source / "pkg" / name)
    assert [p.name for p in (tree / "pkg/__pycache__").iterdir()] == [f"a.{sys.implementation.cache_tag}.pyc"]


def test_keys_follow_wheel_and_interpreter() -> None:
    wheel = Wheel("demo", "1.0", "demo-1.0-py3-none-any.whl", "", "0" * 64, 1)

    def plan(full: str, *wheels: Wheel) -> Plan:
        return Plan("linux/amd64", "debian", "trixie", interpreter("3.13", full), (), wheels, (), ())

    keys = bytecode.pyc_keys(plan("3.13.5", wheel))
    assert len(keys) == 2 and all(k.startswith("pyc-") for k in keys)
    assert bytecode.pyc_keys(plan("3.13.5")) == keys[:1]
    assert not set(keys) & set(bytecode.pyc_keys(plan("3.13.6", wheel)))


def test_a_native_base_lies_over_the_one_that_cannot_run(store: Store, tmp_path: Path) -> None:
    wheel = Wheel("demo", "1.0", "demo-1.0-py3-none-any.whl", "", "0" * 64, 1)
    plan = Plan("linux/arm64", "debian", "trixie", PYTHON, (), (wheel,), (), ())
    [bottom], top = bottom_keys(plan), wheel_tree_key(wheel, PYTHON)
    for key in (bottom, "base-native", top):
        store.make_tree(key, lambda tree, key=key: tree.file(f"of/{key}", 0o644, [b""]))  # type: ignore[misc]
    engine = HostEngine(tmp_path)
    assert bytecode.compile_missing(store, engine, plan, 1, native=("base-native",)) == 2
    assert [os.listdir(tree / "of") for tree in engine.workloads[0].root.trees] == [[bottom], ["base-native"], [top]]


def test_the_driver_is_python_2_as_well() -> None:
    text = DRIVER.read_text(encoding="ascii")
    assert "from __future__ import annotations" not in text and 'f"' not in text and " -> " not in text
    assert json.dumps(compile(text, str(DRIVER), "exec").co_name)

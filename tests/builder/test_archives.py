"""Archives go once they are unpacked for good, and only those that can be had again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bareboat.builder.archives import drop_archives
from bareboat.builder.debs import deb_tree_key
from bareboat.image.plan import Plan, interpreter
from bareboat.image.wheel import wheel_tree_key
from bareboat.lock import Deb, Wheel
from bareboat.store import Store

PYTHON = interpreter("3.13", "3.13.5")


def plan(debs: tuple[Deb, ...], wheels: tuple[Wheel, ...]) -> Plan:
    return Plan("linux/amd64", "debian", "trixie", PYTHON, debs, wheels, (), ())


def test_only_what_is_unpacked_durable_and_fetched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    store = Store.open(home)
    digests = [store.put_blob([name.encode()]) for name in ("deb", "wheel", "built", "not unpacked")]
    deb = Deb("d", "1", "all", "pool/d.deb", digests[0], 3)
    fetched, built, packed = (
        Wheel(name, "1", f"{name}-1-py3-none-any.whl", url, digest, 5)
        for name, url, digest in (("w", "https://index.example/w.whl", digests[1]), ("b", "", digests[2]),
                                  ("n", "https://index.example/n.whl", digests[3])))
    for key in (deb_tree_key(deb.sha256), wheel_tree_key(fetched, PYTHON), wheel_tree_key(built, PYTHON)):
        store.make_tree(key, lambda tree: tree.file("x", 0o644, [b"x"]))
    whole = plan((deb,), (fetched, built, packed))
    store.close()
    assert drop_archives(store, whole) == 0  # nothing is durable yet
    store.settle()
    assert drop_archives(store, whole) == 2
    assert [store.blob(d) is not None for d in digests] == [False, False, True, True]


def test_what_another_process_holds_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = Store.open(home)
    digest = first.put_blob([b"held"])
    first.close()
    code = ("import sys; from pathlib import Path; from bareboat.store import Store\n"
            f"s = Store.open(Path({str(home)!r})); s.blob({digest!r}); print('held', flush=True); sys.stdin.read()")
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        store = Store.open(home)
        assert store.drop_blobs([digest]) == 0
    finally:
        holder.communicate()
    assert store.drop_blobs([digest]) == 1

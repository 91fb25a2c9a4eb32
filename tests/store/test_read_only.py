"""A store on a read-only file system: all that is there can be used, nothing can be added, and it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bareboat.store import Store

LOOK = """
import sys
from pathlib import Path
from bareboat.errors import StoreError
from bareboat.store import Store
from bareboat.store.gc import Policy
store = Store.open(Path(sys.argv[1]))
assert store.tree("t") and store.trees(["t"]) and store.blob(sys.argv[2]) and store.verified_blob(sys.argv[2])
assert store.get_json("notes", "n") == 1 and store.runs.read("r") == {} and store.check().damaged == ()
with store.lease(["t"]):
    assert store.usage().total > 0
for call in (
    lambda: store.put_blob([b"new"]),
    lambda: store.make_tree("u", lambda writer: None),
    lambda: store.put_json("notes", "n", 2),
    lambda: store.runs.create("s"),
    lambda: store.gc(Policy()),
    lambda: store.scratch("x").__enter__(),
    lambda: store.remove_json("notes", "n"),
):
    try:
        call()
    except StoreError as error:
        assert error.code == "store.read-only" and "BAREBOAT_HOME" in error.hint, error
    else:
        raise AssertionError("written to a read-only disk")
"""


def test_a_read_only_store(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0:
        if os.environ.get("CI"):
            pytest.fail("CI needs user namespaces")
        pytest.skip("needs user namespaces")
    store = Store.open(tmp_path / "home")
    store.make_tree("t", lambda writer: writer.file("x", 0o644, [b"x"]))
    store.settle()
    digest = store.put_blob([b"blob"])
    store.put_json("notes", "n", 1)
    store.runs.create("r")
    store.runs.write("r", {})
    store.close()
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    program = [sys.executable, "-c", LOOK, str(store.home), digest]
    command = ["unshare", "-Urm", "sh", "-c", mount, "sh", str(store.home), *program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

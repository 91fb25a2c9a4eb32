from __future__ import annotations

from pathlib import Path

import pytest

from bareboat.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "home")
    made.make_tree("t", lambda writer: writer.file("a/b", 0o644, [b"content"]))
    made.put_blob([b"blob"])
    made.put_json("plans", "p", {"trees": ["t"]})
    made.tag("mine", "p")
    made.runs.create("r")
    made.runs.write("r", {})
    return made


def test_a_whole_store(store: Store) -> None:
    report = store.check()
    assert report.damaged == ()
    assert report.checked == (("blob", 1), ("document", 2), ("record", 1), ("tree", 1))


@pytest.mark.parametrize("where", ["root/a/b", "manifest"])
def test_a_rotten_tree_is_taken_out_of_sight_and_made_again(store: Store, where: str) -> None:
    path = store.home / "trees/t" / where
    path.write_bytes(path.read_bytes().replace(b"t", b"u"))
    (damage,) = store.check(repair=True).damaged
    assert (damage.kind, damage.key, damage.repaired) == ("tree", "t", True)
    assert store.tree("t") is None
    store.make_tree("t", lambda writer: writer.file("a/b", 0o644, [b"content"]))
    assert store.check().damaged == ()


def test_added_missing_and_changed_entries(store: Store) -> None:
    root = store.home / "trees/t/root"
    (root / "new").touch()
    assert "not of this tree" in store.check().damaged[0].what
    (root / "new").unlink()
    (root / "a/b").chmod(0o755)
    assert store.check(content=False).damaged[0].what == "a/b: mode differs"
    (root / "a/b").unlink()
    assert store.check().damaged[0].what == "a/b: missing"


def test_repair_leaves_what_cannot_be_made_again(store: Store) -> None:
    for path in (store.home / "documents/tags/mine", store.home / "runs/r/record.json"):
        path.write_bytes(b"rot")
    (store.home / "documents/plans/p").write_bytes(b"rot")
    found = {(d.kind, d.key): d.repaired for d in store.check(repair=True).damaged}
    assert found == {("document", "plans/p"): True, ("document", "tags/mine"): False, ("record", "r"): False}
    assert (store.home / "documents/tags/mine").exists() and not (store.home / "documents/plans/p").exists()

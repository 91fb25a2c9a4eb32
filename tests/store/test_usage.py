from __future__ import annotations

from pathlib import Path

from bareboat.store import Store
from bareboat.store.treewriter import TreeWriter


def test_what_is_shared_by_whom(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home")
    for name, size in (("base", 100_000), ("numpy", 50_000), ("pandas", 30_000), ("old", 20_000)):
        store.make_tree(name, lambda writer, name=name, size=size: writer.file(name, 0o644, [b"x" * size]))  # type: ignore[misc]

    def merged(writer: TreeWriter) -> None:
        root = store.tree("base")
        assert root is not None
        writer.link_file(root / "base", "base")

    store.make_tree("merged", merged)
    store.put_json("plans", "sha256:1", {"trees": ["base", "numpy"]})
    store.put_json("projects", "x", {"plan": "sha256:1", "trees": ["base", "numpy"]})
    store.put_json("plans", "sha256:2", {"trees": ["base", "pandas"]})
    store.tag("one", "sha256:1")
    usage = store.usage()
    images = {image.key: image for image in usage.images}
    assert set(images) == {"sha256:1", "sha256:2"}
    one, two = images["sha256:1"], images["sha256:2"]
    assert one.names == ("one",) and one.trees == ("base", "numpy") and two.names == ()
    assert one.bytes - one.unique == two.bytes - two.unique >= 100_000
    assert 50_000 <= one.unique < 90_000
    kinds = dict(usage.kinds)
    assert kinds["trees"].count == 5
    assert 200_000 <= kinds["trees"].bytes < 300_000  # the merged tree's file is counted once
    assert 20_000 <= kinds["trees"].reclaimable < 60_000  # old, and merged without its file
    assert usage.total >= kinds["trees"].bytes and usage.free > 0

from __future__ import annotations

from pathlib import Path

from bareboat.verbs.mounting import points_in
from bareboat.workload import Mount


def test_points_are_where_something_is_mounted_within_the_code(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{}")
    mounts = (Mount(tmp_path, "/app"), Mount(tmp_path, "/results"), Mount(tmp_path / "none yet", "/app/results"),
              Mount(file, "/app/x.json"), Mount(tmp_path, "/application"))
    assert points_in({"/app": ""}, mounts, ("/app/tmp", "/tmp")) == (
        ("results", True), ("x.json", False), ("tmp", True))
    assert points_in({"/app/src": "src"}, (Mount(tmp_path, "/app/src/data"), Mount(tmp_path, "/app/data")), ()) == (
        ("src/data", True),)
    assert points_in({"/": "", "/app": "inner"}, (Mount(tmp_path, "/app/data"), Mount(tmp_path, "/data")), ()) == (
        ("inner/data", True), ("data", True))
    assert points_in({}, mounts, ("/app/tmp",)) == ()

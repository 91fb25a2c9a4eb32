from __future__ import annotations

import pytest

from bareboat.errors import BareboatError
from bareboat.resolve.python.formats import formats_of, is_format
from bareboat.resolve.python.locking import lock_wheels

from .conftest import Folder, HostRoom, Index


def test_a_name_beats_all_and_later_lines_beat_earlier_ones() -> None:
    f = formats_of(["--no-binary=:all:", "--only-binary Num_Py,scipy", "--pre", "--no-binary scipy"])
    assert f.built("six") and not f.built("num-py") and f.built("scipy")
    assert f.never_built("num-py") and not f.never_built("scipy") and not f.never_built("six")
    assert not formats_of(["--no-binary six", "--no-binary :none:"]).no_binary
    assert not is_format("--no-binary-things x")


def test_no_binary_builds_the_source_though_a_wheel_is_there(project: Folder, index: Index, room: HostRoom) -> None:
    for name in ("lib", "other"):
        index.wheel(name, "1.0")
        index.sdist(name, "1.0")
    project.write("requirements.txt", "--no-binary lib\nlib\nother\n")
    locked = lock_wheels(project.request(), room)
    assert [(w.name, bool(w.built_from)) for w in locked.wheels] == [("lib", True), ("other", False)]
    assert "lib-1.0.tar.gz" in locked.pylock_text and "lib-1.0-py3" not in locked.pylock_text
    again = lock_wheels(project.request(previous=locked.pylock_text, built=locked.wheels), room)
    assert again.wheels == locked.wheels


def test_only_binary_builds_no_source(project: Folder, index: Index, room: HostRoom) -> None:
    index.sdist("lib", "1.0")
    project.write("requirements.txt", "--only-binary :all:\nlib\n")
    with pytest.raises(BareboatError):
        lock_wheels(project.request(), room)
    assert room.runs == []


def test_a_further_source_leaves_what_was_built_in_its_place(project: Folder, index: Index, room: HostRoom) -> None:
    index.sdist("lib", "1.0")
    index.sdist("more", "1.0")
    project.write("requirements.txt", "lib\n")
    first = lock_wheels(project.request(), room)
    project.write("requirements.txt", "lib\nmore\n")
    room.memory.clear()  # another machine's: only the blob and the lock are there
    second = lock_wheels(project.request(previous=first.pylock_text, built=first.wheels), room)
    assert second.wheels[0] == first.wheels[0]
    assert [r.name for r in room.runs].count("lib 1.0 (lib-1.0.tar.gz)") == 1
    assert [bool(w.built_from) for w in second.wheels] == [True, True] and "links" not in second.pylock_text

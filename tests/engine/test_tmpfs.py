"""File systems in memory inside the sandbox: bound, mode, flags, and that nothing in them counts as lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import sandbox_kit as kit

from bareboat.engine.bubblewrap import Bubblewrap
from bareboat.engine.memory import Guest, MemoryEngine
from bareboat.workload import Mount, Tmpfs

MIB = 1 << 20


@pytest.fixture(params=[True, False], ids=["overlay", "without-overlay"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Bubblewrap:
    kit.need_sandbox()
    return Bubblewrap(tmp_path, overlay=request.param)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return kit.skeleton(tmp_path / "tree")


def shell(engine: Bubblewrap, tree: Path, text: str, **more: object) -> kit.Heard:
    return kit.run(kit.workload(tree, "sh", "-c", text, **more), engine)


def test_size_mode_owner_and_flags(engine: Bubblewrap, tree: Path) -> None:
    (tree / "scratch").mkdir()
    (tree / "scratch/of-the-image").touch()
    heard = shell(engine, tree, "stat -c '%a %u' /scratch; stat -f -c '%T %b %S' /scratch; ls /scratch; "
                  "grep ' /scratch ' /proc/self/mounts", tmpfs=(Tmpfs("/scratch", 4 * MIB, 0o700),), uid=1234)
    mode, system, mounted = heard.text.splitlines()  # what the image has there is hidden
    kind, blocks, size = system.split()
    assert (mode, kind, int(blocks) * int(size)) == ("700 1234", "tmpfs", 4 * MIB)
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(mounted.split()[3].split(","))


def test_what_is_written_there_is_bounded_and_not_lost(engine: Bubblewrap, tree: Path) -> None:
    heard = shell(engine, tree, "head -c 900000 /dev/zero > /new/deep/file; head -c 200000 /dev/zero > /new/deep/more",
                  tmpfs=(Tmpfs("/new/deep", MIB),))
    assert heard.outcome.code != 0 and b"No space left" in heard.err
    assert heard.outcome.lost.count == 0
    assert not (tree / "new").exists()


def test_programs_start_only_where_asked(engine: Bubblewrap, tree: Path) -> None:
    text = "cp /usr/bin/true /run/it; /run/it; echo $?"
    assert shell(engine, tree, text, tmpfs=(Tmpfs("/run"),)).text == "126\n"
    assert shell(engine, tree, text, tmpfs=(Tmpfs("/run", programs=True),)).text == "0\n"


def test_read_only(engine: Bubblewrap, tree: Path) -> None:
    assert shell(engine, tree, "touch /empty/x", tmpfs=(Tmpfs("/empty", read_only=True),)).outcome.code != 0


def test_among_mounts_parents_come_first(engine: Bubblewrap, tree: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "hidden").mkdir(parents=True)
    (source / "seen").touch()
    heard = shell(engine, tree, "touch /a/hidden/x /a/hidden/b/y; ls /a /a/hidden",
                  mounts=(Mount(source, "/a"), Mount(source, "/a/hidden/b"), Mount(source, "/t/in")),
                  tmpfs=(Tmpfs("/a/hidden"), Tmpfs("/t")))
    assert heard.text.split() == ["/a:", "hidden", "seen", "y", "/a/hidden:", "b", "x"]
    assert sorted(p.name for p in source.iterdir()) == ["hidden", "seen", "y"]
    assert not list((source / "hidden").iterdir())


def test_an_image_leads_none_of_it_outside(engine: Bubblewrap, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tree / "link").symlink_to(tmp_path / "outside")
    heard = shell(engine, tree, "touch /link/x && ls /link", tmpfs=(Tmpfs("/link"),))
    assert heard.text == "x\n" and not list((tmp_path / "outside").iterdir())


def test_explain_tells_them(tree: Path, tmp_path: Path) -> None:
    kit.need_sandbox()
    text = Bubblewrap(tmp_path).explain(kit.workload(tree, "true", tmpfs=(Tmpfs("/scratch", 4 * MIB, 0o700),)))
    assert "/scratch, 4 MiB in memory, mode 0700, read-write, no programs" in text


def test_the_fake_keeps_it_apart_too(tree: Path) -> None:
    def program(guest: Guest) -> int:
        guest.write("/t/x", b"1")
        guest.write("/lost", b"1")
        return int(guest.read("/t/x") != b"1")

    outcome = MemoryEngine({"p": program}).run(kit.workload(tree, "p", tmpfs=(Tmpfs("/t"),)), kit.Heard().streams())
    assert (outcome.code, outcome.lost.first) == (0, ("/lost",))

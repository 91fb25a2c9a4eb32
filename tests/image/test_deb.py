from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.archive_factory import Entry, Pkg, ar, compress, deb, tar

from bareboat.errors import ArchiveError
from bareboat.image.deb import DebFile, merged_path, parse_fields
from bareboat.image.tarstream import TarStream

FILES = [
    Entry("./usr/bin/x", b"x" * 1000, mode=0o755),
    Entry("./" + "long/" * 40 + "name", b"deep"),
    Entry("./usr/lib/l", kind="symlink", link="../share/" + "t" * 120),
    Entry("./usr/bin/y", kind="hardlink", link="./usr/bin/x"),
]


def read(data: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {
        m.path: (m.kind, b"".join(chunks), m.link)
        for m, chunks in DebFile(io.BytesIO(data), "t.deb").members()
    }


def refused(data: bytes) -> str:
    with pytest.raises(ArchiveError) as caught:
        read(data)
    return caught.value.code


@pytest.mark.parametrize("compression", ["xz", "zst", "gz", "bz2", ""])
def test_every_compression_gives_the_same(compression: str) -> None:
    found = read(deb(Pkg("a", entries=FILES, compression=compression)))
    assert found["usr/bin/x"] == ("file", b"x" * 1000, "")
    assert found["usr/bin/y"] == ("hardlink", b"", "usr/bin/x")
    assert found["long/" * 40 + "name"][1] == b"deep"
    assert found["usr/lib/l"][2] == "../share/" + "t" * 120


def test_pax_names() -> None:
    data = deb(Pkg("a"), data_tar=tar([Entry("ü" * 90, b"1")], tarfile.PAX_FORMAT))
    assert read(data) == {"ü" * 90: ("file", b"1", "")}


def test_control() -> None:
    control = DebFile(io.BytesIO(deb(Pkg("a", "2:1-1", scripts={"postinst": "true"})))).control
    assert (control.fields["Package"], control.fields["Version"]) == ("a", "2:1-1")
    assert control.fields["Description"].startswith("a\n")
    assert control.scripts == ("postinst",)


def test_unknown_compression() -> None:
    assert refused(deb(Pkg("a", compression="lz4"))) == "deb.compression"


@pytest.mark.parametrize("name", ["../x", "./a/../../x", "/etc/x", "a//b", "./a/./b", "x/" * 300 + "y"])
def test_hostile_names(name: str) -> None:
    assert refused(deb(Pkg("a"), data_tar=tar([Entry(name, b"1")]))) == "tar.path"


def test_hostile_hard_link() -> None:
    assert (
        refused(deb(Pkg("a"), data_tar=tar([Entry("x", kind="hardlink", link="../../etc/passwd")])))
        == "tar.path"
    )


def test_not_a_deb() -> None:
    assert refused(b"PK\x03\x04") == "deb.format"
    assert refused(deb(Pkg("a"), version=b"3.0\n")) == "deb.format"
    assert refused(ar([("debian-binary", b"2.0\n"), ("data.tar", b"")])) == "deb.format"


def test_no_control() -> None:
    data = ar([("debian-binary", b"2.0\n"), ("control.tar", tar([])), ("data.tar", tar([]))])
    assert refused(data) == "deb.format"


@pytest.mark.parametrize("compression", ["xz", "zst", "gz", "bz2", ""])
def test_truncated_anywhere_is_an_error(compression: str) -> None:
    whole = deb(Pkg("a", entries=[Entry("x", bytes(range(256)) * 40)], compression=compression))
    for end in range(0, len(whole) - 1, max(1, len(whole) // 37)):
        assert refused(whole[:end]).startswith(("deb.", "tar."))


@pytest.mark.parametrize("compression", ["xz", "zst", "gz", "bz2", ""])
def test_cut_inner_stream_is_an_error(compression: str) -> None:
    inner = compress(tar([Entry("x", bytes(range(256)) * 40)]), compression)
    suffix = f".{compression}" if compression else ""
    control = compress(tar([Entry("control", b"Package: a\nVersion: 1\n")]), "gz")
    for end in range(1, len(inner) // 2, max(1, len(inner) // 11)):
        data = ar(
            [("debian-binary", b"2.0\n"), ("control.tar.gz", control), (f"data.tar{suffix}", inner[:end])]
        )
        assert refused(data).startswith(("deb.", "tar."))


@given(st.binary(max_size=2000))
def test_noise_never_ends_in_another_exception(noise: bytes) -> None:
    for data in (noise, b"!<arch>\n" + noise):
        with pytest.raises(ArchiveError):
            read(data)


@given(st.integers(0, 1500), st.binary(min_size=1, max_size=8))
def test_flipped_bytes_never_end_in_another_exception(at: int, junk: bytes) -> None:
    whole = deb(Pkg("a", entries=FILES[:1], compression=""))
    broken = whole[:at] + junk + whole[at + len(junk) :]
    try:
        read(broken)
    except ArchiveError as error:
        assert error.code


@pytest.mark.parametrize("compression", ["xz", "zst", "gz"])
def test_bombs_stop(compression: str) -> None:
    zeros = deb(Pkg("a", entries=[Entry("x", bytes(96 << 20))], compression=compression))
    assert refused(zeros) == "deb.bomb"


def test_stream_limit() -> None:
    stream = TarStream(io.BytesIO(tar([Entry("x", bytes(5000))])), "t", max_bytes=2000)
    with pytest.raises(ArchiveError) as caught:
        for _ in stream:
            pass
    assert caught.value.code == "tar.bomb"


def test_checksum_is_checked() -> None:
    data = bytearray(tar([Entry("x", b"1")]))
    data[0] ^= 1
    with pytest.raises(ArchiveError) as caught:
        list(TarStream(io.BytesIO(bytes(data)), "t"))
    assert caught.value.code == "tar.header"


def test_usr_merge() -> None:
    found = read(
        deb(
            Pkg(
                "a",
                entries=[
                    Entry("./bin/sh", b"sh", mode=0o755),
                    Entry("./bin/ash", kind="hardlink", link="./bin/sh"),
                    Entry("./lib/x86/liba.so", kind="symlink", link="liba.so.1"),
                    Entry("./lib/x86/libb.so", kind="symlink", link="../../usr/share/libb.so.1"),
                    Entry("./lib/x86/libc.so", kind="symlink", link="/lib/x86/libc.so.1"),
                    Entry("./usr/lib/libd.so", kind="symlink", link="../../lib/libd.so.1"),
                    Entry("./sbin", kind="symlink", link="usr/sbin"),
                    Entry("./library/x", b"1"),
                ],
            )
        )
    )
    assert set(found) == {
        "usr/bin/sh",
        "usr/bin/ash",
        "usr/lib/x86/liba.so",
        "usr/lib/x86/libb.so",
        "usr/lib/x86/libc.so",
        "usr/lib/libd.so",
        "sbin",
        "library/x",
    }
    assert found["usr/bin/ash"][2] == "usr/bin/sh"
    assert found["usr/lib/x86/liba.so"][2] == "liba.so.1"
    assert found["usr/lib/x86/libb.so"][2] == "/usr/share/libb.so.1"
    assert found["usr/lib/libd.so"][2] == "../../lib/libd.so.1"


@given(st.text("/abilsn64", max_size=12))
def test_merged_path_is_idempotent(path: str) -> None:
    assert merged_path(merged_path(path)) == merged_path(path)


@given(st.text())
def test_fields_of_anything(text: str) -> None:
    assert all(isinstance(v, str) for v in parse_fields(text).values())

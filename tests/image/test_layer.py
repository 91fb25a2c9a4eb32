"""Tar headers as POSIX and the standard library read them."""

from __future__ import annotations

import gzip
import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from bareboat.image.layer import gzip_stored, tar_header
from bareboat.image.plan import EPOCH

NAMES = st.lists(
    st.text("ab.ü-", min_size=1, max_size=120).filter(lambda n: n not in (".", "..")), min_size=1, max_size=8
).map("/".join)


@given(NAMES, st.sampled_from([0o644, 0o755, 0o777]), st.binary(max_size=2000))
def test_a_file_is_read_back(name: str, mode: int, data: bytes) -> None:
    raw = tar_header(name, len(data), mode) + data + bytes(-len(data) % 512 + 1024)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        [member] = tar.getmembers()
    assert (member.name, member.mode, member.size, member.mtime) == (name, mode, len(data), EPOCH)
    assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")


@given(NAMES, st.text("xy/.", min_size=1, max_size=300))
def test_a_link_is_read_back(name: str, target: str) -> None:
    raw = tar_header(name, 0, 0o777, b"2", target) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        [member] = tar.getmembers()
    assert (member.name, member.linkname, member.issym()) == (name, target, True)


def test_sizes_over_8_gib_need_a_record() -> None:
    raw = tar_header("big", 1 << 34, 0o644)
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r|") as tar:
        member = tar.next()
    assert member is not None and member.size == 1 << 34


def test_names_that_fit_have_no_record() -> None:
    assert len(tar_header("a" * 100, 0, 0o644)) == 512
    assert len(tar_header("b" * 155 + "/" + "a" * 100, 0, 0o644)) == 512
    assert len(tar_header("a" * 101, 0, 0o644)) == 1536


@given(st.binary(max_size=200_000))
def test_stored_gzip_is_gzip(data: bytes) -> None:
    assert gzip.decompress(gzip_stored(data)) == data

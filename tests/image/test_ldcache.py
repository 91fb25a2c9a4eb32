"""The loader's cache, read and written again."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bareboat.image.ldcache import MAGIC, build, entries, merged

X86 = 0x0303
NAMES = st.text(st.sampled_from("abclib.so0129_-"), min_size=1, max_size=12)
PAIRS = st.lists(st.tuples(NAMES, NAMES.map("/lib/{}".format)), max_size=8)
LDCONFIG = "/sbin/ldconfig"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PAIRS, PAIRS)
def test_what_is_put_in_goes_before_and_the_rest_stays(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    cache = build(old, "amd64")
    before, ours = {n: p for _, n, p in entries(cache)}, {}
    for name, path in new:
        ours.setdefault(name, path)
    found = entries(merged(cache, new, "amd64"))
    assert {n: p for _, n, p in found} == {**before, **ours}
    assert {flags for flags, _, _ in found} <= {X86}
    assert merged(cache, [], "amd64") == cache
    assert merged(b"", new, "amd64") == build(new, "amd64")


def test_libraries_of_other_architectures_and_order_are_kept() -> None:
    table = [(0x0003, "libz.so.1", "/lib32/libz.so.1"), (X86, "libz.so.1", "/lib64/libz.so.1")]
    strings, rows = b"", b""
    for flags, name, path in table:
        at = 48 + 24 * len(table) + len(strings)
        rows += struct.pack("<iIIIQ", flags, at, at + len(name) + 1, 0, 0)
        strings += name.encode() + b"\0" + path.encode() + b"\0"
    cache = MAGIC + struct.pack("<IIB3xI12x", len(table), len(strings), 2, 0) + rows + strings
    assert entries(cache) == table
    assert entries(merged(cache, [("libcuda.so.1", "/nv/libcuda.so.1")], "amd64")) == [
        *table, (X86, "libcuda.so.1", "/nv/libcuda.so.1")]


def test_the_form_before_glibc_2_32_and_hwcaps() -> None:
    new = build([("liba.so.1", "/lib/liba.so.1")], "amd64")
    old = b"ld.so-1.7.0\0" + struct.pack("<I", 1) + struct.pack("<iII", X86, 0, 10)
    assert entries(old + b"\0" * (-len(old) % 8) + new) == entries(new)
    capable = bytearray(new)
    capable[48 + 16: 48 + 24] = struct.pack("<Q", 1 << 62)
    assert entries(bytes(capable)) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=120), st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_damage_is_no_failure(junk: bytes, at: int, change: bytes) -> None:
    whole = build([("liba.so.1", "/lib/liba.so.1"), ("libb.so", "/lib/libb.so")], "amd64")
    for data in (junk, MAGIC + junk, whole[:at], whole[:at] + change + whole[at + len(change):]):
        merged(data, [("libc.so", "/lib/libc.so")], "amd64")


@pytest.mark.skipif(not os.path.exists(LDCONFIG) or os.uname().machine != "x86_64", reason="no ldconfig for amd64")
def test_ldconfig_reads_what_we_write(tmp_path: Path) -> None:
    own = Path("/etc/ld.so.cache").read_bytes()
    (tmp_path / "cache").write_bytes(merged(own, [("libcuda.so.1", "/nv/libcuda.so.1")], "amd64"))

    def listed(*words: str) -> set[str]:
        done = subprocess.run([LDCONFIG, "-p", *words], capture_output=True, text=True, check=True)
        return {line.strip() for line in done.stdout.splitlines() if "=>" in line and "hwcap" not in line}

    ours = "libcuda.so.1 (libc6,x86-64) => /nv/libcuda.so.1"
    assert listed("-C", str(tmp_path / "cache")) == {
        ours, *(line for line in listed() if not line.startswith("libcuda.so.1 (libc6,x86-64)"))}

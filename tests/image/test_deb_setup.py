"""What replaces maintainer scripts: alternatives read off them, and the loader's cache."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.image import ldcache
from bareboat.image.maintainer import Alternative, choose, parse_alternatives


def test_alternatives_of_a_script() -> None:
    script = """#!/bin/sh
if [ "$1" = configure ]; then
    update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\
        --slave /usr/bin/nawk nawk /usr/bin/mawk || true
    update-alternatives --quiet --install /lib/x/libblas.so.3 libblas.so.3-x /usr/lib/x/blas/libblas.so.3 10
    # update-alternatives --install /a a /b 1
    update-alternatives --install /usr/bin/$NAME $NAME /usr/bin/x 1
    update-alternatives --install /usr/bin/e ../e /usr/bin/x 1
    update-alternatives --install /../../e e /usr/bin/x 1
    update-alternatives --remove x /usr/bin/x
    update-alternatives --install "unclosed
fi
"""
    assert parse_alternatives(script) == [
        Alternative("usr/bin/awk", "awk", "usr/bin/mawk", 5, (("usr/bin/nawk", "nawk", "usr/bin/mawk"),)),
        Alternative("usr/lib/x/libblas.so.3", "libblas.so.3-x", "usr/lib/x/blas/libblas.so.3", 10),
    ]


def test_alternatives_in_a_loop_with_variables() -> None:
    script = """
priority=2111
basedir=/usr/lib/jvm/java-21
tools='java keytool'
    indented=/elsewhere
for i in $tools; do
    update-alternatives \\
        --install /usr/bin/$i $i ${basedir}/bin/$i $priority \\
        $slave1 $slave2
done
update-alternatives --install /usr/bin/$i $i $basedir/bin/$i $priority
update-alternatives --install /usr/bin/x x $indented/x 1
"""
    assert parse_alternatives(script) == [
        Alternative("usr/bin/java", "java", "usr/lib/jvm/java-21/bin/java", 2111),
        Alternative("usr/bin/keytool", "keytool", "usr/lib/jvm/java-21/bin/keytool", 2111),
    ]


@given(st.text(alphabet="for in;done$xupdate-alternatives --install/\\\n'\"={}a1 ", max_size=200))
def test_scripts_of_any_kind(text: str) -> None:
    parse_alternatives(text + " update-alternatives --install " + text)


def test_highest_priority_wins_then_the_name() -> None:
    a, b, c = (Alternative("l", "n", p, i) for p, i in (("a", 5), ("b", 9), ("c", 9)))
    assert choose([a, c, b]) == choose([b, a, c]) == [b]


def test_order_is_the_loaders() -> None:
    names = ["libz.so.1", "liba.so.10", "liba.so.9", "liba.so", "libA.so", "liba.so.9.1"]
    assert sorted(names, key=ldcache.order) == [
        "libA.so",
        "liba.so",
        "liba.so.9",
        "liba.so.9.1",
        "liba.so.10",
        "libz.so.1",
    ]


def test_ldconfig_reads_it(tmp_path: Path) -> None:
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    if not Path(ldconfig).exists():
        pytest.skip("no ldconfig")
    file = tmp_path / "cache"
    file.write_bytes(
        ldcache.build(
            [("libb.so.2", "/x/libb.so.2"), ("liba.so.1", "/x/liba.so.1"), ("liba.so.1", "/y/liba.so.1")],
            "amd64",
        )
    )
    out = subprocess.run([ldconfig, "-p", "-C", str(file)], capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in out.splitlines() if "=>" in line]
    assert lines == ["libb.so.2 (libc6,x86-64) => /x/libb.so.2", "liba.so.1 (libc6,x86-64) => /x/liba.so.1"]


def test_soname_of_a_real_library() -> None:
    maps = Path("/proc/self/maps").read_text().splitlines()
    found = [Path(line.split()[-1]) for line in maps if "libc.so.6" in line][:1]
    if not found or sys.platform != "linux":
        pytest.skip("no shared libc")
    assert ldcache.soname(found[0].read_bytes()) == "libc.so.6"


def test_soname_of_damage() -> None:
    assert ldcache.soname(b"") == ldcache.soname(b"\x7fELF\x02\x01" + b"\xff" * 200) == ""
    loop = (
        b"\x7fELF\x02\x01"
        + bytes(26)
        + struct.pack("<Q", 64)
        + bytes(14)
        + struct.pack("<HH", 0, 3)
        + bytes(9)
    )
    assert ldcache.soname(loop) == ""

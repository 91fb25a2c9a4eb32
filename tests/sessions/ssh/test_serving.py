"""What a channel asks for, and this machine's rsync as it is lent. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.sessions.ssh import carried, serving
from bareboat.sessions.ssh.carried import Carried
from bareboat.sessions.ssh.programs import ended

LISTED = """\
\tlinux-vdso.so.1 (0x00007ffd1b5f2000)
\tlibacl.so.1 => /lib/x86_64-linux-gnu/libacl.so.1 (0x00007f1d)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1c)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f1e)
"""


def test_what_a_loader_lists_is_what_is_carried() -> None:
    lib = Path("/lib/x86_64-linux-gnu")
    found = carried.parse_loaded(LISTED, Path("/usr/bin/rsync"))
    assert found == Carried(Path("/lib64/ld-linux-x86-64.so.2"), (lib / "libacl.so.1", lib / "libc.so.6"),
                            Path("/usr/bin/rsync"))
    assert carried.script("/tmp/x", found) == (
        '#!/bin/sh\nexec "/tmp/x/ld-linux-x86-64.so.2" --library-path "/tmp/x" "/tmp/x/rsync.bin" "$@"\n')


@pytest.mark.parametrize("text", [
    "", "\tstatically linked\n", "\tlibc.so.6 => /lib/libc.so.6 (0x1)\n",
    LISTED.replace("/lib/x86_64-linux-gnu/libacl.so.1 (0x00007f1d)", "not found"),
])
def test_what_is_not_whole_is_not_carried(text: str) -> None:
    assert carried.parse_loaded(text, Path("/usr/bin/rsync")) is None


@given(st.text())
def test_any_list_is_read(text: str) -> None:
    found = carried.parse_loaded(text, Path("/usr/bin/rsync"))
    assert found is None or all(file.is_absolute() for file in found.files)


def test_only_what_an_rsync_client_starts_is_lent_one() -> None:
    assert carried.wanted("rsync --server -vlogDtpre.iLsfxCIvu . there/")
    assert not any(map(carried.wanted, ("rsync -a x y", "echo rsync --server ", "rsync --serverx", "")))


@given(st.dictionaries(st.text(), st.text()))
def test_of_a_client_s_variables_only_looks_are_taken(wanted: dict[str, str]) -> None:
    for name, value in serving.accepted(wanted).items():
        assert name in serving.ACCEPTED or name.startswith("LC_")
        assert wanted[name] == value and value.isprintable()


def test_variables_that_say_what_is_run_are_not_taken() -> None:
    bad = {"PATH": "/x", "LD_PRELOAD": "/x.so", "BASH_ENV": "/x", "PYTHONPATH": "/x", "LC_X=Y": "1", "LANG": "a\nb",
           "TZ": "x" * 5000, "lc_all": "C", "BAREBOAT_INSIDE": "{}"}
    assert serving.accepted(bad) == {}
    assert serving.accepted({"LANG": "C.UTF-8", "LC_ALL": "C"}) == {"LANG": "C.UTF-8", "LC_ALL": "C"}


def test_signals_have_their_names_and_codes() -> None:
    assert [serving.signal_number(n) for n in ("TERM", "KILL", "USR1", "WINCH", "NO", "", "_x")] == [
        15, 9, 10, 28, 0, 0, 0]
    assert (ended(0), ended(3)) == (serving.Ended(0), serving.Ended(3))
    assert (ended(-9), ended(-15)) == (serving.Ended(137, "KILL"), serving.Ended(143, "TERM"))
    assert ended(-40).code == 168

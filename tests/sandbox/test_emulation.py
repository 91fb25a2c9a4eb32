"""What is registered for programs of another architecture, to the letter; and what a machine without qemu is told."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bareboat.errors import EngineError
from bareboat.host.kernel import foreign, platform
from bareboat.sandbox.emulation import Emulation, candidates, find, is_static, registered, summary

ARM64 = Emulation("linux/arm64", 183, b"/usr/libexec/qemu-binfmt/aarch64-binfmt-P")


def test_the_registration_is_the_one_of_debian_with_the_interpreter_opened_now() -> None:
    magic = b"\\x7f\\x45\\x4c\\x46\\x02\\x01\\x01" + b"\\x00" * 9 + b"\\x02\\x00\\xb7\\x00"
    mask = b"\\xff" * 7 + b"\\x00" + b"\\xff" * 8 + b"\\xfe\\xff\\xff\\xff"
    assert ARM64.registration == (b":bareboat-aarch64:M::" + magic + b":" + mask
                                  + b":/usr/libexec/qemu-binfmt/aarch64-binfmt-P:OPF")


@pytest.mark.parametrize(("name", "end"), [("linux/s390x", b"\\x00\\x02\\x00\\x16"),
                                           ("linux/ppc64le", b"\\x02\\x00\\x15\\x00"),
                                           ("linux/arm/v7", b"\\x02\\x00\\x28\\x00")])
def test_other_architectures_in_their_own_byte_order(name: str, end: bytes) -> None:
    line = Emulation(name, 0, b"/q").registration
    magic, mask = line.split(b":")[4:6]
    assert magic.endswith(end) and len(magic) == len(mask) == 20 * 4
    assert magic.split(b"\\x")[5] == (b"01" if "arm/" in name else b"02")
    assert magic.split(b"\\x")[6] == (b"02" if "s390x" in name else b"01")


def test_qemu_is_looked_for_where_debian_has_it_and_the_first_usable_one_taken() -> None:
    places = candidates("linux/arm64/v8")
    assert places[0] == "/usr/libexec/qemu-binfmt/aarch64-binfmt-P" and places[-1] == "/usr/bin/qemu-aarch64"
    assert find("linux/arm64", lambda p: p == places[2]) == Emulation("linux/arm64", 183, places[2].encode())


@pytest.mark.parametrize("name", ["linux/arm64", "linux/vax", "linux", ""])
def test_without_qemu_the_package_is_named(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        find(name, lambda _: False)
    assert caught.value.code == "engine.platform" and "qemu-user-static" in caught.value.hint


def elf(*kinds: int) -> bytes:
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, len(kinds))
    return head.ljust(64, b"\0") + b"".join(struct.pack("<I", kind).ljust(56, b"\0") for kind in kinds)


@pytest.mark.parametrize(("content", "static"), [(elf(1, 2), True), (elf(1, 3, 2), False), (b"#!/bin/sh\n", False),
                                                 (b"\x7fELF\x02", False), (b"", False)])
def test_a_qemu_that_needs_libraries_of_its_own_is_of_no_use(tmp_path: Path, content: bytes, static: bool) -> None:
    path = tmp_path / "qemu"
    path.write_bytes(content)
    path.chmod(0o755)
    assert is_static(str(path)) is static
    path.chmod(0o644)
    assert not is_static(str(path)) and not is_static(str(tmp_path / "none"))


SHOWN = ("enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: {flags}\noffset 0\n"
         "magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n")


@pytest.mark.parametrize(("text", "counts"), [
    (SHOWN.format(flags="POCF"), True), (SHOWN.format(flags="POC"), False),
    (SHOWN.format(flags="F").replace("enabled", "disabled"), False),
    (SHOWN.format(flags="F").replace("b700", "3e00"), False),
    ("enabled\n", False), ("", False)])
def test_the_machines_own_registration_does_where_it_needs_nothing_in_the_image(tmp_path: Path, text: str,
                                                                                 counts: bool) -> None:
    (tmp_path / "qemu-aarch64").write_text(text)
    assert registered(ARM64, str(tmp_path).encode()) is counts
    assert not registered(ARM64, str(tmp_path / "none").encode())


def test_what_doctor_says() -> None:
    assert summary("6.18.4", ()) == (True, f"{platform()} alone; images for others are built without it")
    assert summary("6.7.0-rc1", ("arm64",)) == (True, f"{platform()}; by qemu: linux/arm64")
    ok, detail = summary("6.1.0-40-amd64", ("arm64", "s390x"))
    assert not ok and "linux/s390x" in detail and "6.1.0-40-amd64" in detail


def test_only_another_architecture_is_foreign() -> None:
    assert foreign("") == foreign(platform()) == foreign(platform() + "/v2") == ""
    assert foreign("linux/s390x") == "linux/s390x"

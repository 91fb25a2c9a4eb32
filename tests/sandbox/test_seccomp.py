"""The filter, by an interpreter of classic BPF: what each call gets, and the bytes themselves."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.sandbox import seccomp

NEWUSER, SIGCHLD = 0x10000000, 17


def run(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would answer (linux/filter.h)."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*arguments, *(0,) * (6 - len(arguments))))
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator = place = 0
    while True:
        code, true, false, k = steps[place]
        place += 1
        if code == 0x06:
            return k
        if code == 0x20:
            accumulator = int.from_bytes(data[k : k + 4], "little")
        else:
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k,
                     0x45: bool(accumulator & k)}[code]
            place += true if holds else false


def errno(number: int) -> int:
    return seccomp.ERRNO | number


@pytest.fixture(params=sorted(seccomp.ARCHITECTURES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(machine: str, name: str | int, *arguments: int) -> int:
    architecture = seccomp.ARCHITECTURES[machine]
    known = {**architecture.numbers, **seccomp.COMMON}
    number = name if isinstance(name, int) else known[name]
    return run(seccomp.program(machine), architecture.audit, number, *arguments)


def test_the_bytes_are_these() -> None:
    digests = {m: hashlib.sha256(seccomp.program(m)).hexdigest()[:16] for m in seccomp.ARCHITECTURES}
    assert digests == GOLDEN


GOLDEN = {"x86_64": "2b0972a00ba30deb", "aarch64": "0c64deb9c09478a0"}


def test_refused(machine: str) -> None:
    names = {**seccomp.ARCHITECTURES[machine].numbers, **seccomp.COMMON}
    for name in set(names) - seccomp.FILTERED:
        wanted = seccomp.ENOSYS if name in seccomp.ABSENT else seccomp.EPERM
        assert ask(machine, name) == errno(wanted), name


def test_no_file_becomes_set_user_id(machine: str) -> None:
    known = {**seccomp.ARCHITECTURES[machine].numbers, **seccomp.COMMON}
    for name, place in seccomp.MODES.items():
        if name not in known:
            continue
        for mode, answer in ((0o755, seccomp.ALLOW), (0o2775, seccomp.ALLOW), (0o4755, errno(seccomp.EPERM)),
                             (0o6711, errno(seccomp.EPERM)), (0o104000, errno(seccomp.EPERM))):
            arguments = [7] * place + [mode]
            if "open" in name:
                arguments[place - 1] = 0o100
                assert ask(machine, name, *arguments) == answer, (name, oct(mode))
                arguments[place - 1] = 0o20000000 | 2
                assert ask(machine, name, *arguments) == answer
                arguments[place - 1] = 0o2000002  # nothing is made: the mode is noise
                answer = seccomp.ALLOW
            assert ask(machine, name, *arguments) == answer, (name, oct(mode))


def test_numbers_have_no_double(machine: str) -> None:
    numbers = [*seccomp.ARCHITECTURES[machine].numbers.values(), *seccomp.COMMON.values()]
    assert len(numbers) == len(set(numbers))


def test_ordinary_calls(machine: str) -> None:
    ordinary = {"x86_64": (0, 1, 9, 57, 59, 101, 237, 238, 279, 310),
                "aarch64": (63, 64, 222, 221, 117, 235, 237, 239, 270)}
    for number in (*ordinary[machine], 434, 436, 439, 444, 449):  # read … mbind, ptrace; pidfd_open … futex_waitv
        assert ask(machine, number) == seccomp.ALLOW, number


def test_new_namespaces(machine: str) -> None:
    assert ask(machine, "clone", SIGCHLD) == seccomp.ALLOW
    assert ask(machine, "clone", 0x3D0F00) == seccomp.ALLOW  # a thread, as libc makes it
    assert ask(machine, "clone", NEWUSER | SIGCHLD) == errno(seccomp.EPERM)
    assert ask(machine, "clone", 0xFFFF_FFFF_0000_0000 | NEWUSER) == errno(seccomp.EPERM)
    assert ask(machine, "unshare", 0x400) == seccomp.ALLOW
    assert ask(machine, "unshare", NEWUSER) == errno(seccomp.EPERM)
    assert ask(machine, "unshare", 0x80) == errno(seccomp.EPERM)


@given(high=st.integers(0, 2**32 - 1), command=st.sampled_from([seccomp.TIOCSTI, seccomp.TIOCLINUX]))
def test_typing_into_terminals_whatever_the_high_half(high: int, command: int) -> None:
    for machine in seccomp.ARCHITECTURES:
        assert ask(machine, "ioctl", 0, high << 32 | command) == errno(seccomp.EPERM)


@given(command=st.integers(0, 2**32 - 1))
def test_other_commands(command: int) -> None:
    if command not in (seccomp.TIOCSTI, seccomp.TIOCLINUX):
        assert ask("x86_64", "ioctl", 0, command) == seccomp.ALLOW


@given(family=st.integers(0, 60))
def test_families(family: int) -> None:
    wanted = seccomp.ALLOW if family in seccomp.FAMILIES else errno(seccomp.EAFNOSUPPORT)
    assert ask("x86_64", "socket", family) == ask("aarch64", "socket", family) == wanted


@given(number=st.integers(seccomp.KNOWN + 1, 2**32 - 1))
def test_calls_not_known_and_x32(number: int) -> None:
    assert ask("x86_64", number) == errno(seccomp.ENOSYS)


def test_another_architecture_is_killed(machine: str) -> None:
    for audit in (0x40000003, 0x40000028, 0):
        assert run(seccomp.program(machine), audit, 0) == seccomp.KILL


def test_a_machine_that_is_not_known() -> None:
    with pytest.raises(KeyError):
        seccomp.program("vax")

"""Commands as values, run to their end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

import pytest

from bareboat.host.process import Command, Completed, ProcessError, begin, read_from, run, start, write_to


def test_output_code_and_input() -> None:
    done = run(Command(("sh", "-c", "cat; echo err >&2; exit 3"), stdin=b"in"))
    assert (done.code, done.stdout, done.stderr) == (3, b"in", b"err\n")


def test_signals_are_128_more_and_stdin_is_empty() -> None:
    assert run(Command(("sh", "-c", "cat; kill -9 $$"))).code == 137


def test_environment_is_replaced() -> None:
    assert run(Command(("/usr/bin/env",), env={"A": "b"})).stdout == b"A=b\n"


@pytest.mark.parametrize(("command", "code"), [
    (Command(("/no/such/program",)), "process.start"), (Command(("a\0b",)), "process.start"),
    (Command(("sleep", "9"), timeout=0.05), "process.timeout")])
def test_what_does_not_run(command: Command, code: str) -> None:
    with pytest.raises(ProcessError) as caught:
        run(command)
    assert caught.value.code == code


def test_bounded_output_code_and_input() -> None:
    much = bytes(300_000)
    done = run(Command(("sh", "-c", "cat; echo err >&2; exit 3"), stdin=much, most=300_000, timeout=60))
    assert (done.code, done.stdout, done.stderr) == (3, much, b"err\n")
    assert run(Command(("sh", "-c", "exec 0<&-; echo out"), stdin=much, most=10, timeout=60)).stdout == b"out\n"
    assert run(Command(("sh", "-c", "kill -9 $$"), most=1)).code == 137


@pytest.mark.parametrize(("command", "code"), [
    (Command(("/no/such/program",), most=1), "process.start"),
    (Command(("sleep", "9"), timeout=0.05, most=1), "process.timeout"),
    (Command(("sh", "-c", "sleep 9 & echo x"), timeout=0.2, most=9), "process.timeout"),  # another holds its pipes
    (Command(("sh", "-c", "while echo endless; do :; done"), most=1000), "process.output"),
    (Command(("sh", "-c", "while echo endless >&2; do :; done"), most=1000), "process.output")])
def test_what_is_stopped(command: Command, code: str) -> None:
    with pytest.raises(ProcessError) as caught:
        run(command)
    assert caught.value.code == code


def test_output_is_given_as_it_comes() -> None:
    found, failure, ended = read_from(Command(("sh", "-c", "head -c 300000 /dev/zero; echo err >&2; exit 3")),
                                      lambda out: len(out.read()))
    assert (found, failure) == (300_000, None)
    assert (ended.code, ended.stdout, ended.stderr) == (3, b"", b"err\n")


def test_what_nobody_reads_is_read_to_its_end() -> None:
    found, failure, ended = read_from(Command(("sh", "-c", "head -c 900000 /dev/zero && echo whole >&2")),
                                      lambda out: out.read(1))
    assert (found, failure, ended.code, ended.stderr) == (b"\0", None, 0, b"whole\n")


def test_a_reader_that_fails_at_the_end_is_told_how_the_command_ended() -> None:
    def take(out: IO[bytes]) -> None:
        raise ValueError(f"only {len(out.read())} bytes")

    found, failure, ended = read_from(Command(("sh", "-c", "echo x; echo why >&2; exit 4")), take)
    assert found is None and str(failure) == "only 2 bytes" and (ended.code, ended.stderr) == (4, b"why\n")


def test_a_reader_that_fails_before_the_end_is_the_reason_itself() -> None:
    def take(out: IO[bytes]) -> None:
        raise ValueError(out.read(1))

    with pytest.raises(ValueError, match="y"):  # not that the command died of a closed pipe
        read_from(Command(("yes",)), take)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_whoever_stops_reading_stops_the_command(stop: type[BaseException]) -> None:
    def take(out: IO[bytes]) -> None:
        raise stop

    with pytest.raises(stop):
        read_from(Command(("sleep", "600")), take)


def test_input_is_taken_from_chunks() -> None:
    ended = write_to(Command(("sh", "-c", "cat; echo err >&2; exit 3")), (b"x" * 70_000 for _ in range(3)))
    assert (ended.code, len(ended.stdout), ended.stderr) == (3, 1 << 16, b"err\n")  # what it says is bounded


def test_a_command_that_takes_no_input_says_why() -> None:
    ended = write_to(Command(("sh", "-c", "exec 0<&-; echo full >&2; exit 5")), (bytes(1 << 16) for _ in range(100)))
    assert (ended.code, ended.stderr) == (5, b"full\n")


def test_a_source_that_fails_kills_the_command() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise ValueError("rotten")

    with pytest.raises(ValueError, match="rotten"):
        write_to(Command(("sh", "-c", "cat; sleep 600")), chunks())


def test_what_cannot_be_started_is_neither_read_nor_written() -> None:
    for begun in (lambda: read_from(Command(("/no/such/program",)), lambda out: out.read()),
                  lambda: write_to(Command(("/no/such/program",)), [b"x"])):
        with pytest.raises(ProcessError) as caught:
            begun()
        assert caught.value.code == "process.start"


def test_a_child_has_the_streams_it_was_given() -> None:
    read, write = os.pipe()
    child = start(Command(("/bin/sh", "-c", "echo out; echo gone >&2; [ -t 0 ] || exit 7")), (-1, write, -1))
    os.close(write)
    assert child.wait() == 7 and child.ended()
    assert os.read(read, 100) == b"out\n"
    os.close(read)
    child.signal(15)  # nothing happens to one that ended


def test_a_child_is_signalled_and_killed() -> None:
    for end, code in (("signal", 143), ("kill", 137)):
        child = start(Command(("/bin/sleep", "100")), (-1, -1, -1))
        assert not child.ended()
        child.signal(15) if end == "signal" else child.kill()
        assert child.wait() == code
    with pytest.raises(ProcessError) as caught:
        start(Command(("/nonexistent",)), (-1, -1, -1))
    assert caught.value.code == "process.start"


def test_a_command_that_runs_meanwhile() -> None:
    with begin(Command(("/bin/sh", "-c", "cat; echo out; echo err >&2; exit 3"), timeout=30)) as begun:
        assert begun.finish() == Completed(3, b"out\n", b"err\n")
    with begin(Command(("/bin/sleep", "100"))):
        pass  # not finished: it is killed, and nothing is left
    with begin(Command(("/bin/sleep", "100"), timeout=0.05)) as slow, \
            pytest.raises(ProcessError) as caught:
        slow.finish()
    assert caught.value.code == "process.timeout"
    with pytest.raises(ProcessError) as caught:
        begin(Command(("/nonexistent",)))
    assert caught.value.code == "process.start"

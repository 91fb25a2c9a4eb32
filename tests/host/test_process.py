"""Commands as values, run to their end."""

from __future__ import annotations

import pytest

from bareboat.host.process import Command, ProcessError, run


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

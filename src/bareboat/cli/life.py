"""Options about a container's life, shared by run and create; and words that several verbs read alike."""

from __future__ import annotations

from types import SimpleNamespace

from bareboat.errors import UsageError
from bareboat.values import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from bareboat.verbs.launch import Life

def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words where Docker has them."""
    add = parser.add_argument
    add("-d", "--detach", action="store_true", help="in the background; prints the container's id")
    add("--label", action="append", metavar="NAME=VALUE", help="a label, to filter by")
    add("--restart", metavar="POLICY", help="no (the default), or on-failure[:N]: start a failed program again")
    add("-p", "--publish", action="append", metavar="[IP:]HOST:INSIDE", help="a TCP port of this machine that leads "
        "to one inside (on 127.0.0.1 unless an address is given)")
    add("--stop-signal", metavar="SIGNAL", help="what stop sends (SIGTERM)")
    add("--stop-timeout", metavar="SECONDS", help="how long stop waits before it kills (10)")
    add("--health-cmd", metavar="COMMAND", help="a command that says whether the container is well")
    add("--health-interval", metavar="TIME", help="how often (30s)")
    add("--health-timeout", metavar="TIME", help="how long it may take (30s)")
    add("--health-retries", metavar="N", help="failures in a row until it is unhealthy (3)")
    add("--health-start-period", metavar="TIME", help="failures at the start that do not count")
    add("--max-time", metavar="TIME", help="stop it after so long, as 8h")
    add("--idle-stop", metavar="TIME", help="stop it after so long without CPU, output, or anybody in it")


def life_of(options: argparse.Namespace | SimpleNamespace) -> Life:
    """The options as values. Raises UsageError."""
    from bareboat.supervisor.rules import Health, Rules
    from bareboat.verbs.launch import Life

    o = options
    health = None
    if o.health_cmd:
        health = Health(("/bin/sh", "-c", o.health_cmd), seconds(o.health_interval, "--health-interval", 30.0),
                        seconds(o.health_timeout, "--health-timeout", 30.0), count(o.health_retries, "--health-retries",
                                                                                   3),
                        seconds(o.health_start_period, "--health-start-period", 0.0))
    rules = Rules(signal_number(o.stop_signal) if o.stop_signal else 15, seconds(o.stop_timeout, "--stop-timeout", 10),
                  _restart(o.restart), health, seconds(o.max_time, "--max-time", 0.0),
                  seconds(o.idle_stop, "--idle-stop", 0.0))
    return Life(labels(o.label), rules, bool(o.rm))


def labels(words: list[str]) -> tuple[tuple[str, str], ...]:
    """NAME=VALUE words, the last of a name wins."""
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name:
            raise UsageError("usage.label", f"{word!r} is no label", where="--label", hint="write NAME=VALUE")
        found[name] = value
    return tuple(sorted(found.items()))


def _restart(text: str | None) -> int:
    import re  # for those who say it

    if text in (None, "", "no"):
        return 0
    match = re.fullmatch(r"on-failure(?::(\d{1,6}))?", text or "")
    if match:
        return int(match[1] or 1_000_000)
    hint = "no, or on-failure:N; a container that is to come back after a restart of the machine needs a service of it"
    raise UsageError("usage.restart", f"{text!r} is no restart policy of bareboat's", where="--restart", hint=hint)


_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str | None, flag: str, otherwise: float) -> float:
    """A time: 90, 1.5h, 1h30m. Raises UsageError "usage.time"."""
    import re

    if text is None:
        return otherwise
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|min|[smhd]|$)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError("usage.time", f"{text!r} is no time", where=flag, hint="as 90, 30s, 1.5h or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def count(text: str | None, flag: str, otherwise: int) -> int:
    """A whole number of at least 1."""
    if text is None:
        return otherwise
    if not text.isdigit() or not int(text):
        raise UsageError("usage.number", f"{text!r} is no whole number above 0", where=flag)
    return int(text)


def signal_number(text: str) -> int:
    """A signal by name, with or without SIG, or by number. Raises UsageError "usage.signal"."""
    import signal

    name = text.upper().removeprefix("SIG")
    number = int(name) if name.isdigit() else getattr(signal, f"SIG{name}", 0)
    if not 0 < number < signal.NSIG or not isinstance(number, int):
        raise UsageError("usage.signal", f"{text!r} is no signal", hint="as TERM, SIGUSR1 or 10")
    return int(number)


def _meant(name: str) -> str:
    """The word; the id of the newest run for "last", as everywhere."""
    if name != "last":
        return name
    from bareboat.verbs.lookup import run_of
    from bareboat.wiring import store

    return run_of(store(), name)


def each(names: list[str], do: object) -> int:
    """Do something with each name ("last": the newest run) and print it; the first failure's code at the end, the
    others are done.
    """
    import sys

    from bareboat.cli.dispatch import report
    from bareboat.errors import BareboatError

    code = 0
    for name in names:
        try:
            shown = do(_meant(name))  # type: ignore[operator]
            print(shown if isinstance(shown, str) else name)
        except BareboatError as error:
            sys.stdout.flush()
            report(error)
            code = code or error.exit_code
    return code

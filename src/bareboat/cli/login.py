"""bareboat login."""

from __future__ import annotations

import argparse
import os
import sys

from bareboat.errors import UsageError

SUMMARY = "Log in to a registry; Docker and Podman know the login too."
EXAMPLES = ("  bareboat login ghcr.io -u NAME\n"
            "  bareboat login nvcr.io -u '$oauthtoken' --password-stdin < key\n")
_HINT = "pipe it: bareboat login HOST -u NAME --password-stdin < FILE"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("registry", metavar="HOST", nargs="?", default="docker.io", help="default: Docker Hub")
    parser.add_argument("-u", "--username", metavar="NAME", default="")
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    parser.add_argument("-p", "--password", metavar="-", default=None, help=argparse.SUPPRESS)


def command(options: argparse.Namespace) -> int:
    """The password comes from standard input or a terminal, never from the command line."""
    from bareboat.cli.term import Reporter
    from bareboat.registry.hosts import RegistrySettings
    from bareboat.registry.secret import Secret
    from bareboat.verbs.login import login
    from bareboat.wiring import settings

    if options.password is not None:
        raise UsageError("login.argv", "a password on the command line is seen by every user of this machine",
                         hint=_HINT)
    user = options.username or _ask_user(options.password_stdin)
    password = Secret(_from_stdin() if options.password_stdin else _ask_password())
    login(options.registry, user, password, RegistrySettings.of(settings(), os.environ), Reporter(options.level))
    return 0


def _from_stdin() -> str:
    text = sys.stdin.read(1 << 20)
    return text.removesuffix("\n").removesuffix("\r")


def _ask_user(piped: bool) -> str:
    if piped or not sys.stdin.isatty():
        raise UsageError("login.user", "no user is named", hint="-u NAME")
    sys.stderr.write("user: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _ask_password() -> str:
    if not sys.stdin.isatty():
        raise UsageError("login.terminal", "there is no terminal to ask for the password", hint=_HINT)
    import getpass

    return getpass.getpass("password: ", stream=sys.stderr)

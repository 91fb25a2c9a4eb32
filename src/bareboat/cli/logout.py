"""bareboat logout."""

from __future__ import annotations

import argparse
import os

SUMMARY = "Forget the login to a registry, wherever Docker, Podman or bareboat kept it."
EXAMPLES = "  bareboat logout ghcr.io\n"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("registry", metavar="HOST", nargs="?", default="docker.io", help="default: Docker Hub")


def command(options: argparse.Namespace) -> int:
    """0 also where nobody was logged in."""
    from bareboat.cli.term import Reporter
    from bareboat.registry.hosts import RegistrySettings
    from bareboat.verbs.login import logout
    from bareboat.wiring import settings

    logout(options.registry, RegistrySettings.of(settings(), os.environ), Reporter(options.level))
    return 0

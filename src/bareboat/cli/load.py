"""bareboat load."""

from __future__ import annotations

import argparse
import sys

from bareboat.errors import UsageError

SUMMARY = "Take the images of an archive: of bareboat save, docker save, podman save or an OCI layout in a tar."
EXAMPLES = ("  bareboat load -i seg.tar\n"
            "  docker save seg:1 | bareboat load\n"
            "  ssh server bareboat save seg:1 | bareboat load\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--input", metavar="FILE", help="the archive, gzip or zstd or plain (default: standard "
                        "input)")
    parser.add_argument("--platform", metavar="OS/ARCH", help="which image of an index; default: this machine's")


def command(options: argparse.Namespace) -> int:
    """A line an image: its names, or its digest where it has none."""
    from bareboat.cli.term import Reporter
    from bareboat.image.platforms import parse_platform
    from bareboat.verbs.load import load
    from bareboat.verbs.lock import host_platform
    from bareboat.wiring import work

    if not options.input and sys.stdin.isatty():
        raise UsageError("load.terminal", "an archive is not read from a terminal",
                         hint="use -i FILE, or redirect the input")
    collaborators = work(Reporter(options.level))
    platform = parse_platform(options.platform) if options.platform else host_platform()
    if options.input:
        with open(options.input, "rb") as file:
            loaded = load(file, options.input, platform, collaborators)
    else:
        loaded = load(sys.stdin.buffer, "standard input", platform, collaborators)
    for names, environment in loaded:
        print("\n".join(names) or environment.plan)
    return 0

"""bareboat pull."""

from __future__ import annotations

import argparse

SUMMARY = "Bring an image here from a registry, an OCI layout or Docker's daemon."
EXAMPLES = ("  bareboat pull python:3.12-slim\n"
            "  bareboat pull nvcr.io/nvidia/pytorch:24.01-py3     goes on where it was cut\n"
            "  bareboat pull oci:seg/:1 -t seg:1\n"
            "  bareboat pull docker-daemon:seg:1\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", metavar="IMAGE", help="HOST/REPOSITORY:TAG or @DIGEST, docker://…, oci:DIR:TAG, "
                        "docker-daemon:NAME")
    parser.add_argument("-t", "--tag", metavar="NAME[:TAG]", default="", help="the name it gets here")
    parser.add_argument("--platform", metavar="OS/ARCH", help="default: this machine's")
    parser.add_argument("--offline", action="store_true", default=None, help="ask no registry")


def command(options: argparse.Namespace) -> int:
    """Prints the image's digest here, by which `run`, `inspect` and `rmi` know it."""
    from bareboat.cli.term import Reporter
    from bareboat.registry.places import parse_place
    from bareboat.verbs.build import check_name
    from bareboat.verbs.lock import host_platform
    from bareboat.verbs.pull import pull
    from bareboat.wiring import work

    if options.tag:
        check_name(options.tag)
    made = pull(parse_place(options.place), options.platform or host_platform(),
                work(Reporter(options.level), offline=options.offline), options.tag)
    print(made.plan)
    return 0

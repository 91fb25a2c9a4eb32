"""bareboat push."""

from __future__ import annotations

import argparse

SUMMARY = "Bring an image to a registry, an OCI layout or Docker's daemon; what is there is not sent again."
EXAMPLES = ("  bareboat build -t ghcr.io/lab/seg:1 && bareboat push ghcr.io/lab/seg:1\n"
            "  bareboat push seg:1 localhost:5000/lab/seg:1\n"
            "  bareboat push seg:1 oci:seg/:1\n"
            "  bareboat push seg:1 docker-daemon:seg:1\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a name, or the beginning of a plan digest")
    parser.add_argument("place", metavar="PLACE", nargs="?", help="where to; default: what the name says")
    parser.add_argument("--offline", action="store_true", default=None, help="fetch nothing to assemble it")


def command(options: argparse.Namespace) -> int:
    """Prints the digest that the tag names there."""
    from bareboat.cli.term import Reporter
    from bareboat.registry.places import parse_place
    from bareboat.verbs.push import push
    from bareboat.wiring import work

    pushed = push(options.image, parse_place(options.place or options.image),
                  work(Reporter(options.level), offline=options.offline))
    print(pushed.digest)
    return 0

"""bareboat push."""

from __future__ import annotations

import argparse

from bareboat.errors import UsageError

SUMMARY = "Bring an image, or a run with its image, to a registry, an OCI layout or Docker's daemon."
EXAMPLES = ("  bareboat build -t ghcr.io/lab/seg:1 && bareboat push ghcr.io/lab/seg:1\n"
            "  bareboat push seg:1 localhost:5000/lab/seg:1\n"
            "  bareboat push seg:1 oci:seg/:1\n"
            "  bareboat push seg:1 docker-daemon:seg:1\n"
            "  bareboat push --run 3f9a1c ghcr.io/lab/seg:paper     then: bareboat rerun ghcr.io/lab/seg:paper\n")


def configure(parser: argparse.ArgumentParser) -> None:
    from bareboat.cli.save import add_compression, add_run

    parser.add_argument("image", metavar="IMAGE", help="a name, or the beginning of a plan digest; with --run PLACE")
    parser.add_argument("place", metavar="PLACE", nargs="?", help="where to; default: what the name says")
    parser.add_argument("--offline", action="store_true", default=None, help="fetch nothing to assemble it")
    parser.add_argument("--sbom", choices=("spdx", "cyclonedx", "none"), default="", help="what bill of materials "
                        "to attach to the image (default: spdx at a registry, none elsewhere)")
    add_compression(parser)
    add_run(parser)


def command(options: argparse.Namespace) -> int:
    """Prints the digest that the tag names there."""
    from bareboat.cli.save import luggage
    from bareboat.cli.term import Reporter
    from bareboat.registry.places import parse_place
    from bareboat.verbs.push import push
    from bareboat.wiring import work

    extra = luggage(options)
    collaborators = work(Reporter(options.level), offline=options.offline, compression=options.compression)
    if options.run:
        from bareboat.verbs.travel import send_run

        if options.place:
            raise UsageError("usage.run", "with --run only the place is named", hint="bareboat push --run RUN PLACE")
        print(send_run(options.run, options.image, extra, collaborators).top)
        return 0
    print(push(options.image, parse_place(options.place or options.image), collaborators, options.sbom).digest)
    return 0

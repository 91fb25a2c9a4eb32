"""bareboat pull."""

from __future__ import annotations

import argparse

from bareboat.errors import UsageError

SUMMARY = "Bring an image here from a registry, an OCI layout or Docker's daemon."
EXAMPLES = ("  bareboat pull python:3.12-slim\n"
            "  bareboat pull nvcr.io/nvidia/pytorch:24.01-py3     goes on where it was cut\n"
            "  bareboat pull oci:seg/:1 -t seg:1\n"
            "  bareboat pull docker-daemon:seg:1\n"
            "  bareboat pull --run ghcr.io/lab/seg:paper          a run with its image, to repeat without a network\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", metavar="IMAGE", help="HOST/REPOSITORY:TAG or @DIGEST, docker://…, oci:DIR:TAG, "
                        "docker-daemon:NAME")
    parser.add_argument("--run", action="store_true", help="the run there, with its image; a file of save --run, too")
    parser.add_argument("--with-results", action="store_true", help="with --run: also large results that were sent")
    parser.add_argument("-t", "--tag", metavar="NAME[:TAG]", default="", help="the name it gets here")
    parser.add_argument("--platform", metavar="OS/ARCH", help="default: this machine's")
    parser.add_argument("--offline", action="store_true", default=None, help="ask no registry")


def command(options: argparse.Namespace) -> int:
    """Prints the image's digest here, by which `run`, `inspect` and `rmi` know it; with --run the run's id."""
    from bareboat.cli.term import Reporter
    from bareboat.image.platforms import parse_platform
    from bareboat.registry.places import parse_place
    from bareboat.verbs.build import check_name
    from bareboat.verbs.lock import host_platform
    from bareboat.verbs.pull import pull
    from bareboat.wiring import work

    if (options.run and options.tag) or (options.with_results and not options.run):
        raise UsageError("usage.run", "--with-results is about a run, and -t about an image", hint="see pull --help")
    platform = parse_platform(options.platform) if options.platform else host_platform()
    if options.tag:
        check_name(options.tag)
    if options.run:
        from bareboat.verbs.run_places import arrive

        record = arrive(options.place, platform,
                        work(Reporter(options.level), offline=options.offline), large=options.with_results)
        print(record.id)
        return 0
    made = pull(parse_place(options.place), platform,
                work(Reporter(options.level), offline=options.offline), options.tag)
    print(made.plan)
    return 0

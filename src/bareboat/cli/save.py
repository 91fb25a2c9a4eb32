"""bareboat save."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bareboat.errors import UsageError

if TYPE_CHECKING:
    from bareboat.verbs.save import Saved, Target
    from bareboat.verbs.travel import Luggage

SUMMARY = "Write an image as an OCI image layout, a directory or a tar that docker load takes; or a run with its image."
EXAMPLES = ("  bareboat save seg:1 -o seg.tar          then: docker load -i seg.tar\n"
            "  bareboat save seg:1 -o seg/             an OCI layout: skopeo copy oci:seg:1 …\n"
            "  bareboat save seg:1 | ssh server docker load\n"
            "  bareboat save --run 3f9a1c -o run.tar   then, anywhere: bareboat rerun run.tar\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="a name, or the beginning of a plan digest")
    parser.add_argument("-o", "--output", metavar="FILE|DIR/",
                        help="a tar, or a directory when it ends in / (default: the tar to standard output)")
    add_compression(parser)
    add_run(parser)


def add_compression(parser: argparse.ArgumentParser) -> None:
    """The option of all that writes layers."""
    parser.add_argument("--compression", choices=("gzip", "zstd"), help="of our own layers (default: what the setting "
                        "says, gzip unless it is changed)")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options of a run that is sent away, for save and push."""
    parser.add_argument("--run", metavar="RUN", help="a run with its image, instead of an image: record, lock, code, "
                        "small results and log")
    parser.add_argument("--with-results", action="store_true", help="with --run: large results as well")
    parser.add_argument("--no-log", action="store_true", help="with --run: without what the program said")
    parser.add_argument("--data-from", default="", metavar="TEXT",
                        help="with --run: a URL or a line on where the data can be had; they never go along")


def luggage(options: argparse.Namespace) -> Luggage:
    """What goes along with a run. Raises UsageError "usage.run" where no run is meant."""
    from bareboat.verbs.travel import Luggage

    if not options.run and (options.with_results or options.no_log or options.data_from):
        raise UsageError("usage.run", "--with-results, --no-log and --data-from are about a run",
                         hint="say which: --run RUN")
    return Luggage(options.with_results, not options.no_log, options.data_from)


def command(options: argparse.Namespace) -> int:
    """Prints the digest of the manifest, with --run of the index, on standard output, unless the image goes there."""
    from bareboat.cli.term import Reporter, size
    from bareboat.verbs.save import Target
    from bareboat.wiring import work

    if bool(options.image) == bool(options.run):
        raise UsageError("usage.save", "an image or a run is to be named" + (", not both" if options.run else ""),
                         hint="bareboat save IMAGE -o FILE, or: bareboat save --run RUN -o FILE")
    extra = luggage(options)
    collaborators = work(Reporter(options.level), compression=options.compression)

    def save(target: Target) -> Saved:
        if options.run:
            from bareboat.verbs.travel import save_run

            return save_run(options.run, target, extra, collaborators)
        from bareboat.verbs.save import save as save_image

        return save_image(options.image, target, collaborators)

    if options.output:
        saved = save(Target.of(options.output))
        print(saved.manifest)
    else:
        if sys.stdout.isatty():
            raise UsageError("save.terminal", "an image is not written to a terminal",
                             hint="use -o FILE or -o DIR/, or redirect the output")
        saved = save(Target(out=sys.stdout.buffer.write))
        sys.stdout.buffer.flush()
    collaborators.tell.say(f"saved {saved.layers} layers, {size(saved.size)}")
    return 0

"""bareboat save."""

from __future__ import annotations

import argparse
import sys

from bareboat.errors import UsageError

SUMMARY = "Write an image as an OCI image layout: a directory, or a tar that docker load takes."
EXAMPLES = ("  bareboat save seg:1 -o seg.tar          then: docker load -i seg.tar\n"
            "  bareboat save seg:1 -o seg/             an OCI layout: skopeo copy oci:seg:1 …\n"
            "  bareboat save seg:1 | ssh server docker load\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a name, or the beginning of a plan digest")
    parser.add_argument("-o", "--output", metavar="FILE|DIR/",
                        help="a tar, or a directory when it ends in / (default: the tar to standard output)")


def command(options: argparse.Namespace) -> int:
    """Prints the manifest digest on standard output, unless the image goes there."""
    from bareboat.cli.term import Reporter, size
    from bareboat.verbs.save import Target, save
    from bareboat.wiring import work

    collaborators = work(Reporter(options.level))
    if options.output:
        saved = save(options.image, Target.of(options.output), collaborators)
        print(saved.manifest)
    else:
        if sys.stdout.isatty():
            raise UsageError("save.terminal", "an image is not written to a terminal",
                             hint="use -o FILE or -o DIR/, or redirect the output")
        saved = save(options.image, Target(out=sys.stdout.buffer.write), collaborators)
        sys.stdout.buffer.flush()
    collaborators.tell.say(f"saved {saved.layers} layers, {size(saved.size)}")
    return 0

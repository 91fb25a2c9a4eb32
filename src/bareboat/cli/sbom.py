"""bareboat sbom."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

SUMMARY = "Every package of an image, as SPDX 2.3 or CycloneDX 1.6."
EXAMPLES = ("  bareboat sbom                              of this project, SPDX on standard output\n"
            "  bareboat sbom seg:1 --format cyclonedx -o seg.cdx.json\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="a name, or the beginning of a plan digest "
                        "(default: the image of the project)")
    parser.add_argument("--project", metavar="DIR", help="the project's folder (default: this one)")
    parser.add_argument("--format", choices=("spdx", "cyclonedx"), default="spdx", help="(default: spdx)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there (default: standard output)")
    parser.add_argument("--locked", action="store_true", help="refuse when the lock is not up to date")
    parser.add_argument("--offline", action="store_true", default=None, help="use only what is on this machine")
    parser.add_argument("--json", action="store_true", help="say what was written, for programs; needs -o")


def command(options: argparse.Namespace) -> int:
    """The document goes to standard output, or atomically to a file."""
    from bareboat.cli.term import Reporter
    from bareboat.errors import UsageError
    from bareboat.host.files import replace_file
    from bareboat.verbs.sbom import sbom
    from bareboat.verbs.subject import subject
    from bareboat.wiring import work

    if options.image and options.project:
        raise UsageError("usage.both", "an image and a project were named", hint="name one of them")
    if options.json and not options.output:
        raise UsageError("usage.json", "--json says what was written to a file, and there is none",
                         hint="add -o FILE; without it the document itself, which is JSON, is printed")
    collaborators = work(Reporter(options.level), offline=options.offline)
    of = subject(options.image, Path(options.project).absolute() if options.project else None, collaborators,
                 locked=options.locked)
    document = sbom(of, options.format, collaborators)
    if not options.output:
        sys.stdout.buffer.write(document.data + b"\n")
        sys.stdout.buffer.flush()
        return 0
    path = Path(options.output)
    if path.is_dir():
        raise UsageError("sbom.folder", "is a directory", where=str(path), hint="name a file")
    if path.exists() and not path.is_file():
        path.write_bytes(document.data + b"\n")  # a device or a pipe is written to, never replaced
    else:
        replace_file(path, document.data + b"\n")
    if options.json:
        print(json.dumps({"plan": of.plan.digest, "media_type": document.media_type, "packages": document.listed,
                          "bytes": len(document.data) + 1, "path": str(path), "notes": list(document.notes)}))
    collaborators.tell.say(f"{document.listed} packages, written to {path}")
    return 0

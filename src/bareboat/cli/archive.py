"""bareboat archive."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

SUMMARY = "Everything that environments are made of, in one OCI layout that builds and runs without a network."
EXAMPLES = ("  bareboat archive -o seg.tar                this project: lock, packages, wheels, and its image\n"
            "  bareboat archive -o lab/ seg:1 ./project   several, in one directory\n"
            "  bareboat archive --run 3f9a -o run.tar     a run, with all that repeating it takes\n"
            "  bareboat archive --restore seg.tar         years later, elsewhere, with the network off; then, in a\n"
            "                                             clone of the project: bareboat run --offline --locked -- …\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", metavar="IMAGE|DIR", help="images by name and project folders "
                        "(default: the project of this folder)")
    parser.add_argument("-o", "--output", metavar="FILE|DIR/", help="a tar, or a directory when it ends in /")
    parser.add_argument("--no-image", action="store_true", help="leave out the images' shipped form: smaller, and for "
                        "bareboat alone")
    parser.add_argument("--no-code", action="store_true", help="leave the project's code out of its image")
    parser.add_argument("--run", action="append", default=[], metavar="ID", help="a run with its record, code, results "
                        "and image; without other words, runs alone")
    parser.add_argument("--with-results", action="store_true", help="with --run: large results, too")
    parser.add_argument("--restore", metavar="FILE|DIR", help="bring what an archive holds into the store")
    parser.add_argument("--offline", action="store_true", default=None, help="use only what is on this machine")
    parser.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """Prints plan digests, then ids of runs, of what was archived or restored."""
    from bareboat.cli.term import Reporter, size
    from bareboat.errors import UsageError
    from bareboat.verbs.archive import Along, archive
    from bareboat.verbs.save import Target
    from bareboat.verbs.unarchive import restore_archive
    from bareboat.wiring import work

    if bool(options.output) == bool(options.restore):
        raise UsageError("usage.archive", "an archive is either written (-o) or restored (--restore)",
                         hint="bareboat archive -o FILE.tar, or bareboat archive --restore FILE.tar")
    if options.restore and (options.what or options.no_image or options.no_code or options.run):
        raise UsageError("usage.archive", "--restore takes the whole archive", hint="leave out the other words")
    collaborators = work(Reporter(options.level), offline=options.offline)
    if options.restore:
        restored = restore_archive(Path(options.restore), collaborators)
        if options.json:
            print(json.dumps(asdict(restored), indent=2))
        else:
            print("\n".join((*(plan for _, plan, _ in restored.images), *restored.runs)))
        names = dict.fromkeys([*(name for name, _, _ in restored.images), *(f"run {run}" for run in restored.runs)])
        collaborators.tell.say(f"restored {', '.join(names)}: {restored.files} files, {size(restored.bytes)}")
        return 0
    along = Along(not options.no_image, not options.no_code, tuple(options.run), options.with_results)
    made = archive(options.what, Target.of(options.output), collaborators, along)
    print(json.dumps(asdict(made), indent=2) if options.json else "\n".join((*made.plans, *made.runs)))
    runs = f", {len(made.runs)} runs" if made.runs else ""
    images = "1 image" if made.images == 1 else f"{made.images} images"
    collaborators.tell.say(f"archived {made.files} files, {images}{runs}: {size(made.size)}")
    return 0

"""bareboat volume: ls, create, inspect, rm, prune."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from bareboat.errors import UsageError

if TYPE_CHECKING:
    from bareboat.verbs.collaborators import Work

SUMMARY = "Named volumes: directories of the store that outlive their containers and go only when they are removed."
EXAMPLES = """\
  bareboat run -v models:/models -- python src/train.py     made on first use
  bareboat volume ls
  bareboat volume create scratch --label project=seg
  bareboat volume inspect models
  bareboat volume rm models
  bareboat volume prune --all                               every volume that nothing uses
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Docker's words."""
    what = parser.add_subparsers(dest="what", required=True, metavar="ls | create | inspect | rm | prune")
    ls = what.add_parser("ls", aliases=["list"], help="every volume, and what it takes")
    ls.add_argument("--json", action="store_true", help="for programs")
    ls.add_argument("-q", "--quiet", dest="names", action="store_true", help="names alone")
    create = what.add_parser("create", help="make a volume; one that is there stays as it is")
    create.add_argument("name", nargs="?", default="", metavar="NAME", help="one is chosen where none is given")
    create.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    create.add_argument("-d", "--driver", default="local", help="local is what there is")
    create.add_argument("-o", "--opt", action="append", default=[], help=argparse.SUPPRESS)
    inspect = what.add_parser("inspect", help="all that is known of volumes, as JSON")
    inspect.add_argument("names", nargs="+", metavar="NAME")
    inspect.add_argument("--json", action="store_true", help="what it gives in any case")
    rm = what.add_parser("rm", aliases=["remove"], help="remove volumes with all that is in them")
    rm.add_argument("names", nargs="+", metavar="NAME")
    rm.add_argument("-f", "--force", action="store_true", help="one that is not there is no error")
    prune = what.add_parser("prune", help="remove what no container uses")
    prune.add_argument("-a", "--all", action="store_true",
                       help="named volumes too; others are gone with their containers in any case")
    prune.add_argument("-f", "--force", action="store_true", help="do not ask")
    prune.add_argument("--json", action="store_true", help="for programs")


def command(options: argparse.Namespace) -> int:
    """One of the five."""
    from bareboat.cli.term import Reporter
    from bareboat.wiring import work

    at_work = work(Reporter(options.level))
    what = {"list": "ls", "remove": "rm"}.get(options.what, options.what)
    return {"ls": _ls, "create": _create, "inspect": _inspect, "rm": _rm, "prune": _prune}[what](options, at_work)


def _ls(options: argparse.Namespace, work: Work) -> int:
    from bareboat.cli.plain import moment
    from bareboat.cli.term import size, table
    from bareboat.verbs.volumes import volumes

    if options.names:
        print("".join(f"{name}\n" for name in work.store.volumes.names()), end="")
        return 0
    found = volumes(work)
    if options.json:
        print(json.dumps([asdict(v) for v in found], indent=2))
        return 0
    print(table([("NAME", "SIZE", "FILES", "CREATED", "USED BY"),
                 *((v.name, size(v.bytes), str(v.files), moment(v.created) or "-",
                    ", ".join(v.used_by) or ("a process" if v.in_use else "-")) for v in found)], right=(1, 2)))
    return 0


def _create(options: argparse.Namespace, work: Work) -> int:
    from bareboat.verbs.volumes import create

    if options.driver != "local" or options.opt:
        raise UsageError("volume.driver", "volumes are directories of this user's store: there is no other driver, and "
                         "nothing that options would set", where="volume create",
                         hint="mount a directory of another file system with -v DIR:TARGET")
    labels = dict(label.partition("=")[::2] for label in options.label)
    print(create(options.name, labels, work))
    return 0


def _inspect(options: argparse.Namespace, work: Work) -> int:
    from bareboat.verbs.volumes import volumes

    print(json.dumps([asdict(v) for v in volumes(work, options.names)], indent=2))
    return 0


def _rm(options: argparse.Namespace, work: Work) -> int:
    """Each is tried; the first failure is told last."""
    from bareboat.cli.dispatch import report
    from bareboat.errors import BareboatError
    from bareboat.verbs.volumes import remove

    code = 0
    for name in options.names:
        try:
            if remove(name, work, force=options.force):
                print(name)
        except BareboatError as error:
            report(error)
            code = error.exit_code
    return code


def _prune(options: argparse.Namespace, work: Work) -> int:
    from bareboat.cli.term import size
    from bareboat.verbs.volumes import prune, volumes

    gone = []
    if options.all:
        unused = [v for v in volumes(work) if not v.in_use]
        if unused and not options.force and not options.json and not _sure([v.name for v in unused]):
            return 1
        gone = prune(work)
    if options.json:
        print(json.dumps({"removed": [v.name for v in gone], "bytes": sum(v.bytes for v in gone)}, indent=2))
        return 0
    print("".join(f"{v.name}\n" for v in gone), end="")
    print(f"freed {size(sum(v.bytes for v in gone))}: {len(gone)} volumes"
          + ("" if options.all else "; volumes without a name go with their containers, and --all takes named ones"))
    return 0


def _sure(names: list[str]) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("usage.sure", f"{len(names)} volumes with all that is in them would go", where="volume prune",
                         hint="say --force")
    sys.stderr.write(f"remove {', '.join(names)} with all that is in them? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")

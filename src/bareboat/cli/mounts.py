"""The options for mounts, of every verb that starts a container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser, *short: str) -> None:
    """--volume, --mount, --tmpfs, --cache. short: "-v" where that is not --verbose."""
    add = parser.add_argument
    add(*short, "--volume", action="append", default=[], metavar="SRC:DST[:ro]",
        help="mount a path or a named volume, read-write unless ro; DST alone: a volume that is thrown away")
    add("--mount", action="append", default=[], metavar="type=…,source=…,target=…", help="the same in Docker's long "
        "form: bind, volume or tmpfs; readonly, tmpfs-size=, tmpfs-mode=")
    add("--tmpfs", action="append", default=[], metavar="DST[:size=…,mode=…]", help="a file system in memory")
    add("--cache", action="store_true", default=None, help="with this user's cache of models and packages (Hugging "
        "Face, torch hub, pip …), which all projects share")
    add("--no-cache", dest="cache", action="store_false", help="without it, whatever the project or the settings say")

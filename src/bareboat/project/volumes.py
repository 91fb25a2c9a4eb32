"""Mount targets, and the -v grammar: "source:target[:ro|rw]", meaning what it means to Docker."""

from __future__ import annotations

import posixpath
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.project.values import ProjectMount

GRAMMAR = "SOURCE:TARGET or SOURCE:TARGET:ro, with an absolute TARGET"
RESERVED = (
    "/proc",
    "/dev",
    "/sys",
)  # made by the engine; a mount over them would hide or lend the machine's own
WITHOUT_EFFECT = ("z", "Z", "cached", "delegated", "consistent", "private", "rprivate")  # Docker's, accepted


def parse_volume(text: str, folder: Path, *, where: str = "-v") -> ProjectMount:
    """A -v value as a mount, read-write unless "ro" says otherwise. Pure: the source need not exist.

    folder: what a relative source ("./data", "../data", ".") is relative to. Raises ProjectError
    "project.volume" when the text is not of the grammar, "project.named-volume" for a name where a path is
    meant, "project.mount-target" for a target that cannot be.
    """
    parts = text.split(":")
    if len(parts) > 3:
        raise ProjectError(
            "project.volume",
            f"{text!r} has more than two colons",
            where=where,
            hint='A path with a colon needs a table: mounts = [{source = "…", target = "…"}].',
        )
    if len(parts) == 1 or not parts[0] or not parts[1]:
        raise ProjectError(
            "project.volume",
            f"{text!r} is not {GRAMMAR}",
            where=where,
            hint="Volumes without a source are not there yet; name a directory of this machine.",
        )
    source, target = parts[0], parts[1]
    if (
        not source.startswith(("/", "~/"))
        and source not in (".", "..", "~")
        and not source.startswith(("./", "../"))
    ):
        raise ProjectError(
            "project.named-volume",
            f"{source!r} is the name of a volume, and those are not there yet",
            where=where,
            hint=f"For a directory beside you write ./{source}",
        )
    read_only = _read_only(parts[2], text, where) if len(parts) == 3 else False
    return ProjectMount(host_path(source, folder, where), target_path(target, where), read_only, "mount")


def _read_only(options: str, text: str, where: str) -> bool:
    chosen = set()
    for option in options.split(","):
        if option in ("ro", "rw"):
            chosen.add(option)
        elif option not in WITHOUT_EFFECT:
            raise ProjectError(
                "project.volume",
                f"{option!r} in {text!r} is not a mount option that bareboat has",
                where=where,
                hint="Allowed are ro and rw.",
            )
    if len(chosen) == 2:
        raise ProjectError(
            "project.volume", f"{text!r} says both ro and rw", where=where, hint="Keep one of them."
        )
    return "ro" in chosen


def host_path(text: str, folder: Path, where: str) -> Path:
    """An absolute path of this machine. ~ is the home directory; ".." is resolved as text, links are kept."""
    if not text or "\0" in text:
        raise ProjectError(
            "project.path", "an empty path, or one with a NUL character, is no path", where=where
        )
    path = Path(text)
    if text == "~" or text.startswith("~/"):
        try:
            path = path.expanduser()
        except RuntimeError:
            raise ProjectError(
                "project.path",
                f"{text!r} means the home directory, and there is none",
                where=where,
                hint="Write an absolute path.",
            ) from None
    return Path(posixpath.normpath(folder / path))


def target_path(text: str, where: str) -> str:
    """A target as a canonical absolute path inside. Raises ProjectError "project.mount-target"."""
    problem = ""
    if not text.startswith("/"):
        problem = "is not absolute"
    elif "\0" in text:
        problem = "has a NUL character"
    elif ".." in text.split("/"):
        problem = "has '..' in it"
    target = "/" + posixpath.normpath("/" + text.lstrip("/")).lstrip("/")
    if not problem and target == "/":
        problem = "is the root of the image"
    if not problem and any(target == made or target.startswith(made + "/") for made in RESERVED):
        problem = "is in a directory that the container makes itself"
    if problem:
        raise ProjectError(
            "project.mount-target",
            f"the target {text!r} {problem}",
            where=where,
            hint="Name an absolute path inside, such as /data/more, outside /proc, /dev and /sys.",
        )
    return target


def stacked(mounts: list[ProjectMount], where: str) -> tuple[ProjectMount, ...]:
    """Mounts in the order to make them, parents before what is inside them.

    Raises ProjectError "project.mount-clash" for two different mounts at one target; equal ones become one.
    """
    by_target: dict[str, ProjectMount] = {}
    for mount in mounts:
        other = by_target.setdefault(mount.target, mount)
        if (other.source, other.read_only) != (mount.source, mount.read_only):
            raise ProjectError(
                "project.mount-clash",
                f"{other.source} ({other.kind}) and {mount.source} ({mount.kind}) "
                f"are both to be mounted at {mount.target}",
                where=where,
                hint="Give one of them another target.",
            )
    return tuple(sorted(by_target.values(), key=lambda mount: mount.target.count("/")))

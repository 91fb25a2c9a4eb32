"""Mount targets, and the -v grammar: "source:target[:ro|rw]", meaning what it means to Docker.

--mount and --tmpfs are in mounts.py.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from bareboat.errors import ProjectError
from bareboat.project.values import ProjectMount

GRAMMAR = "SOURCE:TARGET[:ro], NAME:TARGET[:ro] or TARGET, with an absolute TARGET"
RESERVED = (
    "/proc",
    "/dev",
    "/sys",
)  # made by the engine; a mount over them would hide or lend the machine's own
# Docker's, accepted: labels of SELinux, macOS's caches, and the propagation that holds anyway
WITHOUT_EFFECT = ("z", "Z", "cached", "delegated", "consistent", "private", "rprivate")
PROPAGATIONS = ("shared", "rshared", "slave", "rslave")
NOWHERE = Path()  # the source of what is not of the host's
NAME_LENGTH = 63
_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_LETTERS = _FIRST | frozenset("_.-")


def parse_volume(text: str, folder: Path, *, where: str = "-v") -> ProjectMount:
    """A -v value as a mount, read-write unless "ro" says otherwise. Pure: the source need not exist.

    folder: what a relative source ("./data", "../data", ".") is relative to. Raises ProjectError
    "project.volume" when the text is not of the grammar, "project.volume-name" for what is neither a path nor a
    volume's name, "project.mount-target" for a target that cannot be.
    """
    parts = text.split(":")
    if len(parts) > 3:
        raise ProjectError(
            "project.volume",
            f"{text!r} has more than two colons",
            where=where,
            hint="A path with a colon needs --mount type=bind,source=…,target=…, or a table in the project file.",
        )
    if len(parts) == 1 and text.startswith("/"):
        return ProjectMount(NOWHERE, target_path(text, where), False, "anonymous")
    if len(parts) == 1 or not parts[0] or not parts[1] or parts[1] in ("ro", "rw"):
        raise ProjectError("project.volume", f"{text!r} is not {GRAMMAR}", where=where)
    source, target = parts[0], parts[1]
    options = _options(parts[2], text, where) if len(parts) == 3 else frozenset()
    read_only = "ro" in options
    if not is_path(source):
        name = volume_name(source, where)
        return ProjectMount(NOWHERE, target_path(target, where), read_only, "volume", name, "nocopy" not in options)
    if "nocopy" in options:
        raise ProjectError("project.volume", f"nocopy in {text!r} is for volumes, and {source} is a path", where=where,
                           hint="Leave it out: nothing is copied into a path.")
    return ProjectMount(host_path(source, folder, where), target_path(target, where), read_only, "mount")


def is_path(source: str) -> bool:
    """Whether a source of -v is a path of this machine, and not the name of a volume."""
    return source in (".", "..", "~") or source.startswith(("/", "~/", "./", "../"))


def volume_name(text: str, where: str) -> str:
    """A volume's name: a letter or digit, then letters, digits and _ . -, 63 in all. It becomes the name of a
    directory. Raises ProjectError "project.volume-name".
    """
    if 0 < len(text) <= NAME_LENGTH and text[0] in _FIRST and _LETTERS.issuperset(text):
        return text
    raise ProjectError(
        "project.volume-name",
        f"{text[:80]!r} is neither a path nor the name of a volume",
        where=where,
        hint=f"For a directory beside you write ./{text[:80]}; a name has letters, digits and _ . -, at most "
        f"{NAME_LENGTH}, and begins with a letter or digit.",
    )


def _options(options: str, text: str, where: str) -> frozenset[str]:
    chosen = set()
    for option in options.split(","):
        if option in ("ro", "rw", "nocopy"):
            chosen.add(option)
        elif option in PROPAGATIONS:
            raise propagation(option, where)
        elif option not in WITHOUT_EFFECT:
            raise ProjectError(
                "project.volume",
                f"{option!r} in {text!r} is not a mount option that bareboat has",
                where=where,
                hint="Allowed are ro, rw, and nocopy for volumes.",
            )
    if {"ro", "rw"} <= chosen:
        raise ProjectError(
            "project.volume", f"{text!r} says both ro and rw", where=where, hint="Keep one of them."
        )
    return frozenset(chosen)


def propagation(option: str, where: str) -> ProjectError:
    """The error of a propagation by which later mounts would pass between a container and its host."""
    return ProjectError(
        "project.propagation",
        f"{option} would carry mounts made later from the host to the container or back, which no user can grant",
        where=where,
        hint="Leave it out; mounts that are below the source at the start are there inside.",
    )


def host_path(text: str, folder: Path, where: str) -> Path:
    """An absolute path of this machine. ~ is the home directory; ".." is resolved as text, links are kept."""
    if not text or "\0" in text:
        raise ProjectError(
            "project.path", "an empty path, or one with a NUL character, is no path", where=where,
            hint="Name a file or directory.",
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
        if other is not mount and _what(other) != _what(mount):
            raise ProjectError(
                "project.mount-clash",
                f"{shown(other)} and {shown(mount)} are both to be mounted at {mount.target}",
                where=where,
                hint="Give one of them another target.",
            )
    return tuple(sorted(by_target.values(), key=lambda mount: mount.target.count("/")))


def _what(mount: ProjectMount) -> tuple[object, ...]:
    kind = mount.kind if mount.source == NOWHERE else ""  # one folder may be code and a mount at once
    return mount.source, mount.read_only, kind, mount.name, mount.size, mount.mode, mount.programs


def shown(mount: ProjectMount) -> str:
    """A mount in an error's words."""
    if mount.kind == "volume":
        return f"the volume {mount.name}"
    return {"anonymous": "an anonymous volume", "tmpfs": "a tmpfs"}.get(mount.kind, f"{mount.source} ({mount.kind})")

"""--mount and --tmpfs as Docker reads them; what cannot be kept is refused with the reason. Pure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bareboat.errors import ProjectError, UsageError
from bareboat.project.values import ProjectMount
from bareboat.project.volumes import NOWHERE, PROPAGATIONS, host_path, is_path, propagation, target_path, volume_name
from bareboat.units import parse_size
from bareboat.values import Any

GRAMMAR = "type=bind|volume|tmpfs,source=…,target=…[,readonly]"
TYPES = ("bind", "volume", "tmpfs")
# strconv.ParseBool's, which Docker reads flags by
_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_ALONE = ("readonly", "volume-nocopy", "bind-nonrecursive")
_REFUSED = {
    "volume-driver": "volumes are directories of this user's store: there is no driver to choose",
    "volume-opt": "volumes are directories of this user's store: there is nothing that options would set",
    "volume-label": "labels are given when a volume is made: bareboat volume create --label",
    "volume-subpath": "a volume is mounted as a whole",
    "image-subpath": "images are not mounted",
    "bind-nonrecursive": "what is mounted below the source comes along",
}
_TMPFS_FLAGS = ("rw", "nosuid", "nodev", "noexec", "ro", "exec")


def parse_mount(text: str, folder: Path, *, where: str = "--mount") -> ProjectMount:
    """A --mount value: a line of CSV, key=value each. folder: as for parse_volume. Pure.

    Raises ProjectError "project.mount" where it is not of the grammar, "project.mount-option" for what is Docker's and
    not kept here, "project.volume-name", "project.mount-target", "project.propagation", "project.path".
    """
    said = _said(text, where)
    kind = said.get("type", "volume").lower()
    if kind not in TYPES:
        raise ProjectError("project.mount", f"{kind!r} is no type of mount that bareboat has", where=where,
                           hint=f"It is one of {', '.join(TYPES)}; volume without a type, as in Docker.")
    for key, reason in _REFUSED.items():
        if key in said and not (key == "volume-driver" and said[key] == "local") and said[key] not in _FALSE:
            raise ProjectError("project.mount-option", f"{key} is not to be had: {reason}", where=where,
                               hint="Leave it out.")
    for key in said:
        family = key.partition("-")[0]
        if family in TYPES and family != kind:
            raise ProjectError("project.mount", f"{key} is not for a mount of type {kind}", where=where,
                               hint=f"Write type={family}, or leave it out.")
    if not said.get("target"):
        raise ProjectError("project.mount", f"{text!r} has no target", where=where, hint=f"Write {GRAMMAR}.")
    target = target_path(said["target"], where)
    read_only = _flag(said, "readonly", where)
    return _MAKE[kind](said, folder, ProjectMount(NOWHERE, target, read_only, kind), where)


def _said(text: str, where: str) -> dict[str, str]:
    """Key → value, keys in lower case and by one name, the last one wins."""
    found: dict[str, str] = {}
    for field in _fields(text, where):
        key, equals, value = field.partition("=")
        key = _NAMES.get(key.lower(), key.lower())
        if not equals:
            if key not in _ALONE:
                raise ProjectError("project.mount", f"{field!r} in {text!r} is not KEY=VALUE", where=where,
                                   hint=f"Write {GRAMMAR}.")
            value = "true"
        if key not in _KEYS:
            from difflib import get_close_matches

            near = get_close_matches(key, [*_KEYS, *_NAMES], 1)
            raise ProjectError("project.mount", f"there is no {key!r} in a mount", where=where,
                               hint=f"Did you mean {near[0]}?" if near else f"Write {GRAMMAR}.")
        found[key] = value
    return found


def _fields(text: str, where: str) -> list[str]:
    """The fields of one line of CSV (RFC 4180): one with a comma or a quote in it stands in double quotes."""
    import csv

    if "\n" in text or "\r" in text:
        raise ProjectError("project.mount", f"{text!r} is not one line", where=where, hint=f"Write {GRAMMAR}.")
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as wrong:
        raise ProjectError("project.mount", f"{text!r} is not a line of comma-separated fields: {wrong}", where=where,
                           hint='A field with a comma stands in double quotes: \'"source=/a,b"\'.') from None
    return rows[0]


def _flag(said: dict[str, str], key: str, where: str) -> bool:
    value = said.get(key, "false")
    if value not in (*_TRUE, *_FALSE):
        raise ProjectError("project.mount", f"{key} is {value!r}", where=where, hint="Write true or false.")
    return value in _TRUE


def _bind(said: dict[str, str], folder: Path, mount: ProjectMount, where: str) -> ProjectMount:
    source = said.get("source", "")
    if not source:
        raise ProjectError("project.mount", "a bind has no source", where=where, hint=f"Write {GRAMMAR}.")
    if not is_path(source):
        raise ProjectError("project.mount", f"the source {source!r} of a bind is no path", where=where,
                           hint=f"Write ./{source} for what is beside you, or type=volume for a volume.")
    asked = said.get("bind-propagation", "rprivate")
    if asked in PROPAGATIONS:
        raise propagation(asked, where)
    if asked not in ("private", "rprivate"):
        raise ProjectError("project.mount", f"bind-propagation is {asked!r}", where=where, hint="Leave it out.")
    recursive = said.get("bind-recursive", "enabled")
    if recursive not in ("enabled", "readonly"):
        raise ProjectError("project.mount-option", f"bind-recursive={recursive} is not to be had: what is mounted below"
                           " the source comes along, read-only where the mount is", where=where, hint="Leave it out.")
    from bareboat.values import replace

    return replace(mount, source=host_path(source, folder, where), kind="mount")


def _volume(said: dict[str, str], folder: Path, mount: ProjectMount, where: str) -> ProjectMount:
    from bareboat.values import replace

    copy = not _flag(said, "volume-nocopy", where)
    if said.get("source"):
        return replace(mount, name=volume_name(said["source"], where), copy=copy)
    if mount.read_only:
        raise ProjectError("project.mount", "a volume that is new and thrown away cannot be read-only", where=where,
                           hint="Name it, or leave out readonly.")
    return replace(mount, kind="anonymous", copy=copy)


def _tmpfs(said: dict[str, str], folder: Path, mount: ProjectMount, where: str) -> ProjectMount:
    if "source" in said:
        raise ProjectError("project.mount", "a tmpfs has no source", where=where, hint="Leave out source.")
    from bareboat.values import replace

    size, mode = said.get("tmpfs-size"), said.get("tmpfs-mode")
    return replace(mount, size=None if size is None else _size(size, where),
                   mode=mount.mode if mode is None else _mode(mode, where))


_MAKE: dict[str, Callable[[dict[str, str], Path, ProjectMount, str], ProjectMount]] = {
    "bind": _bind, "volume": _volume, "tmpfs": _tmpfs}
_KEYS = ("type", "source", "target", "readonly", "consistency", "bind-propagation", "bind-recursive",
         "volume-nocopy", "tmpfs-size", "tmpfs-mode", *_REFUSED)


def parse_tmpfs(text: str, *, where: str = "--tmpfs") -> ProjectMount:
    """A --tmpfs value, TARGET[:OPTIONS] with mount's options. Pure. Raises ProjectError "project.tmpfs",
    "project.mount-target".
    """
    target, _, options = text.partition(":")
    mount = ProjectMount(NOWHERE, target_path(target, where), False, "tmpfs")
    size, mode, flags = mount.size, mount.mode, set()
    for option in options.split(",") if options else ():
        key, equals, value = option.partition("=")
        if equals and key == "size":
            size = _size(value, where)
        elif equals and key == "mode":
            mode = _mode(value, where)
        elif option in _TMPFS_FLAGS:
            flags.add(option)
            flags -= {"rw", "ro"} - {option} if option in ("rw", "ro") else set()
            flags -= {"exec", "noexec"} - {option} if option in ("exec", "noexec") else set()
        else:
            why = " (it belongs to the container's user)" if key in ("uid", "gid") else ""
            raise ProjectError("project.tmpfs", f"{option!r} is not an option of a tmpfs that bareboat has{why}",
                               where=where, hint=f"Allowed are size=SIZE, mode=OCTAL, {', '.join(_TMPFS_FLAGS)}.")
    from bareboat.values import replace

    return replace(mount, read_only="ro" in flags, size=size, mode=mode, programs="exec" in flags)


def of_table(table: dict[str, Any], where: str) -> ProjectMount:
    """A volume or tmpfs of the project file's mounts, whose table has been checked. Raises ProjectError as above."""
    kind, source, read_only = table.get("type", "bind"), table.get("source"), table.get("read-only", False)
    mount = ProjectMount(NOWHERE, target_path(table["target"], f"{where}.target"), read_only, kind)
    for key in ("size", "mode"):
        if key in table and kind != "tmpfs":
            raise ProjectError("project.mount", f"{key} is for a tmpfs", where=where, hint='Write type = "tmpfs".')
    said = {} if source is None else {"source": str(source)}
    said |= {f"tmpfs-{key}": str(table[key]) for key in ("size", "mode") if key in table}
    said |= {"readonly": "true"} if read_only else {}
    return _MAKE[kind](said, NOWHERE, mount, where)


def _size(text: str, where: str) -> int | None:
    """Bytes; 0 is Docker's word for no bound of its own."""
    try:
        return parse_size(text) or None
    except UsageError as wrong:
        raise ProjectError("project.tmpfs", f"size: {wrong.what}", where=where, hint=wrong.hint) from None


def _mode(text: str, where: str) -> int:
    if not 0 < len(text) <= 5 or not frozenset("01234567").issuperset(text) or int(text, 8) > 0o1777:
        raise ProjectError("project.tmpfs", f"{text!r} is no mode of a directory", where=where,
                           hint="Write octal digits, as 1777 or 700.")
    return int(text, 8)

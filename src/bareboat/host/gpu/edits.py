"""From the edits of CDI devices to what a sandbox does for them. No hook is ever run.

A hook of NVIDIA's would run outside, for a container whose files and variables an image chose (CVE-2025-23266 took a
host by LD_PRELOAD). What these hooks do is little, and is done by us inside the thin layer: links are made, and the
loader's cache is written anew.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path

from bareboat.host.gpu.cdi import BindMount, Edits, Hook, Node, Spec, wrong
from bareboat.host.gpu.driver import check_access
from bareboat.values import dataclass
from bareboat.workload import Device, Driver, Mount

_PROGRAMS = ("nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-toolkit")
# What has no meaning here: /dev is a new one whose directories anybody may enter and whose nodes nobody can change, and
# the driver's own libraries are those that fit its kernel module.
_NOTHING = ("chmod", "disable-device-node-modification", "enable-cuda-compat", "update-nvidia-params",
            "update-application-profile", "check-requirements")


@dataclass(frozen=True)
class Merged:
    """The needs of all devices granted, each once. notes: what is not done for them, for the user."""

    driver: Driver
    notes: tuple[str, ...] = ()


def merge(chosen: Iterable[tuple[Spec, str]]) -> Merged:
    """Devices by spec and name → what they need, the specs' common edits first. Looks at the host's files.

    Raises EngineError "gpu.cdi-node", "gpu.cdi-mount" where what a spec names is not there, "gpu.cdi-clash".
    """
    found = _Collected()
    begun: list[Spec] = []
    for spec, name in chosen:
        if spec not in begun:
            begun.append(spec)
            found.add(spec.edits, spec, "containerEdits")
        number, device = next((n, d) for n, d in enumerate(spec.devices) if d.name == name)
        found.add(device.edits, spec, f"devices[{number}].containerEdits")
    return found.merged()


class _Collected:
    """Edits as they come together: by target inside, so that what is named twice is there once."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.mounts: dict[str, BindMount] = {}
        self.env: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.folders: list[str] = []
        self.notes: list[str] = []

    def add(self, edits: Edits, spec: Spec, key: str) -> None:
        for number, node in enumerate(edits.nodes):
            where = f"{key}.deviceNodes[{number}]"
            _check_node(node, spec, where)
            if self.nodes.setdefault(node.inside, node.host) != node.host:
                raise wrong(spec.file, where, f"and another both stand for {node.inside}")
        for number, mount in enumerate(edits.mounts):
            where = f"{key}.mounts[{number}]"
            if not os.path.exists(mount.host):
                raise wrong(spec.file, f"{where}.hostPath", f"is not there: {mount.host}; the file may be of an older "
                            "driver")
            other = self.mounts.setdefault(mount.inside, mount)
            if other.host != mount.host:
                raise wrong(spec.file, where, f"and another both stand for {mount.inside}")
        self.env.update(edits.env)
        for hook in edits.hooks:
            self.hook(hook, spec)

    def hook(self, hook: Hook, spec: Spec) -> None:
        name, options = _meaning(hook)
        if name == "create-symlinks":
            for text in options.get("link", ()):
                target, colons, link = text.partition("::")
                if not colons or not target or not link.startswith("/") or ".." in link.split("/"):
                    raise wrong(spec.file, f"{hook.key}.args", f"has a link that is not TARGET::/PATH: {text[:200]!r}")
                self.links[posixpath.normpath(link)] = target
        elif name in ("update-ldcache", "create-soname-symlinks"):
            for folder in options.get("folder", ()):
                if not folder.startswith("/") or ".." in folder.split("/"):
                    raise wrong(spec.file, f"{hook.key}.args", f"has a folder that is not absolute: {folder[:200]!r}")
                self.folders.append(posixpath.normpath(folder))
        elif name not in _NOTHING:
            self.notes.append(f"{spec.file} asks for a hook that is not run: {name or hook.program}")

    def merged(self) -> Merged:
        libraries = tuple(_libraries(self.mounts.values(), self.links, self.folders))
        links = dict(self.links)
        for name, path in libraries:  # as ldconfig leaves them, for programs that look for files
            link = posixpath.join(posixpath.dirname(path), name)
            if link != path:
                links.setdefault(link, posixpath.basename(path))
        driver = Driver(
            tuple(Device(Path(host), inside) for inside, host in self.nodes.items()),
            tuple(Mount(Path(m.host), m.inside, m.read_only) for m in self.mounts.values()),
            tuple((link, target) for link, target in links.items() if link not in self.mounts),
            libraries, tuple(self.env.items()))
        return Merged(driver, tuple(dict.fromkeys(self.notes)))


def _check_node(node: Node, spec: Spec, key: str) -> None:
    try:
        mode = os.stat(node.host).st_mode
    except OSError as e:
        raise wrong(spec.file, f"{key}.hostPath", f"is not there: {node.host} ({e.strerror}); the file may be of "
                    "another machine, or the driver is not loaded") from None
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        raise wrong(spec.file, f"{key}.hostPath", f"is no device node: {node.host}")
    check_access(Path(node.host))


def _meaning(hook: Hook) -> tuple[str, dict[str, list[str]]]:
    """The subcommand of a hook of NVIDIA's and its options; "" for a program that is not known."""
    if posixpath.basename(hook.program) not in _PROGRAMS:
        return "", {}
    words = [word for word in hook.args[1:] if word != "hook"]
    options: dict[str, list[str]] = {}
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options.setdefault(name, []).append(value if equals else next(rest, ""))
    return (words[0] if words else ""), options


def _libraries(mounts: Iterable[BindMount], links: dict[str, str], folders: list[str]) -> Iterable[tuple[str, str]]:
    """Sonames and where they lie inside: of mounted libraries in the folders named, of all where none is named."""
    from bareboat.host.gpu.elf import soname_of
    from bareboat.image.ldcache import is_library

    for mount in mounts:
        folder, name = posixpath.split(mount.inside)
        if is_library(name) and (not folders or folder in folders):
            soname = soname_of(Path(mount.host))
            if soname:
                yield soname, mount.inside
    for link in links:
        folder, name = posixpath.split(link)
        if is_library(name) and folder in folders:
            yield name, link

"""Named volumes: directories that belong to their user, go only when they are told to, and are never collected.

    volumes/NAME/data     what is in it, mounted as it is
    volumes/NAME/about    when it was made, its labels, what filled it

A process that uses one holds a lease on the key "volume:NAME"; one that is leased is not removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from bareboat.errors import StoreError
from bareboat.host.files import fsync_directory, remove_tree
from bareboat.store.atomic import write_file
from bareboat.store.disk_errors import disk_error
from bareboat.store.leases import Leases, leased_keys
from bareboat.store.locks import making, store_lock
from bareboat.store.paths import Layout, check_volume
from bareboat.store.scratch import Scratch
from bareboat.values import dataclass

KEY = "volume:"


@dataclass(frozen=True)
class Volume:
    """A named volume. data: its directory; created: ISO 8601 UTC; filled: what its first files came from."""

    name: str
    data: Path
    created: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    filled: str = ""


class Volumes:
    """The volumes of one store."""

    def __init__(self, layout: Layout, leases: Leases) -> None:
        self._layout, self._leases = layout, leases

    def find(self, name: str) -> Volume | None:
        """The volume, or None; leased until the store is closed. Raises StoreError store.bad-name."""
        check_volume(name)
        self._leases.keep(KEY + name)
        return self._read(name)

    def names(self) -> list[str]:
        """Every name, sorted."""
        try:
            return sorted(n for n in os.listdir(self._layout.at("volumes")) if os.path.isdir(self._data(n)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise disk_error(error, self._layout.at("volumes")) from error

    def all(self) -> list[Volume]:
        """Every volume, by name; nothing is leased."""
        return [found for name in self.names() if (found := self._read(name)) is not None]

    def make(self, name: str, labels: Mapping[str, str], created: str,
             fill: Callable[[str], str] = lambda data: "") -> Volume:
        """The volume, made where it is not there; find() leases it. fill: puts first files into a new directory, or
        into an empty one that nobody else uses, and says what from. Atomic; one maker at a time by name.
        """
        try:
            with making(self._layout, KEY + check_volume(name)):
                found = self._read(name)
                idle = found is None or (not os.listdir(found.data) and name not in self.used())
                if found is not None and not idle:
                    return found
                return self._filled(found or Volume(name, Path(self._data(name)), created, tuple(labels.items())), fill)
        except OSError as error:
            raise disk_error(error, self._data(name)) from error

    def _filled(self, volume: Volume, fill: Callable[[str], str]) -> Volume:
        folder = self._layout.at("volumes", volume.name)
        with Scratch(self._layout, "volume") as scratch:
            data = f"{scratch.path}/data"
            os.mkdir(data, 0o755)
            filled = fill(data)
            found = Volume(volume.name, volume.data, volume.created, volume.labels, filled or volume.filled)
            about = {"created": found.created, "labels": dict(found.labels), "filled": found.filled}
            os.makedirs(self._layout.at("volumes"), 0o700, exist_ok=True)
            if os.path.isdir(self._data(volume.name)):
                if filled:
                    os.rename(data, self._data(volume.name))  # onto an empty directory
                    _write(self._layout, f"{folder}/about", about)
                return found
            remove_tree(folder)  # what a crash left of one
            _write(self._layout, f"{scratch.path}/about", about)
            os.rename(scratch.path, folder)
        fsync_directory(self._layout.at("volumes"))
        return found

    def remove(self, name: str) -> None:
        """Remove a volume with all that is in it. Raises StoreError volume.missing, volume.in-use. What could not be
        removed to the end is gc's.
        """
        check_volume(name)
        aside = self._layout.at("tmp", f"gone-{os.urandom(8).hex()}")
        try:
            with store_lock(self._layout, exclusive=True):
                if not os.path.isdir(self._layout.at("volumes", name)):
                    raise StoreError("volume.missing", f"there is no volume {name!r}",
                                     hint="bareboat volume ls shows those there are")
                if KEY + name in leased_keys(self._layout, remove=False):
                    raise StoreError("volume.in-use", f"the volume {name!r} is in use", hint="stop what uses it first")
                os.rename(self._layout.at("volumes", name), aside)
            remove_tree(aside)
        except OSError as error:
            raise disk_error(error, self._layout.at("volumes", name)) from error

    def used(self) -> set[str]:
        """The names that a living process holds."""
        with store_lock(self._layout, exclusive=True):
            keys = leased_keys(self._layout, remove=False)
        return {key.removeprefix(KEY) for key in keys if key.startswith(KEY)}

    def _data(self, name: str) -> str:
        return self._layout.at("volumes", name, "data")

    def _read(self, name: str) -> Volume | None:
        if not os.path.isdir(self._data(name)):
            return None
        try:
            with open(self._layout.at("volumes", name, "about"), "rb") as file:
                about = json.loads(file.read(1 << 20))
            labels = tuple((str(k), str(v)) for k, v in about["labels"].items())
            return Volume(name, Path(self._data(name)), str(about["created"]), labels, str(about["filled"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Volume(name, Path(self._data(name)))  # its files are what counts


def _write(layout: Layout, path: str, about: Mapping[str, object]) -> None:
    write_file(layout, path, (json.dumps(about, sort_keys=True).encode(),))

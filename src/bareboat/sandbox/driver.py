"""What a GPU's driver needs in the thin layer besides its mounts: links, and a cache in which the loader finds it.

This is what the hooks of NVIDIA's container toolkit do; here it happens inside the root alone, through descriptors,
with nothing of the image's being run or believed.
"""

from __future__ import annotations

import os

from bareboat.image import ldcache
from bareboat.sandbox import root as roots
from bareboat.values import dataclass
from bareboat.workload import Driver

CACHE = b"/etc/ld.so.cache"
_LARGEST = 64 << 20  # bytes of an image's cache; a distribution with everything has 300 kB


@dataclass(frozen=True)
class Made:
    """Links by path, and the libraries that the cache is to name first, of this architecture."""

    links: tuple[tuple[bytes, bytes], ...]
    libraries: tuple[tuple[str, str], ...]
    architecture: str

    @property
    def paths(self) -> tuple[bytes, ...]:
        """What is made."""
        return (*(link for link, _ in self.links), CACHE)


def made(driver: Driver) -> Made:
    """What is to be made for a driver; asked for before the sandbox is, since it imports."""
    from bareboat.host.kernel import platform

    return Made(tuple((os.fsencode(link), os.fsencode(target)) for link, target in driver.links), driver.libraries,
                platform().partition("/")[2])


def furnish(wanted: Made, root: roots.Root) -> None:
    """Make the links and write the cache: of what the image's own says, and the driver's libraries before it."""
    for link, target in wanted.links:
        roots.link(root, link, target)
    if wanted.libraries and wanted.architecture in ldcache.ARCHITECTURES:
        cache = roots.read(root, CACHE, _LARGEST)
        roots.write(root, CACHE, ldcache.merged(cache, wanted.libraries, wanted.architecture))

"""What a library of the host's calls itself."""

from __future__ import annotations

from pathlib import Path


def soname_of(library: Path) -> str:
    """Its DT_SONAME; "" for what is no ELF file of this machine's own architecture, or has none."""
    import mmap

    from bareboat.host.kernel import platform
    from bareboat.image import ldcache

    try:
        with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if not ldcache.is_native(data[:20], platform().partition("/")[2]):
                return ""
            name = ldcache.soname(data)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError):
        return ""
    return name if "/" not in name else ""

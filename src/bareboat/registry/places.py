"""Where an image comes from or goes to, as people write it: a reference, docker://, oci:, docker-daemon:. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bareboat.errors import UsageError
from bareboat.image.reference import Reference, is_digest, parse_reference

REGISTRY, LAYOUT, DAEMON, ARCHIVE = "registry", "oci", "docker-daemon", "archive"
OTHERS = ("docker-archive:", "oci-archive:", "dir:", "containers-storage:", "ostree:", "sif:", "http://", "https://")


@dataclass(frozen=True)
class Place:
    """One image somewhere. kind: "registry", "oci" (a layout directory, path absolute), "docker-daemon" or "archive",
    which was read once and is known by digest alone.

    reference: of a registry or the daemon; wanted: the digest or tag there, "" where a layout's only image is meant.
    """

    kind: str
    reference: Reference | None = None
    path: str = ""
    wanted: str = ""

    def __str__(self) -> str:
        """Complete: parse_place gives this place back, in whatever directory."""
        if self.kind == LAYOUT:
            joint = "@" if is_digest(self.wanted) else ":"
            return f"oci:{self.path}{joint}{self.wanted}" if self.wanted else f"oci:{self.path}"
        if self.kind == ARCHIVE:
            return f"archive:{self.wanted}"
        return f"docker-daemon:{self.reference}" if self.kind == DAEMON else str(self.reference)

    @property
    def label(self) -> str:
        """The name that an image from here gets in the store: of a layout its directory's with the tag. "" for one that
        has no tag, or whose directory's name cannot be one.
        """
        if self.reference is not None:
            return self.reference.short
        if self.kind != LAYOUT or not self.wanted or is_digest(self.wanted):
            return ""
        try:
            return parse_reference(f"{os.path.basename(self.path).lower()}:{self.wanted}").short
        except UsageError:
            return ""


def parse_place(text: str) -> Place:
    """Words of a command line as a place. Raises UsageError "reference.malformed", "reference.transport"."""
    if text.startswith("oci:"):
        return _layout(text[4:])
    if text.startswith("archive:") and is_digest(text[8:]):
        return Place(ARCHIVE, wanted=text[8:])
    if text.startswith("docker-daemon:"):
        reference = parse_reference(text[len("docker-daemon:"):])
        return Place(DAEMON, reference, wanted=reference.wanted)
    for other in OTHERS:
        if text.startswith(other):
            hint = "for an archive: bareboat load -i FILE" if "archive" in other else \
                "write HOST/REPOSITORY:TAG, docker://…, oci:DIR:TAG or docker-daemon:NAME"
            raise UsageError("reference.transport", f"{other.rstrip(':/')} is not a place for images here",
                             where=text[:200], hint=hint)
    reference = parse_reference(text.removeprefix("docker://"))
    return Place(REGISTRY, reference, wanted=reference.wanted)


def _layout(rest: str) -> Place:
    path, at, digest = rest.rpartition("@")
    if at and is_digest(digest):
        return Place(LAYOUT, path=_absolute(path, rest), wanted=digest)
    path, colon, tag = rest.rpartition(":")
    if colon and "/" not in tag and tag:
        return Place(LAYOUT, path=_absolute(path, rest), wanted=tag)
    return Place(LAYOUT, path=_absolute(rest.removesuffix(":"), rest))


def _absolute(path: str, text: str) -> str:
    if not path or "\0" in path:
        raise UsageError("reference.malformed", "there is no directory in it", where=f"oci:{text}"[:200],
                         hint="an OCI layout is named oci:DIR or oci:DIR:TAG")
    return os.path.abspath(path)

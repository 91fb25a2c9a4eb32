"""Names of images: HOST/REPOSITORY:TAG@DIGEST as distribution-spec 1.1 and Docker's own grammar have them. Pure."""

from __future__ import annotations

import re

from bareboat.errors import UsageError
from bareboat.values import dataclass

DOCKER_HUB = "docker.io"
MOST = 255  # characters of a repository with its host (distribution-spec, "Pulling manifests")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
                   r"|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True)
class Reference:
    """registry: host and port ("docker.io", "localhost:5000"); tag or digest, or both; "" where none is said."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Complete and unambiguous: what a lock and a record keep."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def wanted(self) -> str:
        """What a manifest is asked for by: the digest where there is one, else the tag."""
        return self.digest or self.tag

    @property
    def short(self) -> str:
        """As people write it: without docker.io/ and library/."""
        name = self.name.removeprefix(f"{DOCKER_HUB}/").removeprefix("library/") if self.registry == DOCKER_HUB \
            else self.name
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """A reference as people write it: "python:3.12", "ghcr.io/lab/seg:1", "host:5000/x@sha256:…".

    Without a host it is Docker Hub's, without tag and digest it is :latest. Raises UsageError "reference.malformed".
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _malformed(text, f"{digest[:80]!r} is no digest: sha256: and 64 hex digits")
    first, slash, more = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, rest = first, more
        if not _HOST.fullmatch(registry):
            raise _malformed(text, f"{registry!r} is no host name")
    else:
        registry = DOCKER_HUB
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER_HUB
    repository, colon, tag = rest.rpartition(":")
    if not colon:
        repository, tag = rest, ""
    if colon and not _TAG.fullmatch(tag):
        raise _malformed(text, f"{tag!r} is no tag: letters, digits and . _ -, at most 128")
    if registry == DOCKER_HUB and repository and "/" not in repository:
        repository = f"library/{repository}"
    if not _REPOSITORY.fullmatch(repository) or len(registry) + 1 + len(repository) > MOST:
        hint = " (repositories are lower case)" if repository != repository.lower() else ""
        raise _malformed(text, f"{repository!r} is no repository{hint}")
    if not tag and not digest:
        tag = "latest"
    return Reference(registry.lower(), repository, tag, digest)


def is_digest(text: object) -> bool:
    """Whether this is a digest that may be used: sha256 or sha512 with the right number of lower-case hex digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def _malformed(text: str, what: str) -> UsageError:
    return UsageError("reference.malformed", what, where=text[:200],
                      hint="an image is named HOST/REPOSITORY:TAG, as in ghcr.io/lab/seg:1 or python:3.12-slim")

"""Platforms as people write them: a word, or several with commas, to image-spec's os/architecture[/variant]. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bareboat.errors import UsageError

_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"}
_USUAL = {"amd64": "v1", "arm64": "v8"}  # the variant that an architecture without one means (choose)
ARCHITECTURES = ("amd64", "arm64", "arm", "386", "ppc64le", "riscv64", "s390x", "mips64le", "loong64")
BUILT = ("linux/amd64", "linux/arm64")  # what environments are locked and assembled for


def parse_platform(text: str) -> str:
    """One platform, in the form that everything else compares. Raises UsageError "usage.platform"."""
    words = text.strip().lower().split("/")
    if len(words) == 1:
        words = ["linux", *words]
    system, architecture, *rest = words
    architecture = _ALIASES.get(architecture, architecture)
    variant = rest[0] if rest else ""
    if variant == _USUAL.get(architecture):
        variant = ""
    if system != "linux" or architecture not in ARCHITECTURES or len(rest) > 1 or (rest and not _is_variant(rest[0])):
        raise UsageError("usage.platform", f"{text!r} is no platform", where="--platform",
                         hint="as linux/amd64 or linux/arm64")
    return "/".join(w for w in (system, architecture, variant) if w)


def parse_platforms(words: Iterable[str]) -> tuple[str, ...]:
    """Those of an option that may be given several times, with commas, each once; of those that images are built for.

    Raises UsageError "usage.platform".
    """
    found = tuple(dict.fromkeys(parse_platform(w) for text in words for w in text.split(",")))
    for platform in found:
        if platform not in BUILT:
            raise UsageError("usage.platform", f"environments are not made for {platform}", where="--platform",
                             hint=f"they are made for {' and '.join(BUILT)}")
    return found


def same_machine(first: str, second: str) -> bool:
    """Whether two platforms differ in their variant at most."""
    return first.split("/")[:2] == second.split("/")[:2]


def _is_variant(text: str) -> bool:
    return text[:1] == "v" and text.isascii() and text[1:].replace(".", "", 1).isdigit()

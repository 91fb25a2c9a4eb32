"""The inventory of an image: every package in it, from its plan and from what its files say. Pure.

Its forms, SPDX 2.3 and CycloneDX 1.6, are in spdx.py and cyclonedx.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from bareboat.image.plan import Plan
from bareboat.image.spec import CREATED
from bareboat.lock import BaseImage, Deb, Wheel
from bareboat.values import dataclass


@dataclass(frozen=True)
class Installed:
    """A package as a file of the image tells of it. kind: "deb", "pypi", "apk" or "conda"; path: of that file."""

    kind: str
    name: str
    version: str
    path: str
    architecture: str = ""


@dataclass(frozen=True)
class Component:
    """A package of an image. purl: its package URL; sha256: of the archive it came from, "" where that is not known.

    kind: as Installed has it, "oci" (the image it stands on) or "generic" (a CPython). source: where it was found or
    built from; paths: the files in the image that tell of it.
    """

    kind: str
    name: str
    version: str
    purl: str
    sha256: str = ""
    source: str = ""
    paths: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Unique within an inventory, and the same in every inventory that has the component."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.purl}#{self.sha256}"))


@dataclass(frozen=True)
class Inventory:
    """name: of the image; plan: its digest; created: ISO 8601 UTC; notes: what could not be listed."""

    name: str
    plan: str
    platform: str
    created: str
    components: tuple[Component, ...]
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """A UUID that is a function of the plan and of what was found."""
        told = "\n".join((self.plan, self.created, self.name, *(c.id for c in self.components), *self.notes))
        return str(uuid.uuid5(uuid.NAMESPACE_URL, told))


@dataclass(frozen=True)
class Told:
    """What the files of an image tell. system: its distribution's id, and code name or version, "" where not known."""

    packages: tuple[Installed, ...] = ()
    notes: tuple[str, ...] = ()
    system: tuple[str, str] = ("", "")


def inventory(plan: Plan, told: Told, name: str = "", created: str = "") -> Inventory:
    """Everything a plan installs, and what the files of its trees tell of besides; each package once, in order.

    created: instead of the date of the lock. What is locked and of which no file tells is noted, when they
    say anything at all.
    """
    table: dict[tuple[str, str, str, str], Component] = {}
    for component in _planned(plan):
        table[_identity(component.kind, component.name, component.version, _architecture(component, plan))] = component
    for one in told.packages:
        key = _identity(one.kind, one.name, one.version, one.architecture)
        known = table.get(key) or Component(one.kind, one.name, one.version, _purl_of(one, plan, told.system))
        if one.path not in known.paths:
            known = Component(**{**known.__dict__, "paths": (*known.paths, one.path)})
        table[key] = known
    components = sorted(table.values(), key=lambda c: (c.kind, c.name, c.version, c.purl))
    silent = [f"{c.name} {c.version} is locked, and no file of the image tells of it" for c in components
              if told.packages and not c.paths and c.kind not in ("oci", "generic")]
    return Inventory(name or plan.digest, plan.digest, plan.platform, moment(created or plan.date),
                     tuple(components), (*told.notes, *silent))


def moment(text: str) -> str:
    """A time of RFC 3339 in UTC and whole seconds; CREATED for what is none: others write the dates of their images."""
    import re
    from datetime import datetime, timezone

    parts = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?", text, re.ASCII)
    if parts is None:
        return CREATED
    try:
        zone = parts[2] or "Z"
        found = datetime.fromisoformat(parts[1] + ("+00:00" if zone == "Z" else zone)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return CREATED
    return found.replace(tzinfo=None).isoformat() + "Z"


def _planned(plan: Plan) -> Iterable[Component]:
    if plan.image is not None:
        yield _base(plan.image)
    if (cpython := plan.cpython) is not None:
        at = {"download_url": cpython.url, "checksum": f"sha256:{cpython.sha256}"}
        yield Component("generic", "cpython", cpython.version, _purl("generic", "", "cpython", cpython.version, at),
                        cpython.sha256, cpython.url)
    for deb in plan.debs:
        yield Component("deb", deb.name, deb.version, _deb_purl(plan, deb), deb.sha256, deb.path)
    for wheel in plan.wheels:
        yield Component("pypi", wheel.name, wheel.version, _purl("pypi", "", wheel.name, wheel.version, {}),
                        wheel.sha256, _source(wheel))


def _base(image: BaseImage) -> Component:
    """The image of others; one from a layout or file has no repository, and where it lay here is nobody's business."""
    from bareboat.errors import UsageError
    from bareboat.image.reference import parse_reference

    sha256 = image.manifest.removeprefix("sha256:")
    try:
        if image.reference.startswith(("oci:", "archive:", "docker-daemon:")):
            raise UsageError("reference.transport", "no registry")
        of = parse_reference(image.reference)
    except UsageError:
        return Component("oci", "image", image.manifest, _purl("oci", "", "image", image.manifest, {}), sha256)
    at = {"repository_url": of.name, **({"tag": of.tag} if of.tag else {})}
    name = of.repository.rpartition("/")[2]
    return Component("oci", of.name, image.manifest, _purl("oci", "", name, image.manifest, at), sha256, of.name)


def _source(wheel: Wheel) -> str:
    """Where a wheel came from, without user and password: a document is for others."""
    text = wheel.built_from or wheel.url
    head, sep, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{head}{sep}{authority.rpartition('@')[2]}{slash}{path}" if sep else text


def _deb_purl(plan: Plan, deb: Deb) -> str:
    return _purl("deb", plan.family, deb.name, deb.version, {"arch": deb.architecture, "distro": plan.suite})


def _purl_of(one: Installed, plan: Plan, system: tuple[str, str]) -> str:
    if one.kind not in ("deb", "apk"):
        return _purl(one.kind, "", one.name, one.version, {})
    name, version = (plan.family, plan.suite) if plan.image is None else system
    at = {"arch": one.architecture} if one.architecture else {}
    if version:
        at["distro"] = f"{name}-{version}" if version[:1].isdigit() else version
    return _purl(one.kind, name or {"deb": "debian", "apk": "alpine"}[one.kind], one.name, one.version, at)


def _purl(kind: str, space: str, name: str, version: str, qualifiers: dict[str, str]) -> str:
    """A package URL (purl-spec)."""
    from packageurl import PackageURL
    from packaging.utils import canonicalize_name

    name = canonicalize_name(name) if kind == "pypi" else name  # purl-spec's own rule leaves dots, the index does not
    return PackageURL(kind, space or None, name, version, qualifiers or None).to_string()


def _architecture(component: Component, plan: Plan) -> str:
    if component.kind != "deb":
        return ""
    return next((d.architecture for d in plan.debs if d.sha256 == component.sha256), "")


def _identity(kind: str, name: str, version: str, architecture: str) -> tuple[str, str, str, str]:
    """What makes two accounts of a package one: Python's names and versions have several spellings (PEP 503, 440)."""
    if kind != "pypi":
        return kind, name, version, architecture
    from packaging.utils import canonicalize_name, canonicalize_version

    return kind, canonicalize_name(name), canonicalize_version(version), ""

"""The plan: an image before any blob exists. Pure; its digest identifies the image (DESIGN: plan digest)."""

from __future__ import annotations

import hashlib
import json

from bareboat.lock import ASSEMBLY_FORMAT, Base, BaseImage, CPython, Deb, Wheel
from bareboat.values import dataclass

PREFIX = "/opt/venv"  # where wheels are installed, for every Python with pyvenv.cfg
EPOCH = 315619200  # 1980-01-02T00:00:00Z: the mtime of every file we make (zip cannot say less)


@dataclass(frozen=True)
class Interpreter:
    """The image's Python. version "3.13", full "3.13.5"; prefix and site: absolute, inside the image.

    For Python with pyvenv.cfg: prefix /opt/venv, site /opt/venv/lib/python3.13/site-packages.
    For Python 2.7: prefix /usr/local, site /usr/local/lib/python2.7/dist-packages.
    """

    version: str
    full: str
    executable: str  # "/usr/bin/python3.13"
    prefix: str
    site: str

    @property
    def shebang(self) -> str:
        """The interpreter console scripts name: the environment's own python."""
        return f"{self.prefix}/bin/python"


def interpreter(version: str, full: str) -> Interpreter:
    """The interpreter of a Debian base by its version."""
    if version.startswith("2."):
        return Interpreter(version, full, f"/usr/bin/python{version}", "/usr/local",
                           f"/usr/local/lib/python{version}/dist-packages")
    return Interpreter(version, full, f"/usr/bin/python{version}", PREFIX,
                       f"{PREFIX}/lib/python{version}/site-packages")


def interpreter_of(base: Base) -> Interpreter:
    """The interpreter of a locked base: of a Debian base by its version, else as it was found."""
    if not base.executable:
        return interpreter(base.python, base.python_full)
    prefix = base.prefix or PREFIX
    return Interpreter(base.python, base.python_full, base.executable, prefix,
                       f"{prefix}/lib/python{base.python}/site-packages")


@dataclass(frozen=True)
class GeneratedFile:
    """A file made by bareboat. path: relative to the root; content: UTF-8 text; link: target of a symlink instead."""

    path: str
    content: str = ""
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True)
class PlanCode:
    """The project's code in an image that travels. digest, index, packs: of its snapshot, as the record has them.

    places: path within the snapshot ("" its root) → absolute path inside; overlays: such a path → key of the tree with
    compiled extensions.
    """

    digest: str
    index: str
    packs: tuple[str, ...]
    places: tuple[tuple[str, str], ...]
    overlays: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Plan:
    """Ordered sources, bottom to top, generated files and config: what an image is a function of."""

    platform: str
    family: str
    suite: str
    interpreter: Interpreter
    debs: tuple[Deb, ...]
    wheels: tuple[Wheel, ...]
    generated: tuple[GeneratedFile, ...]
    env: tuple[tuple[str, str], ...]
    workdir: str = "/app"
    date: str = ""
    libc: str = ""
    image: BaseImage | None = None  # instead of debs; alone it is an image that was pulled
    cpython: CPython | None = None  # on the debs, at /opt/python
    code: PlanCode | None = None
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, object]:
        """What is hashed: sources by digest, never by where they were found."""
        p = self.interpreter
        image: dict[str, object] = {}
        if (i := self.image) is not None:  # also what the manifest says itself: a lock may say otherwise
            image["image"] = {**i.__dict__, "reference": "", "layers": [x.__dict__ for x in i.layers]}
        if self.cpython is not None:
            image["cpython"] = [self.cpython.version, self.cpython.sha256]
        more: dict[str, object] = {}
        if self.code is not None:
            more["code"] = [self.code.digest, self.code.places, self.code.overlays]
        for name in ("entrypoint", "cmd", "labels"):
            if value := getattr(self, name):
                more[name] = value
        return {
            **image,
            **more,
            "format": ASSEMBLY_FORMAT,
            "platform": self.platform,
            "base": [self.family, "" if self.image else self.suite],
            "python": [p.version, p.full, p.executable, p.prefix, p.site],
            "debs": [[d.name, d.version, d.architecture, d.sha256, d.extra] for d in self.debs],
            "wheels": [[w.filename, w.sha256, w.direct_url, w.requested] for w in self.wheels],
            "generated": [[g.path, g.mode, g.content, g.link] for g in self.generated],
            "config": {"env": [list(e) for e in self.env], "workdir": self.workdir},
        }

    @property
    def base(self) -> str:
        """The base as people write it: "debian:trixie", or an image's reference and the digest it had."""
        if self.image is not None:
            return f"{self.image.reference} ({self.image.manifest[:19]})"
        return f"{self.family}:{self.suite}"

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON: "sha256:<64 hex digits>"."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

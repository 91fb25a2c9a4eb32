"""A small signed package archive of our own: debs, Packages, InRelease, keys; for Debian's and Ubuntu's
layout.

Everything is bytes made here, so a test can break any part of it.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Entry:
    """A member of data.tar. kind: file, dir, symlink, hardlink, char, fifo."""

    path: str
    content: bytes = b""
    kind: str = "file"
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Pkg:
    """A package to be: control fields beyond the required ones, members, maintainer scripts."""

    name: str
    version: str = "1.0-1"
    arch: str = "amd64"
    fields: Mapping[str, str] = field(default_factory=dict)
    entries: Sequence[Entry] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    compression: str = "xz"

    @property
    def filename(self) -> str:
        file = f"{self.name}_{self.version.replace(':', '%3a')}_{self.arch}.deb"
        return f"pool/main/{self.name[0]}/{self.name}/{file}"

    @property
    def control(self) -> str:
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.arch,
            "Maintainer": "nobody <nobody@archive.example>",
            **self.fields,
            "Description": f"{self.name}\n a package of a test",
        }
        return "".join(f"{k}: {v}\n" for k, v in fields.items())


_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def tar(entries: Sequence[Entry], format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for e in entries:
            info = tarfile.TarInfo(e.path)
            info.type, info.mode, info.linkname, info.uid, info.gid = (
                _TYPES[e.kind],
                e.mode,
                e.link,
                e.uid,
                e.gid,
            )
            info.size = len(e.content) if e.kind == "file" else 0
            archive.addfile(info, io.BytesIO(e.content))
    return out.getvalue()


def compress(data: bytes, how: str) -> bytes:
    if how == "zst":
        import zstandard

        return zstandard.ZstdCompressor().compress(data)
    return {
        "xz": lzma.compress,
        "gz": lambda d: gzip.compress(d, mtime=0),
        "bz2": bz2.compress,
        "": lambda d: d,
    }.get(how, lambda d: d)(data)


def ar(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members:
        out += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
            + data
            + b"\n" * (len(data) % 2)
        )
    return out


def deb(package: Pkg, *, data_tar: bytes | None = None, version: bytes = b"2.0\n") -> bytes:
    """The package's bytes, reproducible; data_tar replaces its uncompressed data."""
    control = [Entry("./", kind="dir", mode=0o755), Entry("./control", package.control.encode())]
    control += [Entry(f"./{name}", text.encode(), mode=0o755) for name, text in package.scripts.items()]
    suffix = f".{package.compression}" if package.compression else ""
    data = tar(package.entries) if data_tar is None else data_tar
    return ar(
        [
            ("debian-binary", version),
            ("control.tar.gz", compress(tar(control), "gz")),
            (f"data.tar{suffix}", compress(data, package.compression)),
        ]
    )


class Key:
    """A signing key, made by pysequoia."""

    def __init__(
        self, name: str = "test archive key <archive@archive.example>", validity: int | None = None
    ) -> None:
        from pysequoia import Tsk

        self.secret: Any = Tsk.generate(name, validity_seconds=validity)

    @property
    def public(self) -> bytes:
        return bytes(self.secret.extract_certificate())

    def sign(self, text: bytes) -> bytes:
        import pysequoia

        return bytes(pysequoia.sign(self.secret.signer(), text, mode=pysequoia.SignatureMode.CLEAR))


@dataclass
class Suite:
    """One suite of an archive as files below its base."""

    packages: Sequence[Pkg]
    suite: str = "stable"
    codename: str = "trixie"
    arch: str = "amd64"
    origin: str = "Test"
    date: datetime = NOW - timedelta(days=1)
    valid_until: datetime | None = None
    by_hash: bool = True
    keep_plain: bool = True
    suffixes: Sequence[str] = (".gz", ".xz")

    def packages_text(self) -> bytes:
        stanzas = []
        for p in self.packages:
            data = deb(p)
            stanzas.append(
                p.control + f"Filename: {p.filename}\nSize: {len(data)}\n"
                f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
            )
        return "\n".join(stanzas).encode()

    def write(self, base: Path, key: Key | None, *, name: str = "") -> Path:
        """Write pool and dists below base; unsigned without a key. Returns the path of InRelease."""
        dists = base / "dists" / (name or self.codename)
        for p in self.packages:
            path = base / p.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(deb(p))
        text = self.packages_text()
        lines = []
        folder = dists / "main" / f"binary-{self.arch}"
        (folder / "by-hash" / "SHA256").mkdir(parents=True, exist_ok=True)
        for suffix in self.suffixes:
            data = compress(text, suffix[1:])
            digest = hashlib.sha256(data).hexdigest()
            if self.by_hash:
                (folder / "by-hash" / "SHA256" / digest).write_bytes(data)
            if self.keep_plain:
                (folder / f"Packages{suffix}").write_bytes(data)
            lines.append(f" {digest} {len(data)} main/binary-{self.arch}/Packages{suffix}")
        release = (
            f"Origin: {self.origin}\nSuite: {self.suite}\nCodename: {self.codename}\n"
            f"Date: {format_datetime(self.date, usegmt=True)}\n"
        )
        if self.valid_until:
            release += f"Valid-Until: {format_datetime(self.valid_until, usegmt=True)}\n"
        release += ("Acquire-By-Hash: yes\n" if self.by_hash else "") + "Components: main\nSHA256:\n"
        release += "\n".join(lines) + "\n"
        path = dists / "InRelease"
        path.write_bytes(key.sign(release.encode()) if key else release.encode())
        return path


def python_packages(python: str = "3.13", full: str = "3.13.5") -> list[Pkg]:
    """The least that counts as a suite with a Python: enough for lock_base and make_base_trees."""

    def stub(name: str, **fields: str) -> Pkg:
        return Pkg(name, entries=[Entry(f"./usr/share/{name}/x", name.encode())], fields=fields)

    series = f"python{python}"
    return [
        Pkg(
            series,
            f"{full}-2",
            fields={"Depends": f"lib{series}-stdlib (= {full}-2), libc6 (>= 2.38), awk"},
            entries=[
                Entry("./usr/bin/", kind="dir", mode=0o755),
                Entry(f"./usr/bin/{series}", b"#!/bin/sh\n", mode=0o755),
            ],
        ),
        Pkg(
            f"lib{series}-stdlib",
            f"{full}-2",
            entries=[
                Entry(f"./usr/lib/{series}/os.py", b"# os\n"),
                Entry(f"./usr/share/doc/lib{series}-stdlib/copyright", b"free\n"),
                Entry("./usr/share/man/man1/x.1.gz", b"man"),
            ],
        ),
        Pkg("python3", f"{full}-1", fields={"Depends": f"{series} (>= {full}~)"}),
        Pkg(
            "libc6",
            "2.41-12",
            entries=[
                Entry("./lib/x86_64-linux-gnu/libc.so.6", b"\x7fELF libc"),
                Entry("./lib64/ld-linux-x86-64.so.2", kind="symlink", link="/lib/x86_64-linux-gnu/ld.so"),
            ],
        ),
        Pkg(
            "base-passwd",
            "3.6",
            entries=[
                Entry("./usr/share/base-passwd/passwd.master", b"root:*:0:0:root:/root:/bin/bash\n"),
                Entry("./usr/share/base-passwd/group.master", b"root:*:0:\n"),
            ],
        ),
        Pkg(
            "mawk",
            "1.3",
            fields={"Provides": "awk", "Priority": "required"},
            entries=[Entry("./usr/bin/mawk", b"mawk", mode=0o755)],
            scripts={
                "postinst": "#!/bin/sh\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n"
                "  --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz\n"
            },
        ),
        Pkg(
            "gawk",
            "5.2",
            fields={"Provides": "awk", "Priority": "optional"},
            entries=[Entry("./usr/bin/gawk", b"gawk", mode=0o755)],
            scripts={"postinst": "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10\n"},
        ),
        Pkg(
            "ca-certificates",
            "2026",
            "all",
            fields={"Depends": "debconf (>= 0.5) | debconf-2.0"},
            entries=[
                Entry("./usr/share/ca-certificates/mozilla/B.crt", b"BBB\n"),
                Entry("./usr/share/ca-certificates/mozilla/A.crt", b"AAA\n"),
            ],
        ),
        stub("bash"),
        stub("coreutils"),
    ]

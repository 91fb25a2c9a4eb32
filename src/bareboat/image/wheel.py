"""A wheel understood: which files it puts where in the image, with what mode, bytes and digest.

Pure: bytes in, a layout out. The tree to run from and the blob to ship are both written from this one layout,
so they cannot differ. Follows the binary distribution format (PEP 427), RECORD (PEP 376), PEP 610 and
IMAGES.md's traps 1-21.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bareboat.errors import ArchiveError
from bareboat.image.entrypoints import (
    Script,
    console_scripts,
    interpreter_line,
    reserved,
    script_text,
)
from bareboat.image.inflate import inflate, inflate_small
from bareboat.image.plan import Interpreter
from bareboat.image.wheelzip import LIMITS, Member, Refusal, Source, ZipLimits, read_members
from bareboat.lock import ASSEMBLY_FORMAT, Wheel

INSTALLER = b"bareboat\n"
_METADATA_LIMIT = 64 << 20  # of RECORD, WHEEL and entry_points.txt, which are read whole
_SCRIPT_LIMIT = 16 << 20  # of a script that is rewritten
_HASHES = ("sha256", "sha384", "sha512")  # "sha256 or better"
_REWRITTEN = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True)
class Entry:
    """One file of the installed wheel. path: relative to the image's root; size in bytes.

    member: where its bytes lie in the wheel, or None when they are `content`. digest: "<algorithm>:<hex>" of
    the
    bytes, as RECORD promises; verified when the member is read by `chunks`.
    """

    path: str
    mode: int
    size: int
    digest: str
    member: Member | None
    content: bytes = b""


@dataclass(frozen=True)
class Layout:
    """Everything one wheel installs, sorted by the UTF-8 bytes of the path; parents are implied."""

    filename: str
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(e.size for e in self.entries)


def wheel_tree_key(wheel: Wheel, interp: Interpreter) -> str:
    """The store's key of the wheel's tree: a function of all that decides its bytes, readable in front."""
    parts = (
        "wheel",
        str(ASSEMBLY_FORMAT),
        wheel.name,
        wheel.filename,
        wheel.sha256,
        wheel.direct_url,
        str(wheel.requested),
        interp.version,
        interp.prefix,
        interp.site,
        interp.shebang,
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
    label = "".join(
        c if c.isascii() and (c.islower() or c.isdigit() or c == ".") else "-" for c in f"{wheel.name}-{wheel.version}"
    )
    return f"wheel-{label[:100]}-{digest}"


def read_layout(source: Source, wheel: Wheel, interp: Interpreter, limits: ZipLimits = LIMITS) -> Layout:
    """Where each of the wheel's files goes. The whole archive has been judged when this returns.

    Raises ArchiveError "wheel.*"; contents are verified later, by `chunks`, except those that are rewritten
    here.
    """
    members = read_members(source, wheel.filename, limits)
    return _Reader(source, wheel, interp, members).layout()


Claims = tuple[str, Mapping[str, Sequence[object]]]  # a wheel's file name, and path → (size, digest)


def find_conflict(claims: Sequence[Claims]) -> tuple[str, str, str] | None:
    """The first two wheels (and the path) that cannot share an image: different bytes, or file against
    directory.
    """
    owner: dict[str, tuple[str, Sequence[object]]] = {}
    parents: dict[str, str] = {}
    for wheel, files in claims:
        for path, content in files.items():
            first = owner.setdefault(path, (wheel, content))
            if tuple(first[1]) != tuple(content):
                return first[0], wheel, path
            folder = path.rpartition("/")[0]
            while folder and folder not in parents:
                parents[folder] = wheel
                folder = folder.rpartition("/")[0]
    for path, (wheel, _) in owner.items():
        if path in parents:
            return wheel, parents[path], path
    return None


def chunks(source: Source, entry: Entry, filename: str) -> Iterator[bytes]:
    """The bytes of an entry, verified against length, CRC-32 and RECORD by the time the last has been taken."""
    member = entry.member
    if member is None:
        yield entry.content
        return
    promise = Promise(entry, filename)
    for chunk in inflate(source, member, filename):
        promise.update(chunk)
        yield chunk
    promise.check()


class Promise:
    """What RECORD says of an entry's bytes, held against them as they go by."""

    def __init__(self, entry: Entry, filename: str) -> None:
        self._entry, self._filename = entry, filename
        algorithm, _, self._expected = entry.digest.partition(":")
        self._state = hashlib.sha256() if algorithm == "sha256" else hashlib.new(algorithm)
        self.update = self._state.update

    def check(self) -> None:
        """Raises ArchiveError "wheel.record-hash" when the bytes are others."""
        got = self._state.hexdigest()
        if got != self._expected and self._entry.member is not None:
            raise _record_hash(Refusal(self._filename), self._entry.member.name, self._expected, got)


class _Reader:
    """Reads one wheel's metadata once; a class only to share what every step needs."""

    def __init__(self, source: Source, wheel: Wheel, interp: Interpreter, members: tuple[Member, ...]) -> None:
        self.source, self.wheel, self.interp, self.members = source, wheel, interp, members
        self.refuse = Refusal(wheel.filename)
        self.by_name = {m.name: m for m in members}
        self.prefix = interp.prefix.lstrip("/")
        self.site = interp.site.lstrip("/")
        self.info = self._dist_info()
        self.record = self._record()

    def layout(self) -> Layout:
        self._check_wheel_file()
        scripts = self._entry_points()
        generated = {f"{self.prefix}/bin/{s.name}": s for s in scripts}
        data = self.info.removesuffix(".dist-info") + ".data/"
        entries: list[Entry] = []
        for member in self.members:
            name = member.name
            top, _, rest = name.partition("/")
            if "__pycache__/" in name:  # compiled by another interpreter for another path
                continue
            if top == self.info and rest in _REWRITTEN:
                continue
            script = False
            if name.startswith(data):
                target, script = self._data_target(member, name[len(data) :])
                if script and target in generated:
                    continue
            elif top.endswith(".data") and rest:
                raise self.refuse("data-name", f"a .data directory that is not this wheel's own ({data})", name)
            else:
                target = f"{self.site}/{name}"
            entries.append(self._entry(member, target, script))
        for path, s in generated.items():
            entries.append(_own(path, script_text(s.reference, self.interp.shebang).encode(), 0o755))
        entries += self._metadata()
        self._check_targets(entries)
        entries.append(self._new_record(entries))
        entries.sort(key=lambda e: e.path.encode())
        return Layout(self.wheel.filename, tuple(entries))

    def _dist_info(self) -> str:
        stem = self.wheel.filename.removesuffix(".whl").split("-")
        if not self.wheel.filename.endswith(".whl") or len(stem) not in (5, 6) or not all(stem):
            raise self.refuse("filename", "the file name is not that of a wheel")
        name, version = stem[0], stem[1]
        if normal(name) != normal(self.wheel.name):
            raise self.refuse("filename", f"the file name is not one of {self.wheel.name}")
        found = sorted({m.name.partition("/")[0] for m in self.members if ".dist-info/" in m.name})
        found = [f for f in found if f.endswith(".dist-info")]
        if len(found) != 1:
            what = f"has {len(found)} .dist-info directories ({', '.join(found)})" if found else "has no .dist-info"
            raise self.refuse("dist-info", what)
        has_name, _, has_version = found[0].removesuffix(".dist-info").partition("-")
        if normal(has_name) != normal(name) or not _same_version(has_version, version):
            raise self.refuse("dist-info", f"{found[0]} does not belong to {name} {version}", found[0])
        return found[0]

    def _read(self, name: str, limit: int = _METADATA_LIMIT) -> bytes:
        member = self.by_name.get(f"{self.info}/{name}")
        if member is None:
            raise self.refuse("metadata", f"{name} is missing", f"{self.info}/{name}")
        if member.size > limit:
            raise self.refuse("metadata", f"{member.size} bytes are more than any honest {name} has", member.name)
        return inflate_small(self.source, member, self.wheel.filename)

    def _text(self, name: str) -> str:
        try:
            return self._read(name).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refuse("metadata", f"{name} is not UTF-8", f"{self.info}/{name}") from None

    def _record(self) -> dict[str, tuple[str, str]]:
        """RECORD as path → (digest, size as written); every file must be in it with a hash (PEP 427)."""
        name = f"{self.info}/RECORD"
        if name not in self.by_name:
            raise self.refuse("record-missing", "RECORD is missing", name)
        rows: dict[str, tuple[str, str]] = {}
        for number, line in enumerate(self._text("RECORD").split("\n"), 1):
            line = line.rstrip("\r")
            if not line:
                continue
            row = _csv(line) if '"' in line else line.rsplit(",", 2)
            if len(row) != 3:
                raise self.refuse("record", f"line {number} of RECORD has not three fields", name)
            path, digest, size = row
            if path in rows and rows[path] != (digest, size):
                raise self.refuse("record", f"RECORD has two accounts of {path!r}", name)
            rows[path] = (digest, size)
        for member in self.members:
            if member.name not in rows:
                if member.name in (name, f"{name}.jws", f"{name}.p7s"):
                    continue
                raise self.refuse("record-unlisted", "the file is not in RECORD", member.name)
        return rows

    def _digest(self, member: Member) -> str:
        """What RECORD promises of a member, as "<algorithm>:<hex>"."""
        value, size = self.record[member.name]
        algorithm, _, coded = value.partition("=")
        if not coded:
            raise self.refuse("record-hash", "RECORD has no hash of the file", member.name)
        if algorithm not in _HASHES:
            raise self.refuse("record-hash", f"RECORD's hash {algorithm!r} is weaker than sha256", member.name)
        if size and size != str(member.size):
            raise self.refuse("record-size", f"RECORD says {size} bytes, the archive {member.size}", member.name)
        import base64
        import binascii

        try:
            raw = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != int(algorithm[3:]) // 8:
            raise self.refuse("record-hash", "RECORD's hash of the file is malformed", member.name)
        return f"{algorithm}:{raw.hex()}"

    def _check_wheel_file(self) -> None:
        versions = [
            line.partition(":")[2].strip()
            for line in self._text("WHEEL").splitlines()
            if line.lower().startswith("wheel-version:")
        ]
        if len(versions) != 1 or versions[0].split(".")[0] != "1":
            raise self.refuse(
                "wheel-version",
                f"Wheel-Version is {', '.join(versions) or 'missing'}; 1.x is understood",
                f"{self.info}/WHEEL",
            )
        if f"{self.info}/METADATA" not in self.by_name:
            raise self.refuse("metadata", "METADATA is missing", f"{self.info}/METADATA")

    def _entry_points(self) -> tuple[Script, ...]:
        name = f"{self.info}/entry_points.txt"
        if name not in self.by_name:
            return ()
        try:
            return console_scripts(self._text("entry_points.txt"))
        except ValueError as e:
            raise self.refuse("entry-point", str(e), name) from None

    def _data_target(self, member: Member, rest: str) -> tuple[str, bool]:
        """Where a file of the .data directory goes, and whether it is a script (trap 1)."""
        key, _, path = rest.partition("/")
        if not path:
            raise self.refuse("data-key", "a file outside the keys of the .data directory", member.name)
        if key in ("purelib", "platlib"):
            return f"{self.site}/{path}", False
        if key == "scripts":
            return f"{self.prefix}/bin/{path}", True
        if key == "data":
            return f"{self.prefix}/{path}", False
        if key == "headers":
            return f"{self.prefix}/include/site/python{self.interp.version}/{self.wheel.name}/{path}", False
        raise self.refuse("data-key", f"unknown key {key!r} of the .data directory", member.name)

    def _entry(self, member: Member, target: str, script: bool) -> Entry:
        digest = self._digest(member)
        executable = script or member.executable
        if script:
            content = self._rewritten(member, digest)
            if content is not None:
                return _own(target, content, 0o755)
        return Entry(target, 0o755 if executable else 0o644, member.size, digest, member)

    def _rewritten(self, member: Member, digest: str) -> bytes | None:
        """A script whose first line is a placeholder for the interpreter, with the image's; None for others."""
        first = next(inflate(self.source, member, self.wheel.filename), b"")
        if not first.startswith(b"#!python"):
            return None
        line = first[8:].partition(b"\n")[0].rstrip(b"\r")
        if line[:1] == b"w":
            line = line[1:]
        if line.strip() and not line[:1].isspace():
            return None
        if member.size > _SCRIPT_LIMIT:
            raise self.refuse("script", "the script is too large to be rewritten", member.name)
        whole = b"".join(inflate(self.source, member, self.wheel.filename))
        algorithm, _, expected = digest.partition(":")
        got = hashlib.new(algorithm, whole).hexdigest()
        if got != expected:
            raise _record_hash(self.refuse, member.name, expected, got)
        _, newline, rest = whole.partition(b"\n")
        arguments = line.strip().decode("utf-8", "surrogateescape")
        head = interpreter_line(self.interp.shebang, arguments).encode("utf-8", "surrogateescape")
        return head + rest if newline else head

    def _metadata(self) -> Iterable[Entry]:
        base = f"{self.site}/{self.info}"
        yield _own(f"{base}/INSTALLER", INSTALLER)
        if self.wheel.requested:
            yield _own(f"{base}/REQUESTED", b"")
        if self.wheel.direct_url:
            yield _own(f"{base}/direct_url.json", self.wheel.direct_url.encode())

    def _check_targets(self, entries: list[Entry]) -> None:
        """No two files at one place, none where the environment's own interpreter is."""
        seen: dict[str, Entry] = {}
        parents: set[str] = set()
        for e in entries:
            name = e.member.name if e.member else e.path
            if e.path in seen:
                raise self.refuse("duplicate-target", f"two files would be installed as /{e.path}", name)
            seen[e.path] = e
            folder, _, base = e.path.rpartition("/")
            if e.path == f"{self.prefix}/pyvenv.cfg" or (folder == f"{self.prefix}/bin" and reserved(base)):
                raise self.refuse("reserved-name", f"/{e.path} belongs to the environment itself", name)
            while folder and folder not in parents:
                parents.add(folder)
                folder = folder.rpartition("/")[0]
        for path in parents & seen.keys():
            raise self.refuse("duplicate-target", f"/{path} would be a file and a directory", path)

    def _new_record(self, entries: list[Entry]) -> Entry:
        """RECORD of what is installed: sorted, own files included, so that pip and uv inside can uninstall."""
        import base64

        path = f"{self.site}/{self.info}/RECORD"
        relative = _relative(self.site)
        lines = [f"{_quoted(relative(path))},,"]
        for e in entries:
            algorithm, _, hexed = e.digest.partition(":")
            coded = base64.urlsafe_b64encode(bytes.fromhex(hexed)).rstrip(b"=").decode()
            lines.append(f"{_quoted(relative(e.path))},{algorithm}={coded},{e.size}")
        lines.sort(key=str.encode)
        return _own(path, ("\n".join(lines) + "\n").encode())


def normal(name: str) -> str:
    """The normalised name of a project (PEP 503)."""
    parts = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join(p for i, p in enumerate(parts) if p or i in (0, len(parts) - 1))


def _same_version(a: str, b: str) -> bool:
    if a == b:
        return True
    from packaging.version import InvalidVersion, Version

    try:
        return Version(a.replace("_", "-")) == Version(b.replace("_", "-"))
    except InvalidVersion:
        return False


def _record_hash(refuse: Refusal, name: str, expected: str, got: str) -> ArchiveError:
    return refuse("record-hash", f"the content is not what RECORD promises (expected {expected}, got {got})", name)


def _own(path: str, content: bytes, mode: int = 0o644) -> Entry:
    return Entry(path, mode, len(content), "sha256:" + hashlib.sha256(content).hexdigest(), None, content)


def _csv(line: str) -> list[str]:
    import csv

    return next(csv.reader([line]), [])


def _quoted(path: str) -> str:
    return '"' + path.replace('"', '""') + '"' if "," in path or '"' in path else path


def _relative(site: str) -> Callable[[str], str]:
    """Paths relative to site-packages, as RECORD writes them: "../../../bin/x" for what lies beside it."""
    inside = site + "/"
    ups = site.split("/")

    def relative(path: str) -> str:
        if path.startswith(inside):
            return path[len(inside) :]
        parts = path.split("/")
        same = 0
        while same < min(len(ups), len(parts) - 1) and ups[same] == parts[same]:
            same += 1
        return "/".join([".."] * (len(ups) - same) + parts[same:])

    return relative

"""What is locked: the base's Debian packages and the Python wheels of one platform, by digest.

Files: pylock.toml (PEP 751) for Python packages, bareboat.lock (TOML) for all else. Reading and writing of
bareboat.lock is here and pure (text in, text out); resolving is resolve/'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from bareboat.values import Any, dataclass, field

LOCK_FORMAT = 1
ASSEMBLY_FORMAT = 1  # part of every plan: raised when the same lock would give other bytes


@dataclass(frozen=True)
class Deb:
    """A Debian package: pool path (below the archive's root), sha256 as 64 hex digits, size in bytes."""

    name: str
    version: str
    architecture: str
    path: str
    sha256: str
    size: int
    archive: str = "main"  # "main" or "security": which of the base's archives holds the pool path
    extra: bool = (
        False  # brought in by the project's apt packages: stacked on the Python base, not part of it
    )


@dataclass(frozen=True)
class ImageLayer:
    """A layer of somebody's image. digest, size: of the blob as it is stored; diff_id: of the tar inside it."""

    digest: str  # "sha256:…"
    size: int
    diff_id: str
    media_type: str


@dataclass(frozen=True)
class BaseImage:
    """An image of one platform that others made, pinned: everything that can be known of it without its layers.

    reference: complete, as it was asked for ("docker.io/library/python:3.12-slim"); says where to fetch it, and is no
    part of its identity. manifest, config: digests; layers: bottom to top. env, workdir, entrypoint, cmd, user: of its
    config. removed: paths (relative to the root) of packages that the lock replaces, gone in what is made of it.
    """

    reference: str
    manifest: str
    manifest_size: int
    media_type: str
    config: str
    config_size: int
    layers: tuple[ImageLayer, ...]
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Brought:
    """A Python package that a base brings. compiled: it holds machine code, made for what else is in the base."""

    name: str  # normalised (PEP 503)
    version: str
    compiled: bool = False


@dataclass(frozen=True)
class CPython:
    """A relocatable CPython (python-build-standalone), unpacked at /opt/python. url: where it was found."""

    version: str  # "3.12.11"
    url: str
    sha256: str  # of the archive, 64 hex digits
    size: int


@dataclass(frozen=True)
class Base:
    """A base: assembled from packages, or an image. python: "3.13"; python_full: "3.13.5"; libc: "glibc 2.41".

    Of an image everything is as found inside it. executable: its interpreter, no link; prefix: where our environment
    is; site: where its interpreter looks for packages; environment: that interpreter is an environment's own (PEP
    405), and site is the environment's; system: whether that one sees the system's packages as well. brought: the
    Python packages in it; those that a wheel of the lock has the name of are replaced.
    """

    family: str  # "debian", "ubuntu", or "oci" for an image
    suite: str  # of an image: its reference, as asked for
    date: str  # InRelease's Date, as ISO 8601 UTC; of an image: its "created"
    packages: tuple[Deb, ...]
    python: str
    python_full: str
    libc: str
    executable: str = ""
    prefix: str = ""
    site: str = ""
    environment: bool = False
    system: bool = True
    brought: tuple[Brought, ...] = ()
    image: BaseImage | None = None
    cpython: CPython | None = None


@dataclass(frozen=True)
class Wheel:
    """A wheel of the lock. url: where it was found ("" for one that was built); sha256: 64 hex digits.

    direct_url: the JSON text of direct_url.json (PEP 610) for URL, VCS and directory installs, else "".
    built_from: for a wheel built in the sandbox, the sdist's URL or VCS reference or directory, else ""; see
    resolve.python.origins for its form. built_with: what its backend was given, "setuptools==80.9.0 wheel==0.46",
    and " on glibc 2.41" after it when the wheel is of one platform.
    """

    name: str  # normalised (PEP 503)
    version: str
    filename: str
    url: str
    sha256: str
    size: int
    direct_url: str = ""
    built_from: str = ""
    requested: bool = False
    built_with: str = ""


@dataclass(frozen=True)
class PlatformLock:
    """Everything one platform's image is made of, in the order layers are stacked from bottom to top."""

    platform: str  # "linux/amd64"
    base: Base
    wheels: tuple[Wheel, ...]


@dataclass(frozen=True)
class Lock:
    """inputs: relative file name → sha256 of its bytes as locked; request: sha256 of what was asked."""

    inputs: tuple[tuple[str, str], ...]
    request: str
    platforms: tuple[PlatformLock, ...]
    format: int = LOCK_FORMAT
    changes: tuple[str, ...] = field(default=(), compare=False)  # readable lines; set by resolving only


_HEADER = """\
# Made by bareboat: what every image of this project is built from, by digest. Commit it with pylock.toml.
# `bareboat lock` brings it up to date, `bareboat lock --upgrade` takes newer versions.
"""


def dumps(lock: Lock) -> str:
    """The canonical text of bareboat.lock (TOML 1.0): equal locks give equal bytes, one line per package.

    Fields at their default are left out, so that a lock made before a field existed stays as it is.
    """
    out = [_HEADER, f"format = {lock.format}\n", f"request = {_text(lock.request)}\n"]
    out.append("\n[inputs]\n" if lock.platforms else "platforms = []\n\n[inputs]\n")
    out += [f"{_text(name)} = {_text(digest)}\n" for name, digest in sorted(lock.inputs)]
    for p in lock.platforms:
        out.append(f"\n[[platforms]]\nplatform = {_text(p.platform)}\nwheels = [\n")
        out += [_row(w, _WHEEL_DEFAULTS) for w in p.wheels]
        out.append("]\n\n[platforms.base]\n")
        out += [f"{key} = {_text(getattr(p.base, key))}\n" for key in _BASE_KEYS]
        out += _cells(p.base, _BASE_MORE)
        out.append("packages = [\n")
        out += [_row(d, _DEB_DEFAULTS) for d in p.base.packages]
        out.append("]\n")
        if p.base.brought:
            out += ["brought = [\n", *(_row(b, _BROUGHT_DEFAULTS) for b in p.base.brought), "]\n"]
        if p.base.image is not None:
            out += _image(p.base.image)
        if p.base.cpython is not None:
            out += ["\n[platforms.base.cpython]\n", *_cells(p.base.cpython, {})]
    return "".join(out)


def loads(text: str, where: str = "bareboat.lock") -> Lock:
    """The lock of this text. Raises LockError "lock.malformed", "lock.format" (made by a newer bareboat).

    Text as `dumps` writes it is read line by line, in half the time of a TOML parser and without
    importing one; anything else (edited by hand, merged, other line ends) goes through tomllib and is
    checked key by key.
    """
    try:
        lock = _read_canonical(text)
        if _sound(lock) and dumps(lock) == text:
            return lock
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        pass
    from bareboat.lock_toml import read_any

    return read_any(text, where)


def is_digest(value: object) -> bool:
    """A sha256 as 64 lower-case hex digits."""
    return isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef")


def _sound(lock: Lock) -> bool:
    """Whether format, digests and sizes are what they must be; the slow path says what is wrong if not."""
    items: list[Deb | Wheel] = []
    for p in lock.platforms:
        items += p.base.packages
        items += p.wheels
    return (
        lock.format == LOCK_FORMAT
        and all(is_digest(digest) for _, digest in lock.inputs)
        and all(is_digest(i.sha256) and type(i.size) is int for i in items)
        and all(_sound_image(p.base.image) for p in lock.platforms)
        and all(is_digest(c.sha256) and type(c.size) is int for p in lock.platforms if (c := p.base.cpython))
    )


def _sound_image(image: BaseImage | None) -> bool:
    if image is None:
        return True
    sizes = (image.manifest_size, image.config_size, *(layer.size for layer in image.layers))
    digests = (image.manifest, image.config, *(d for layer in image.layers for d in (layer.digest, layer.diff_id)))
    return all(type(s) is int for s in sizes) and all(d.startswith("sha256:") and is_digest(d[7:]) for d in digests)


_BASE_KEYS = ("family", "suite", "date", "python", "python_full", "libc")
_BASE_MORE: dict[str, object] = {"executable": "", "prefix": "", "site": "", "environment": False, "system": True}
_BROUGHT_DEFAULTS: dict[str, object] = {"compiled": False}
_DEB_DEFAULTS: dict[str, object] = {"archive": "main", "extra": False}
_WHEEL_DEFAULTS: dict[str, object] = {
    "direct_url": "",
    "built_from": "",
    "requested": False,
    "built_with": "",
}


def _text(value: str) -> str:
    """A TOML string: basic, or literal when that saves escapes (the JSON of direct_url)."""
    plain = value.isprintable()
    if plain and '"' not in value and "\\" not in value:
        return f'"{value}"'
    if plain and "'" not in value:
        return f"'{value}'"
    escaped = "".join(
        {'"': '\\"', "\\": "\\\\"}.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in value
    )
    return f'"{escaped}"'


def _row(item: Deb | Wheel | Brought | ImageLayer, defaults: dict[str, object]) -> str:
    cells = []
    for key, value in item.__dict__.items():
        if key in defaults and defaults[key] == value:
            continue
        if isinstance(value, bool):
            cells.append(f"{key} = {'true' if value else 'false'}")
        else:
            cells.append(f"{key} = {value if isinstance(value, int) else _text(value)}")
    return "  { " + ", ".join(cells) + " },\n"


def _cells(value: Base | BaseImage | CPython, some: Mapping[str, object]) -> list[str]:
    """A line for each of these fields that is not at its default; without any named, for every one."""
    lines = []
    for key, default in some.items() or ((f, None) for f in value.__dict__):
        found = getattr(value, key)
        if found != default:
            word = ("true" if found else "false") if isinstance(found, bool) else found
            lines.append(f"{key} = {word if isinstance(found, (bool, int)) else _text(found)}\n")
    return lines


def _image(image: BaseImage) -> list[str]:
    """The table of an image: what is one word a line, then the lists, a row for each item."""
    words = {"reference": None, "manifest": None, "manifest_size": None, "media_type": None, "config": None,
             "config_size": None, "workdir": "", "user": ""}
    out = ["\n[platforms.base.image]\n", *_cells(image, words), "layers = [\n"]
    out += [*(_row(layer, {}) for layer in image.layers), "]\n"]
    if image.env:
        out += ["env = [\n", *(f"  {{ name = {_text(n)}, value = {_text(v)} }},\n" for n, v in image.env), "]\n"]
    for key in IMAGE_WORDS:
        if found := getattr(image, key):
            out += [f"{key} = [\n", *(f"  {{ word = {_text(word)} }},\n" for word in found), "]\n"]
    return out


IMAGE_WORDS = ("entrypoint", "cmd", "removed")  # lists of words; paths that are no UTF-8 are never in them


def _read_canonical(text: str) -> Lock:
    """Read what dumps writes; any surprise is a ValueError; the caller compares the result with the text."""
    top: dict[str, object] = {}
    inputs: dict[str, object] = {}
    platforms: list[dict[str, object]] = []
    table = base = top
    rows: list[dict[str, object]] = []
    for line in text.split("\n"):
        if line.startswith("  { "):
            rows.append(_read_row(line))
        elif line == "[[platforms]]":
            table = {}
            platforms.append(table)
        elif line == "[platforms.base]":
            table = base = {}
            platforms[-1]["base"] = table
        elif line in ("[platforms.base.image]", "[platforms.base.cpython]"):
            table = {}
            base[line[16:-1]] = table
        elif line == "[inputs]":
            table = inputs
        elif line.endswith(" = ["):
            rows = []
            table[line[:-4]] = rows
        elif line and line != "]" and line[0] != "#":
            key, value, end = _read_cell(line, 0)
            if end != len(line):
                raise ValueError(line)
            table[key] = value
    return lock_of({**top, "inputs": inputs, "platforms": platforms})


def _read_row(line: str) -> dict[str, object]:
    row: dict[str, object] = {}
    at = 4
    while True:
        key, value, at = _read_cell(line, at)
        row[key] = value
        if line.startswith(" },", at):
            return row
        if not line.startswith(", ", at):
            raise ValueError(line)
        at += 2


def _read_cell(line: str, at: int) -> tuple[str, object, int]:
    """`key = value` at this position: the key, the value, and where it ends."""
    quote = line[at]
    if quote in "\"'":
        end = line.index(quote, at + 1)
        key, at = line[at + 1 : end], end + 1
        if not line.startswith(" = ", at):
            raise ValueError(line)
    else:
        end = line.index(" = ", at)
        key, at = line[at:end], end
    at += 3
    quote = line[at]
    if quote in "\"'":
        end = line.index(quote, at + 1)
        value = line[at + 1 : end]
        if quote == '"' and "\\" in value:
            raise ValueError(line)
        return key, value, end + 1
    end = at
    while end < len(line) and line[end] not in ", ":
        end += 1
    word = line[at:end]
    return key, word == "true" if word in ("true", "false") else int(word), end


def lock_of(document: dict[str, object]) -> Lock:
    """The lock of a parsed document whose types were checked or are yet to be. KeyError, TypeError."""
    doc: dict[str, Any] = document
    return Lock(
        inputs=tuple(sorted(doc["inputs"].items())),
        request=doc["request"],
        platforms=tuple(
            PlatformLock(
                p["platform"],
                _base_of(p["base"]),
                tuple(Wheel(**row) for row in p["wheels"]),
            )
            for p in doc["platforms"]
        ),
        format=doc["format"],
    )


def _base_of(doc: dict[str, Any]) -> Base:
    rows: dict[str, Any] = {"packages": tuple(Deb(**row) for row in doc["packages"])}
    if "brought" in doc:
        rows["brought"] = tuple(Brought(**row) for row in doc["brought"])
    if "cpython" in doc:
        rows["cpython"] = CPython(**doc["cpython"])
    if "image" in doc:
        i = doc["image"]
        lists = {key: tuple(row["word"] for row in i[key]) for key in IMAGE_WORDS if key in i}
        lists["env"] = tuple((row["name"], row["value"]) for row in i.get("env", ()))
        rows["image"] = BaseImage(**{**i, **lists, "layers": tuple(ImageLayer(**row) for row in i["layers"])})
    return Base(**{**doc, **rows})


def request_digest(request: Mapping[str, object]) -> str:
    """sha256 of what was asked for, as canonical JSON: python, base, apt, platforms, groups, extras,
    inline, options.

    Values: strings, numbers, booleans, None, and lists, tuples and string-keyed mappings of these. What
    does not change what is locked (cache, offline) must not be in it.
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_current(lock: Lock | None, inputs: Iterable[tuple[str, str]], request: str) -> bool:
    """Whether the lock was made from these input files and this request, so that nothing need be resolved.

    inputs: name → sha256, as project.lock_inputs gives them; request: as request_digest does.
    """
    return (
        lock is not None
        and lock.format == LOCK_FORMAT
        and lock.request == request
        and dict(lock.inputs) == dict(inputs)
        and len(lock.platforms) > 0
    )


def changes(old: Lock | None, new: Lock) -> tuple[str, ...]:
    """What a new lock changed, one readable line each: wheels by name, then the base, summarised.

    Several platforms: a line says its platform when the first platform does not have the same line.
    """
    before = {p.platform: p for p in old.platforms} if old else {}
    lines: list[str] = []
    for p in new.platforms:
        was = before.get(p.platform)
        found = (
            *_wheel_changes(was.wheels if was else (), p.wheels),
            *_base_changes(was.base if was else None, p.base),
        )
        if p is new.platforms[0]:
            lines += found
        else:
            lines += [f"{line} ({p.platform})" for line in found if line not in lines]
    gone = [name for name in before if name not in {p.platform for p in new.platforms}]
    return (*lines, *(f"- platform {name}" for name in gone))


def _wheel_changes(old: tuple[Wheel, ...], new: tuple[Wheel, ...]) -> list[str]:
    before = {w.name: w for w in old}
    after = {w.name: w for w in new}
    lines = []
    for name in sorted(before.keys() | after.keys()):
        a, b = before.get(name), after.get(name)
        if a is None and b is not None:
            lines.append(f"+ {name} {b.version}")
        elif b is None:
            lines.append(f"- {name}")
        elif a is not None and a.version != b.version:
            lines.append(f"{name} {a.version} → {b.version}")
        elif a is not None and a.sha256 != b.sha256:
            lines.append(f"{name} {b.version}: another file ({b.filename})")
    return lines


def base_name(base: Base) -> str:
    """A base as people write it: "debian:trixie", or an image's reference."""
    return base.suite if base.image is not None else f"{base.family}:{base.suite}"


def _base_changes(old: Base | None, new: Base) -> list[str]:
    suite = base_name(new)
    if old is None:
        count = f"{len(new.brought)} Python packages" if new.image else f"{len(new.packages)} packages"
        return [f"+ {suite} with Python {new.python_full}, {count}"]
    lines = []
    if (old.family, old.suite) != (new.family, new.suite):
        lines.append(f"{base_name(old)} → {suite}")
    elif new.image is not None and old.image is not None and old.image.manifest != new.image.manifest:
        lines.append(f"{suite}: another image ({new.image.manifest[:19]})")
    if old.python_full != new.python_full:
        lines.append(f"Python {old.python_full} → {new.python_full}")
    before = {d.name: d.version for d in old.packages}
    after = {d.name: d.version for d in new.packages}
    counts = (
        ("added", sorted(after.keys() - before.keys())),
        ("removed", sorted(before.keys() - after.keys())),
        ("updated", sorted(n for n in after.keys() & before.keys() if after[n] != before[n])),
    )
    for what, names in counts:
        if names:
            more = ", …" if len(names) > 5 else ""
            plural = "s" if len(names) > 1 else ""
            lines.append(f"{suite}: {len(names)} package{plural} {what} ({', '.join(names[:5])}{more})")
    return lines

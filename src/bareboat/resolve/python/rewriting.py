"""Resolving where something has to be built: sources become wheels, uv chooses among wheels, and the lock
names the sources again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote

from bareboat.errors import ResolveError
from bareboat.lock import Wheel
from bareboat.project.values import Dependencies
from bareboat.resolve.python import pylock, requirements, stated, uv
from bareboat.resolve.python.acquire import Place, acquire, local_path
from bareboat.resolve.python.building import BuildRoom, Resolve, build_wheel, read_metadata
from bareboat.resolve.python.directories import file_digest
from bareboat.resolve.python.explain import needs_build
from bareboat.resolve.python.formats import Formats, formats_of, is_format
from bareboat.resolve.python.locking import lock_wheels, stated_in, wanted
from bareboat.resolve.python.origins import Origin, archive_origin, pylock_source
from bareboat.resolve.python.request import LockedPython, Request
from bareboat.resolve.python.requirements import Line
from bareboat.resolve.python.target import tags

if TYPE_CHECKING:
    from bareboat.resolve.python import index  # a web server's modules: only where sources are built

DEEPEST = 6  # build requirements of build requirements …: deeper is a circle
_INDEX_OPTIONS = ("-i ", "--index-url", "--extra-index-url", "-f ", "--find-links", "--no-index", "--pre")


@dataclass
class Session:
    """One resolution under way: what has been built for it, by file name, and the folder uv finds it in."""

    request: Request
    lines: tuple[Line, ...]
    room: BuildRoom
    depth: int
    links: Path
    built: dict[str, Wheel] = field(default_factory=dict)
    formats: Formats = field(default_factory=Formats)

    @property
    def place(self) -> Place:
        """Where sources are looked for."""
        r = self.request
        return Place(r.root, r.scratch, self.room, r.env, r.offline)

    def offer(self, wheel: Wheel) -> Path:
        """Make a built wheel a file that uv can take."""
        blob = self.room.blob(wheel.sha256)
        if blob is None:
            raise ResolveError("python.built-missing", f"{wheel.filename} is not in the store any more")
        path = self.links / wheel.filename
        if not path.exists():
            path.symlink_to(blob)
        self.built[wheel.filename] = wheel
        return path


def session(request: Request, lines: tuple[Line, ...], room: BuildRoom, depth: int) -> Session:
    """A session whose links hold what the standing lock had built from sdists, where it fits the target."""
    if depth > DEEPEST:
        where = ", ".join(line.text for line in lines[:3])
        raise ResolveError("python.build-circle", "build requirements go round in a circle", where=where)
    links = request.scratch / "links"
    links.mkdir(exist_ok=True)
    formats = formats_of(line.text for line in lines if line.kind == "option")
    s = Session(request, lines, room, depth, links, formats=formats)
    for wheel in request.built:
        if formats.never_built(wheel.name) or is_wheel_file(wheel.built_from):
            continue  # a wheel of a folder is still found there
        again = wheel.name in request.upgrade if isinstance(request.upgrade, tuple) else request.upgrade
        if not again and not wheel.direct_url and stands(wheel, request) and room.blob(wheel.sha256):
            s.offer(wheel)
    return s


def lock_with_built(request: Request, lines: tuple[Line, ...], room: BuildRoom, depth: int) -> LockedPython:
    """Resolve what the project's files say, sdists of an index built as uv asks for them."""
    s = session(request, lines, room, depth)
    sources, stdin = stated.sources(request)
    return _resolve(s, uv.compile_of(request, sources, request.scratch / "pylock.toml"), stdin)


def lock_rewritten(request: Request, lines: tuple[Line, ...], room: BuildRoom, depth: int) -> LockedPython:
    """Build every direct source first, then resolve with these wheels in their place."""
    from bareboat.resolve.python.projects import project_lines

    s = session(request, lines, room, depth)
    resolve = resolver(s)
    asked = list(project_lines(s, resolve, request.dependencies.extras)) if stated.dynamic(request) else []
    asked += lines
    texts: list[str] = []
    constraints: list[str] = []
    overrides: list[str] = []
    met: set[Line] = set()  # what built wheels ask for: their own words would contradict the files offered
    names: list[Line] = []
    while asked:
        line = asked.pop(0)
        text = line.text
        if line.kind == "option" and is_format(text):
            continue  # uv would refuse the wheels made of sources; the session keeps to it
        if is_project(line, request):
            asked = [*project_lines(s, resolve, extras_of(line.text)), *asked]
            continue
        if line.kind in ("vcs", "archive", "directory") or is_local_wheel(line):
            wheel = build_line(s, line, resolve)
            text = rewritten(line, wheel, s.offer(wheel))
            needs = [new for new in direct_needs(s, wheel) if new not in met]
            met.update(needs)
            asked += needs
            if line in met:
                overrides.append(text)
                continue
            names.append(Line(f"{wheel.name} @ built", "wheel", line.hashes))
        else:
            names.append(line)
        (constraints if line.constraint else texts).append(" ".join([text, *(f"--hash={h}" for h in line.hashes)]))
    s.lines = tuple(names)
    command = replace(uv.compile_of(request, ("-",), request.scratch / "pylock.toml"), extras=(), groups=())
    if constraints:
        file = request.scratch / "constraints.txt"
        file.write_text("".join(f"{c}\n" for c in constraints), "utf-8")
        command = replace(command, constraints=(file,))
    if overrides:
        file = request.scratch / "overrides.txt"
        file.write_text("".join(f"{o}\n" for o in overrides), "utf-8")
        command = replace(command, overrides=(file,))
    return _resolve(s, command, "".join(f"{t}\n" for t in texts).encode())


def build_line(s: Session, line: Line, resolve: Resolve) -> Wheel:
    """The wheel of a direct requirement: the standing lock's where its source is the same, else built."""
    location = requirements.location(line.text)
    name = requirements.name_of(line.text) or location
    known = _standing(s, line, location)
    if known is not None and line.kind == "vcs":
        return replace(known, requested=True)
    origin = acquire("archive" if line.kind == "wheel" else line.kind, location, name, s.place)
    if line.hashes and f"sha256:{origin.digest}" not in line.hashes:
        raise ResolveError(
            "python.hash-mismatch",
            f"{name} is not what its --hash demands: found is sha256:{origin.digest}",
            where=f"{line.file}:{line.number}",
        )
    if line.kind == "wheel":
        info, size = read_metadata(origin.path), origin.path.stat().st_size
        s.room.keep(origin.path)
        return Wheel(
            info["name"],
            info["version"],
            origin.path.name,
            "",
            origin.digest,
            size,
            origin.direct_url,
            origin.built_from,
            requested=True,
        )
    standing = _standing_build(s, origin)
    if standing is not None:
        return replace(standing, requested=True, direct_url=origin.direct_url)
    scratch = Path(mkdtemp(prefix="build-", dir=s.request.scratch))
    return replace(build_wheel(origin, s.request.target, scratch, s.room, resolve), requested=True)


def _standing(s: Session, line: Line, location: str) -> Wheel | None:
    """The locked wheel of a VCS reference that has not been edited; it is pinned until it is upgraded."""
    if line.kind != "vcs":
        return None
    import json

    from bareboat.resolve.python.origins import git_reference

    reference = git_reference(location)
    for wheel in s.request.built:
        said = json.loads(wheel.direct_url) if wheel.direct_url else {}
        upgraded = s.request.upgrade is True or (s.request.upgrade and wheel.name in s.request.upgrade)
        commit = said.get("vcs_info", {}).get("commit_id")
        if (
            commit
            and not upgraded
            and reference.direct_url(commit) == wheel.direct_url
            and stands(wheel, s.request)
            and s.room.blob(wheel.sha256)
        ):
            return wheel
    return None


def rewritten(line: Line, wheel: Wheel, path: Path) -> str:
    """The requirement with the built wheel in place of its source; extras and marker stay."""
    extras = extras_of(line.text)
    _, semicolon, marker = line.text.partition(" ;")
    bracket = f"[{','.join(extras)}]" if extras else ""
    return f"{wheel.name}{bracket} @ {path.as_uri()}" + (f" ; {marker.strip()}" if semicolon else "")


def extras_of(text: str) -> tuple[str, ...]:
    """The extras of `name[a,b] @ …`, `./pkg[a,b]` or `-e .[a,b]`."""
    before = text.partition(" ;")[0].partition("#")[0].strip()
    head = before.partition("@")[0] if "@" in before and "[" in before.partition("@")[0] else before
    if "[" not in head or not (head.rstrip().endswith("]")):
        return ()
    return tuple(e.strip() for e in head[head.rindex("[") + 1 :].rstrip()[:-1].split(",") if e.strip())


def is_project(line: Line, request: Request) -> bool:
    """Whether a requirement names the project's own folder: its code is mounted, its dependencies are
    meant."""
    if line.kind != "directory":
        return False
    local = local_path(requirements.location(line.text))
    return local is not None and (request.root / local).resolve() == request.root.resolve()


def is_wheel_file(built_from: str) -> bool:
    """Whether a locked wheel was a file of this machine, taken as it is."""
    return built_from.partition("#")[0].endswith(".whl")


def _kept(s: Session, wheel: Wheel) -> Wheel:
    """A wheel found in a folder (--find-links), kept in the store: its place on this machine is not locked."""
    if not wheel.url or "://" in wheel.url:
        return wheel
    line = Line(f"{wheel.name} @ ./{wheel.url}", "wheel", (f"sha256:{wheel.sha256}",), "pylock.toml")
    found = build_line(s, line, resolver(s))
    return replace(found, direct_url=wheel.direct_url, requested=wheel.requested)


def is_local_wheel(line: Line) -> bool:
    """Whether it is a wheel file on this machine."""
    return line.kind == "wheel" and local_path(requirements.location(line.text)) is not None


def direct_needs(s: Session, wheel: Wheel) -> list[Line]:
    """Direct references among a built wheel's own requirements: uv wants them stated at the top."""
    blob = s.room.blob(wheel.sha256)
    if blob is None:
        return []
    found = []
    for field_ in read_metadata(blob)["text"].split("\n\n")[0].split("\n"):
        text = field_.partition(":")[2].strip() if field_.startswith("Requires-Dist:") else ""
        kind = requirements.kind_of(text) if text and "extra ==" not in text else "named"
        if kind in ("vcs", "archive", "directory"):
            found.append(Line(text, kind, file=wheel.filename))
    return found


def resolver(s: Session) -> Resolve:
    """Build requirements → wheels, with the project's own indexes; each set once."""
    options = tuple(line.text for line in s.lines if line.kind == "option" and line.text.startswith(_INDEX_OPTIONS))

    @cache
    def resolve(needs: tuple[str, ...]) -> tuple[Wheel, ...]:
        if not needs:
            return ()
        inner = replace(
            s.request,
            dependencies=Dependencies("inline", (), (*options, *needs)),
            previous="",
            built=(),
            upgrade=False,
            on=None,
            scratch=Path(mkdtemp(prefix="needs-", dir=s.request.scratch)),
        )
        return lock_wheels(inner, s.room, s.depth + 1).wheels

    return resolve


def stands(wheel: Wheel, request: Request) -> bool:
    """Whether a wheel of the standing lock is what building would give for this target: same ABI, same C library."""
    linked = not wheel.filename.endswith("-any.whl")
    same = f" {wheel.built_with}".endswith(f" on {request.target.libc}")
    return fits(wheel.filename, request) and (same or not linked)


def fits(filename: str, request: Request) -> bool:
    """Whether a wheel of this file name can be installed on the target."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        own = parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return False
    return not own.isdisjoint(_tag_set(request))


def _tag_set(request: Request) -> frozenset[object]:
    return frozenset(tags(request.target))


def _resolve(s: Session, command: uv.Compile, stdin: bytes | None) -> LockedPython:
    command = replace(command, find_links=(s.links,) if any(not w.direct_url for w in s.built.values()) else ())
    if s.formats.no_binary:
        if s.request.offline:
            raise ResolveError("python.offline", "--no-binary takes sources of the index, and it must not be asked")
        return _with_index(s, command, stdin)
    try:
        return _answer(s, uv.resolve(s.request, command, stdin), "")
    except uv.NoSolution as e:
        if s.request.offline or not needs_build(e.stderr):
            raise e.error from None
        return _with_index(s, command, stdin)


def _with_index(s: Session, command: uv.Compile, stdin: bytes | None) -> LockedPython:
    """Resolve against an index of our own that offers sdists as wheels (decision 0051).

    What the standing lock had built is offered there too, and not by a folder: one file, one place.
    """
    from bareboat.resolve.python import index
    from bareboat.resolve.python.upstream import fetcher, with_loopback

    command = replace(command, find_links=())
    shown = uv.effective_indexes(s.request, tuple(line.text for line in s.lines if line.kind == "option"))
    indexes, _ = index.effective(shown)
    request = replace(s.request, env=with_loopback(s.request.env), offline=False)
    resolve = resolver(s)
    fetch = fetcher(s.request.env)

    one_at_a_time = Lock()  # uv asks in parallel; starting sandboxes from several threads forks beside them

    def build(offer: index.Offer) -> bytes:
        with one_at_a_time:
            wheel = _build_offer(s, offer, resolve)
        blob = s.room.blob(wheel.sha256)
        return read_metadata(blob)["text"].encode() if blob else b""

    with index.serving(indexes, lambda name: fits(name, s.request), fetch, build, s.formats) as served:
        own = tuple(f"{served.base}/{n}/" for n in range(len(indexes)))
        try:
            text = uv.resolve(
                replace(request, previous=s.request.previous, upgrade=s.request.upgrade or ()),
                replace(command, indexes=own),
                stdin,
            )
        except uv.NoSolution as e:
            raise served.failure or e.error from None
        for name, offer in served.offers.items():
            if f"/{name}" in unquote(text):
                wheel = _build_offer(s, offer, resolve)
                s.built[name] = wheel
        return _answer(s, text, served.base)


def _build_offer(s: Session, offer: index.Offer, resolve: Resolve) -> Wheel:
    path = s.room.blob(offer.sha256) if offer.sha256 else None
    path = path or s.room.download(offer.url, offer.sha256)
    name = offer.url.partition("#")[0].rpartition("/")[2]
    origin = archive_origin(
        f"{offer.name} {offer.version} ({name})",
        path,
        offer.url,
        offer.sha256 or file_digest(path),
        direct=False,
    )
    return _standing_build(s, origin) or build_wheel(
        origin, s.request.target, Path(mkdtemp(prefix="build-", dir=s.request.scratch)), s.room, resolve
    )


def _standing_build(s: Session, origin: Origin) -> Wheel | None:
    """The locked wheel that was built from this very source and still fits."""
    for wheel in s.request.built:
        if wheel.built_from == origin.built_from and stands(wheel, s.request) and s.room.blob(wheel.sha256):
            return wheel
    return None


def _answer(s: Session, text: str, base: str) -> LockedPython:
    """uv's lock with every built wheel named by its source, and the wheels themselves for bareboat.lock."""
    out = []
    used: dict[str, Wheel] = {}
    text = pylock.finish(text, pylock.mover(s.request.scratch, s.request.root))
    for line in text.splitlines():
        if line.startswith(("wheels = ", "archive = ")):
            plain = unquote(line)
            for filename, wheel in s.built.items():
                if f'/{filename}"' in plain and ("links/" in plain or (base and base in plain)):
                    used[wheel.name] = wheel
                    line = pylock_source(wheel)
                    break
        out.append(line)
    final = "\n".join(out) + "\n"
    asked = wanted(s.request, s.lines)
    selection = pylock.select(final, asked, stated_in(s.request))
    wheels = [_kept(s, w) for w in selection.wheels]
    for source in selection.sources:
        if source.name not in used:
            raise ResolveError("python.no-wheel", f"{source.name} {source.version} was not built")
        wheels.append(replace(used[source.name], requested=source.name in asked.names))
    wheels = [replace(used[w.name], requested=w.name in asked.names) if w.name in used else w for w in wheels]
    return LockedPython(tuple(sorted(wheels, key=lambda w: w.name)), final)

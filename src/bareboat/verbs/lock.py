"""lock: bring pylock.toml and bareboat.lock up to date with the project, and say what changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bareboat.errors import LockError, ResolveError
from bareboat.lock import Base, Lock, PlatformLock, Wheel, changes, dumps, is_current, loads, request_digest
from bareboat.project.values import Project
from bareboat.values import TYPE_CHECKING, dataclass, replace
from bareboat.verbs.collaborators import Work
from bareboat.verbs.lock_mode import LOCK_FILE, PYLOCK_FILE, LockMode

if TYPE_CHECKING:
    from bareboat.builder.image import Sources
    from bareboat.builder.rooms import SandboxRoom
    from bareboat.resolve.debian.archive import Archive
    from bareboat.resolve.debian.lockbase import BaseRequest
    from bareboat.resolve.python.installed import OnBase
    from bareboat.resolve.python.request import Request

@dataclass(frozen=True)
class Locked:
    """The lock in force and its files' texts by name; made: it was not up to date before."""

    lock: Lock
    texts: tuple[tuple[str, str], ...]
    made: bool = False


def host_platform() -> str:
    """This machine as image-spec says it: "linux/amd64"."""
    from bareboat.host.kernel import platform

    return platform()


def pylock_name(platform: str, first: bool) -> str:
    """PEP 751: pylock.toml, or pylock.NAME.toml for a further platform."""
    return PYLOCK_FILE if first else f"pylock.{platform.replace('/', '-')}.toml"


def lock(project: Project, inputs: tuple[tuple[str, str], ...], mode: LockMode, work: Work) -> Locked:
    """The lock of a project, made or brought up to date where it is not. One lock is for all its platforms: those that
    the project names; else those that it is for already, and what mode.platforms asks for, which stay in it.

    Writes the two files into the project atomically, the lock last. Raises LockError "lock.stale" under --locked,
    ResolveError for what cannot be had.
    """
    standing = _read(project.root / LOCK_FILE)
    old = loads(standing, where=LOCK_FILE) if standing else None
    platforms = _platforms(project, old, mode)
    request = _request(project, platforms)
    names = [pylock_name(p, i == 0) for i, p in enumerate(platforms)]
    texts = {name: _read(project.root / name) for name in names}
    seen = _with_texts(inputs, texts)
    whole = is_current(old, seen, request) and all(texts[n] for n in names)
    if old and whole and not mode.upgrade and _replaces(old, mode.replace):
        return Locked(old, ((LOCK_FILE, standing), *texts.items()))
    if mode.locked:
        raise _stale(old, seen, request)
    from bareboat.image.planning import in_place

    if mode.upgrade:
        mode = _upgradable(project, mode, work)
    began = time.monotonic()
    locked: list[PlatformLock] = []
    asked = _request(project, tuple(p.platform for p in old.platforms)) if old else ""  # one more keeps the others
    base_is_current = old is not None and old.request.partition("-")[0] == asked.partition("-")[0]
    for name, platform in zip(names, platforms, strict=True):
        before = next((p for p in old.platforms if p.platform == platform), None) if old else None
        keep = before.base if before and base_is_current and mode.upgrade is not True else None
        base = keep or _base(project, platform, mode, work)
        standing_on = PlatformLock(platform, in_place(base, project), before.wheels if before else ())
        on = _on_base(project, standing_on, mode, work) if base.image is not None else None
        wheels, texts[name] = _wheels(project, standing_on, texts[name], mode, (on, work))
        if on is not None:
            from bareboat.verbs.bases import settled

            base = settled(PlatformLock(platform, base, wheels), on, work)
        locked.append(PlatformLock(platform, base, wheels))
    if isinstance(mode.upgrade, tuple):
        _all_there(mode.upgrade, locked)
    new = Lock(_with_texts(inputs, texts), request, tuple(locked))
    new = replace(new, changes=changes(old, new))
    text = dumps(new)
    for name in names:
        _write(project.root / name, texts[name], work)
    _write(project.root / LOCK_FILE, text, work)
    _say(old, new, time.monotonic() - began, work)
    return Locked(new, ((LOCK_FILE, text), *((n, texts[n]) for n in names)), made=True)


def _platforms(project: Project, old: Lock | None, mode: LockMode) -> tuple[str, ...]:
    """What the lock is for, in its order. Raises LockError "lock.platform" for what the project does not name."""
    if project.platforms:
        others = [p for p in mode.platforms if p not in project.platforms]
        if others:
            raise LockError("lock.platform", f"the project is for {', '.join(project.platforms)}, not for {others[0]}",
                            where="platforms", hint=f'add "{others[0]}" to platforms in the project file')
        return project.platforms
    before = tuple(p.platform for p in old.platforms) if old else ()
    return tuple(dict.fromkeys((*before, *(mode.platforms or (host_platform(),)))))


def _upgradable(project: Project, mode: LockMode, work: Work) -> LockMode:
    """The mode with package names as the lock has them. A lock of the user's own is not ours to upgrade: LockError
    "lock.not-ours" for packages of it, and a word when everything was meant, for then the base moves alone."""
    from bareboat.project.sources import normalised

    d = project.dependencies
    if d.source in ("uv.lock", "pylock"):
        how = "`uv lock --upgrade`" if d.source == "uv.lock" else "the tool that made it"
        if mode.upgrade is not True:
            raise LockError("lock.not-ours", f"the packages are taken from {d.files[0]} as it is", where=d.files[0],
                            hint=f"upgrade it with {how}")
        work.tell.say(f"{d.files[0]} is taken as it is: {how} takes newer packages; the base is upgraded here")
    if isinstance(mode.upgrade, tuple):
        return replace(mode, upgrade=tuple(normalised(name) for name in mode.upgrade))
    return mode


def _all_there(names: tuple[str, ...], locked: list[PlatformLock]) -> None:
    """Raises LockError "lock.unknown-package" when a package that should be upgraded is in no platform's lock."""
    known = {w.name for p in locked for w in p.wheels} | {b.name for p in locked for b in p.base.brought}
    missing = [name for name in names if name not in known]
    if missing:
        from bareboat.project.kinds import nearest

        near = nearest(missing[0], known)
        raise LockError("lock.unknown-package", f"{' and '.join(missing)} is not among the packages",
                        where=LOCK_FILE, hint=f"did you mean {near!r}?" if near else "pylock.toml lists them")


def _with_texts(inputs: tuple[tuple[str, str], ...], texts: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The inputs and the pylock files: one that was edited or merged since is no longer what the lock goes with."""
    import hashlib

    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items() if text}
    return tuple(sorted({**dict(inputs), **digests}.items()))


def _request(project: Project, platforms: tuple[str, ...]) -> str:
    """Two digests: what the base depends on, and what the wheels depend on besides the inputs' bytes."""
    d = project.dependencies
    more = {"replace": list(project.replace)} if project.replace else {}
    base = request_digest({"python": project.python.specifier, "base": project.base, "apt": list(project.apt),
                           "platforms": list(platforms), **more})
    wheels = request_digest({"source": d.source, "requirements": list(d.requirements), "groups": list(d.groups),
                             "extras": list(d.extras), "files": list(d.files)})
    return f"{base[:32]}-{wheels[:32]}"


def archive(family: str, work: Work) -> Archive:
    """The package archive of a distribution, as the settings or the host's apt say; "": whichever those have."""
    from bareboat.resolve.debian.host import open_archive
    from bareboat.resolve.debian.sources import ArchiveSettings

    s = work.settings
    if not family and s.debian_mirror is None and s.ubuntu_mirror is not None:
        family = "ubuntu"
    ubuntu = family == "ubuntu"
    chosen = ArchiveSettings(
        mirror=(s.ubuntu_mirror if ubuntu else s.debian_mirror) or "",
        security_mirror="" if ubuntu else s.debian_security_mirror or "",
        keyring=str(s.debian_keyring or ""), check_valid_until=s.debian_check_valid_until,
        snapshot=s.debian_snapshot or "")
    return open_archive(work.store, chosen, family=family, offline=s.offline, progress=work.tell.progress)


def _base(project: Project, platform: str, mode: LockMode, work: Work) -> Base:
    from bareboat.resolve.debian.lockbase import BaseRequest, lock_base
    from bareboat.verbs.bases import is_image, lock_image

    if is_image(project.base):
        return lock_image(project, platform, work, fresh=mode.upgrade is True)
    family, _, suite = (project.base or "").partition(":")
    request = BaseRequest(suite=suite, python=project.python.specifier, python_source=project.python.source,
                          apt=project.apt, apt_source=project.apt_source or "apt", platform=platform)
    try:
        return lock_base(request, archive(family, work))
    except ResolveError as error:
        if error.code == "debian.no-mirror" and project.base is None and not project.apt:
            return lock_image(project, platform, work, default=True)
        if error.code != "debian.no-python":
            raise
        standing = _with_cpython(project, request, family, work)
        if standing is None:
            raise
        return standing


def _with_cpython(project: Project, request: BaseRequest, family: str, work: Work) -> Base | None:
    """A base without Python of its own and a relocatable CPython on it; None where there is none such either."""
    from bareboat.builder.cpython import executable_of
    from bareboat.resolve.cpython import Asked, lock_cpython
    from bareboat.resolve.debian.lockbase import lock_base

    asked = Asked(project.python.specifier, request.platform, work.settings.python_mirror or "", work.settings.offline)
    cpython = lock_cpython(asked, work.store)
    if cpython is None:
        return None
    base = lock_base(replace(request, python="", bare=True), archive(family, work))
    version = cpython.version.rpartition(".")[0]
    return replace(base, python=version, python_full=cpython.version, executable=executable_of(version),
                   cpython=cpython)


def _on_base(project: Project, standing: PlatformLock, mode: LockMode, work: Work) -> OnBase | None:
    """What a resolution stands on when the base is an image."""
    from bareboat.project.sources import normalised
    from bareboat.verbs.bases import on_base

    names = tuple(dict.fromkeys(normalised(n) for n in (*project.replace, *mode.replace)))
    return on_base(standing, project, names, work)


def _replaces(old: Lock, names: tuple[str, ...]) -> bool:
    """Whether a lock already replaces what may be replaced now."""
    from bareboat.project.sources import normalised

    wanted = {normalised(name) for name in names}
    return all(wanted <= {w.name for w in p.wheels} for p in old.platforms)


def _wheels(project: Project, before: PlatformLock, pylock: str, mode: LockMode,
            at: tuple[OnBase | None, Work]) -> tuple[tuple[Wheel, ...], str]:
    from bareboat.resolve.python.locking import lock_wheels

    on, work = at
    with work.store.scratch("lock") as scratch:
        request = python_request(project, before, scratch, work)
        request = replace(request, previous=pylock, upgrade=mode.upgrade, on=on)
        locked = lock_wheels(request, room(before, work))
    return locked.wheels, locked.pylock_text


def restore(project: Project, locked: PlatformLock, work: Work) -> None:
    """Build again what a lock names by digest, was built elsewhere, and is not in this store; and fetch what an index
    gives to this project's users only, for an image knows no passwords.

    Raises LockError "lock.source-changed", "lock.rebuilt-differs", ResolveError "download.*".
    """
    from bareboat.image.planning import in_place

    locked = replace(locked, base=in_place(locked.base, project))
    absent = [w for w in locked.wheels if work.store.blob(w.sha256) is None]
    _fetch_private([w for w in absent if w.url], project, locked, work)
    if all(w.url for w in absent):
        return
    from bareboat.resolve.python.restoring import restore as build_again

    with work.store.scratch("restore") as scratch:
        build_again(locked.wheels, python_request(project, locked, scratch, work), room(locked, work))


def _fetch_private(wheels: list[Wheel], project: Project, locked: PlatformLock, work: Work) -> None:
    """Bring the wheels into the store that lie where the project has a user and password for."""
    if not wheels:
        return
    from bareboat.resolve.python.credentials import credentials, with_credentials

    request = python_request(project, locked, work.store.home, work)
    known = credentials(request)
    if not known:
        return
    from bareboat.image.plan import interpreter_of
    from bareboat.image.wheel import wheel_tree_key
    from bareboat.resolve.download import Download, Policy, fetch

    python = interpreter_of(locked.base)
    found = ((w, with_credentials(w.url, known)) for w in wheels)
    items = [Download(url, w.sha256, w.size, w.filename) for w, url in found
             if url != w.url and work.store.tree(wheel_tree_key(w, python)) is None]
    if items:
        fetch(work.store, items, policy=replace(Policy(env=request.env), offline=work.settings.offline))


def room(locked: PlatformLock, work: Work) -> SandboxRoom:
    """Where build backends run, for the base of a lock."""
    from bareboat.builder.rooms import SandboxRoom

    return SandboxRoom(work.store, work.engine, locked.base, locked.platform, sources(work), work.tell.progress)


def sources(work: Work) -> Sources:
    """Where missing packages come from, as the settings say."""
    from bareboat.builder.image import Sources
    from bareboat.verbs.compiling import compile_for
    from bareboat.verbs.registries import home_of

    return Sources(lambda family: archive(family, work), work.settings.jobs, work.settings.offline,
                   lambda image: home_of(image, work), lambda plan: compile_for(plan, work),
                   work.settings.compression)


def python_request(project: Project, locked: PlatformLock, scratch: Path, work: Work) -> Request:
    """What is asked of the Python resolver for the base of a lock."""
    from bareboat.resolve.python.request import Request
    from bareboat.resolve.python.target import Target

    return Request(
        root=project.root, dependencies=project.dependencies,
        target=Target(locked.base.python_full, locked.base.libc, locked.platform), scratch=scratch,
        built=tuple(w for w in locked.wheels if w.built_from), offline=work.settings.offline,
        index_age=work.settings.index_max_age, env=dict(os.environ))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise LockError("lock.malformed", "is not UTF-8 text", where=path.name,
                        hint="restore it from version control, or delete it and run `bareboat lock`") from None


def _write(path: Path, text: str, work: Work) -> None:
    from bareboat.host.files import replace_file

    try:
        if _read(path) != text:
            replace_file(path, text.encode())
    except OSError as e:
        raise LockError("lock.unwritable", f"cannot be written: {e.strerror}", where=str(path),
                        hint="make the folder writable, or copy it to a place where you may write") from None


def _stale(old: Lock | None, inputs: tuple[tuple[str, str], ...], request: str) -> LockError:
    if old is None:
        return LockError("lock.stale", "there is no lock", where=LOCK_FILE, hint="run `bareboat lock` and commit it")
    before = dict(old.inputs)
    named = [name for name, digest in inputs if before.get(name) != digest] or [n for n in before
                                                                               if n not in dict(inputs)]
    what = f"{', '.join(named)} changed since it was made" if named else "the project asks for something else now"
    return LockError("lock.stale", what, where=LOCK_FILE, hint="run `bareboat lock`, or leave out --locked")


def _say(old: Lock | None, new: Lock, seconds: float, work: Work) -> None:
    first = new.platforms[0]
    base = first.base
    on = base.suite if base.image else f"{base.family} {base.suite} ({len(base.packages)} packages)"
    head = f"locked {len(first.wheels)} packages, Python {base.python_full} on {on}, {seconds:.1f} s"
    if old is None:
        work.tell.say(head)
        return
    shown = new.changes[:6]
    more = f" and {len(new.changes) - 6} more" if len(new.changes) > 6 else ""
    work.tell.say(f"{head}: {', '.join(shown)}{more}" if shown else f"{head}: nothing changed")

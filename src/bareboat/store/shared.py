"""A store of somebody else's below the user's own: its trees and blobs are used where they are, and never written.

Trusted is who owns it: root, or who the settings name. Everything on the way to it and in it must be theirs and
writable by nobody else, and what comes from it is compared with what it should be before its first use, once per user
and thing, remembered by inode, size and times. A store that is not in order is not used at all, and that is said.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bareboat.digests import LARGE, hasher, sha256
from bareboat.errors import BareboatError
from bareboat.host import files
from bareboat.store.documents import Documents
from bareboat.store.paths import FORMAT, MARK, Layout, check_key, check_sha256
from bareboat.values import Any

_FOLDERS = ("", "blobs", "blobs/sha256", "trees")
_SAY = 256 << 20  # bytes whose comparison takes long enough to be told
Signature = tuple[int, int, int, int]


class Shared:
    """The shared store of one Store object. own: where what was compared is remembered; say: whom to tell."""

    def __init__(self, home: Path, owner: int, own: Documents, say: Callable[[str], None] = lambda text: None) -> None:
        self.home = os.path.realpath(home)
        self._trusted, self._own, self._say = frozenset((0, owner)), own, say
        self._layout = Layout(self.home)
        self._trouble: str | None = None
        self._boot: str | None = None
        self._known: dict[str, tuple[Signature, bool]] | None = None
        self._held: dict[str, int] = {}

    def trouble(self) -> str:
        """Why the store is not used; "" when it is. Looked at once."""
        if self._trouble is None:
            self._trouble = next(self._troubles(), "")
            if self._trouble:
                self._say(f"the shared store is not used: {self._trouble}")
        return self._trouble

    def _troubles(self) -> Iterator[str]:
        try:
            above = self.home
            while above != "/":
                above = os.path.dirname(above)
                status = os.stat(above)
                if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
                    yield f"others can write to {above}, which it lies in"
                if status.st_uid not in self._trusted:
                    yield f"{above}, which it lies in, belongs to uid {status.st_uid}"
            for name in _FOLDERS:
                place = self._layout.at(name) if name else self.home
                yield from self._wrong(os.stat(place, follow_symlinks=False), place)
            with open(self._layout.at("format"), "rb") as file:
                version = int(file.read(64))
            if version > FORMAT:
                yield f"{self.home} has format {version}; this bareboat knows up to {FORMAT}"
            if not os.path.exists(self._layout.at(MARK)):
                yield f"{self.home} is not shared: BAREBOAT_HOME={self.home} bareboat share"
        except (OSError, ValueError) as error:
            yield f"{getattr(error, 'filename', None) or self.home}: {getattr(error, 'strerror', None) or error}"

    def _wrong(self, status: os.stat_result, path: str) -> Iterator[str]:
        if status.st_uid not in self._trusted:
            yield (f"{path} belongs to uid {status.st_uid}, which is neither root nor who may own it "
                   "(shared-store.owner)")
        if status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode):
            yield f"others can write to {path} (mode {stat.S_IMODE(status.st_mode):04o})"

    # what is there

    def tree(self, key: str) -> Path | None:
        """The root of a complete tree that was found right, or None."""
        if self.trouble():
            return None
        wrapper = self._layout.tree(check_key(key))
        try:
            status = os.stat(f"{wrapper}/manifest", follow_symlinks=False)
            if not self._complete(wrapper):
                return None
        except OSError:
            return None
        right = self._once(key, status, lambda: self._tree_trouble(key, wrapper))
        return Path(f"{wrapper}/root") if right else None

    def blob(self, digest: str, *, again: bool = False) -> Path | None:
        """The file of a blob whose bytes were found right, or None. again: compare them now, whatever is known."""
        if self.trouble():
            return None
        path = self._layout.blob(check_sha256(digest))
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            return None
        right = self._once(digest, status, lambda: self._blob_trouble(path, digest), again=again)
        return Path(path) if right else None

    def images(self) -> dict[str, str]:
        """Names of images there, and their plan digests."""
        found = {}
        for name in self._listed("tags"):
            value = self._document("tags", name)
            if isinstance(value, dict) and isinstance(value.get("plan"), str):
                found[name] = value["plan"]
        return found

    def plan(self, digest: str) -> dict[str, Any] | None:
        """The document of a plan there; None where there is none that is right."""
        value = self._document("plans", digest)
        return value if isinstance(value, dict) and value.get("plan") == digest else None

    def _listed(self, kind: str) -> list[str]:
        if self.trouble():
            return []
        try:
            status = os.stat(self._layout.at("documents", kind), follow_symlinks=False)
        except OSError:
            return []
        return [] if next(self._wrong(status, kind), "") else Documents(self._layout).keys(kind)

    def _document(self, kind: str, key: str) -> object | None:
        try:
            if self.trouble() or next(self._wrong(os.stat(self._layout.document(kind, key)), key), ""):
                return None
            return Documents(self._layout).peek(kind, key)
        except (OSError, ValueError, BareboatError):
            return None

    def owns(self, path: Path) -> bool:
        """Whether a tree's root is one of this store."""
        return os.fspath(path).startswith(f"{self.home}/")

    def hold(self, keys: Iterable[str]) -> list[str]:
        """Keep trees from their owner's gc until close(); those that have gone meanwhile."""
        gone = []
        for key in keys:
            if key not in self._held and not self._hold(key):
                gone.append(key)
        return gone

    def _hold(self, key: str) -> bool:
        path = f"{self._layout.tree(key)}/manifest"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            os.read(fd, 1)  # its access time is when the tree was last used
            there, here = os.stat(path, follow_symlinks=False), os.fstat(fd)
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                self._held[key], fd = fd, -1
                return True
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
                return True  # a file system without locks: the access time has to do
        finally:
            if fd >= 0:
                os.close(fd)
        return False

    def distrust(self, digest: str) -> None:
        """A blob that somebody found wrong: not used again while it stays as it is."""
        try:
            status = os.stat(self._layout.blob(digest), follow_symlinks=False)
        except OSError:
            return
        self._remember(digest, _signature(status), False)

    def close(self) -> None:
        """Let go of what is held. Idempotent."""
        held, self._held = self._held, {}
        for fd in held.values():
            os.close(fd)

    # whether it is right

    def _complete(self, wrapper: str) -> bool:
        if os.path.exists(f"{wrapper}/synced"):
            return True
        try:
            with open(f"{wrapper}/boot", encoding="ascii") as file:
                boot = file.read()
        except (OSError, UnicodeDecodeError):
            return False
        if self._boot is None:
            self._boot = files.boot_id()
        return bool(boot) and boot == self._boot

    def _once(self, key: str, status: os.stat_result, look: Callable[[], str], *, again: bool = False) -> bool:
        signature = _signature(status)
        known = self._memory().get(key)
        if not again and known is not None and known[0] == signature:
            return known[1]
        trouble = next(self._wrong(status, key), "") or look()
        if trouble:
            self._say(f"not used from the shared store {self.home}: {trouble}")
        self._remember(key, signature, not trouble)
        return not trouble

    def _blob_trouble(self, path: str, digest: str) -> str:
        from bareboat.store.blobs import file_chunks

        whole = hasher(LARGE)
        try:
            self._tell(os.stat(path).st_size, f"sha256 {digest[:12]}")
            for chunk in file_chunks(Path(path)):
                whole.update(chunk)
        except (OSError, BareboatError) as error:
            return f"{path}: {getattr(error, 'strerror', None) or error}"
        return "" if whole.hexdigest() == digest else f"{path} has another sha256"

    def _tree_trouble(self, key: str, wrapper: str) -> str:
        """Whose each entry is and who may write to it, then everything as the manifest has it."""
        from bareboat.store.manifest import differences, parse

        try:
            for place in (wrapper, f"{wrapper}/root", f"{wrapper}/manifest"):
                for wrong in self._wrong(os.stat(place, follow_symlinks=False), place):
                    return wrong
            for folder, folders, names in os.walk(f"{wrapper}/root"):
                for name in (*folders, *names):
                    for wrong in self._wrong(os.lstat(f"{folder}/{name}"), f"{folder}/{name}"):
                        return wrong
            with open(f"{wrapper}/manifest", "rb") as file:
                entries = parse(file.read(), f"{wrapper}/manifest")
            self._tell(sum(e.size for e in entries.values() if e.crc is not None), key)
            for line in differences(f"{wrapper}/root", entries, content=True):
                return f"{wrapper}: {line}"
        except (OSError, ValueError, BareboatError) as error:
            return f"{wrapper}: {getattr(error, 'strerror', None) or error}"
        return ""

    def _tell(self, size: int, what: str) -> None:
        if size >= _SAY:
            from bareboat.units import format_size

            self._say(f"comparing {what[:40]} of the shared store with what it should be, once: {format_size(size)}")

    def _memory(self) -> dict[str, tuple[Signature, bool]]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[str, tuple[Signature, bool]]:
        found = self._own.get("cache", self._name())
        rows = found.get("seen") if isinstance(found, dict) else None
        return {str(key): ((row[0], row[1], row[2], row[3]), bool(row[4]))
                for key, row in rows.items() if isinstance(row, list) and len(row) == 5} \
            if isinstance(rows, dict) else {}

    def _remember(self, key: str, signature: Signature, right: bool) -> None:
        """Another process may have looked at other things meanwhile: what it found stays."""
        self._known = {**self._read(), **self._memory(), key: (signature, right)}
        self._own.put("cache", self._name(), {"seen": {k: [*s, ok] for k, (s, ok) in self._known.items()}})

    def _name(self) -> str:
        return "shared-" + sha256(os.fsencode(self.home)).hexdigest()[:32]


def troubles(home: Path, owner: int) -> str:
    """Why this would not be used as a shared store; "" when it would. Looks, and remembers nothing."""
    return Shared(home, owner, Documents(Layout("/nonexistent"))).trouble()


def _signature(status: os.stat_result) -> Signature:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

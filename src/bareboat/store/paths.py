"""Where everything is on disk; nobody else puts a path of the store together.

    format                     the layout's version, written last when a store is made
    blobs/sha256/HEX           bytes by digest, complete and right
    trees/KEY/root             a layer unpacked, read-only
    trees/KEY/manifest         what is in it: modes, sizes, checksums
    trees/KEY/synced           there once all of it is durable
    trees/KEY/boot             the kernel that wrote it, until then
    documents/KIND/NAME        JSON with its own digest
    runs/ID/                   one run: record.json, log, results
    sessions/NAME/home         what is kept of a project's sessions; made when first needed
    volumes/NAME/{data,about}  a named volume and what is known of it; made when first needed
    checkouts/KEY/root         code that was fetched, by commit; made when first needed
    ssh/                       keys, known hosts and host entries of `bareboat ssh`; made when first needed
    queue/                     unattended runs: ledger.sqlite and what its worker needs; made when first needed
    unsettled/KEY              trees that wait to be synced
    shared                     there while other users may read blobs and trees (store/lending.py)
    tmp/NAME                   work in progress, locked by its maker
    leases/NAME                what a living process uses, locked by it
    locks/{store,make}         lock files, never removed

Nothing in here holds an absolute path: a store that was copied works.
"""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.errors import StoreError
from bareboat.values import dataclass

FORMAT = 1
MARK = "shared"
KEY_LENGTH = 200
_HEX = frozenset("0123456789abcdef")
_KEY = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_+")


@dataclass(frozen=True)
class Layout:
    """The places in one store, as strings: they are made a hundred times in a run, and Path is slow. lent: other users
    may read what is made in it.
    """

    home: str
    lent: bool = False

    def at(self, *parts: str) -> str:
        return "/".join((self.home, *parts))

    def blob(self, sha256: str) -> str:
        return f"{self.home}/blobs/sha256/{sha256}"

    def tree(self, key: str) -> str:
        return f"{self.home}/trees/{key}"

    def document(self, kind: str, key: str) -> str:
        return f"{self.home}/documents/{kind}/{document_name(key)}"


DIRECTORIES = (
    "blobs", "blobs/sha256", "trees", "documents", "runs", "sessions", "volumes", "checkouts",
    "unsettled", "tmp", "leases", "locks",
)  # fmt: skip
LOCKS = ("locks/store", "locks/make")


def check_sha256(text: str) -> str:
    """A digest that may become a file name: 64 lower-case hex digits and nothing else."""
    if len(text) == 64 and _HEX.issuperset(text):
        return text
    raise StoreError(
        "store.bad-digest", "not a sha256: 64 lower-case hex digits are meant", where=repr(text[:80])
    )


def check_key(key: str) -> str:
    """A tree key that may become a file name: [a-z0-9.-]{1,200}, not starting with a dot."""
    if 0 < len(key) <= KEY_LENGTH and _KEY.issuperset(key) and key[0] != ".":
        return key
    raise StoreError(
        "store.bad-key", "a tree key is [a-z0-9.-], at most 200, no leading dot", where=repr(key[:80])
    )


def check_volume(name: str) -> str:
    """A volume's name that may become a directory's: [a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}."""
    if 0 < len(name) <= 63 and _PLAIN.issuperset(name) and "+" not in name and name[0] not in "._-":
        return name
    raise StoreError(
        "volume.bad-name", "a volume's name is letters, digits and _ . -, at most 63, beginning with a letter or digit",
        where=repr(name[:80]),
    )


def document_name(key: str) -> str:
    """A file name for any text: itself where plain, percent-encoded elsewhere, hashed where that is too
    long.
    """
    if not key:
        raise StoreError("store.bad-key", "a document needs a key")
    if _PLAIN.issuperset(key) and len(key) <= KEY_LENGTH and key[0] != ".":
        return key
    raw = key.encode("utf-8", "surrogateescape")
    name = "".join(
        chr(b) if chr(b) in _PLAIN and not (i == 0 and b == 0x2E) else f"%{b:02X}" for i, b in enumerate(raw)
    )
    if len(name) <= KEY_LENGTH:
        return name
    import hashlib

    return f"%%{hashlib.sha256(raw).hexdigest()}"


def open_home(home: Path) -> Layout:
    """Make or open the directory of a store: 0700, ours, of a format we know.

    Raises StoreError: store.foreign (another user's), store.not-private (others can enter), store.newer,
    store.not-a-store (something else is there), and the disk's own troubles.
    """
    layout = Layout(os.path.abspath(home))
    try:
        version = _format(layout)
        if version is None:
            _create(layout)
            version = FORMAT
    except OSError as error:
        from bareboat.store.disk_errors import disk_error

        raise disk_error(error, layout.home) from error
    if version > FORMAT:
        raise StoreError(
            "store.newer",
            f"the store has format {version}; this bareboat knows up to {FORMAT}",
            where=layout.home,
            hint="update bareboat, or set BAREBOAT_HOME to another directory",
        )
    return Layout(layout.home, lent=True) if _check_owner(layout) else layout


def _check_owner(layout: Layout) -> bool:
    """Whether other users may read it, which is so when its owner said so."""
    status = os.stat(layout.home)
    if status.st_uid != os.geteuid():
        raise StoreError(
            "store.foreign",
            f"the store belongs to uid {status.st_uid}, not to {os.geteuid()}",
            where=layout.home,
            hint="each user has a store of their own: set BAREBOAT_HOME",
        )
    if status.st_mode & 0o022:
        raise StoreError(
            "store.not-private",
            f"others can write to the store (mode {status.st_mode & 0o7777:04o})",
            where=layout.home,
            hint=f"check who wrote to it, then: chmod 700 {layout.home}",
        )
    if status.st_mode & 0o077:
        if os.path.exists(layout.at(MARK)):
            return True
        os.chmod(layout.home, 0o700)  # a copy made with a plain umask: nobody else wrote, so closing it is enough
    return False


def _format(layout: Layout) -> int | None:
    try:
        fd = os.open(layout.at("format"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        text = os.read(fd, 64)
    finally:
        os.close(fd)
    try:
        return int(text)
    except ValueError:
        raise StoreError(
            "store.damaged",
            "the store's format file is not a number",
            where=layout.at("format"),
            hint=f"if the store is yours and of format {FORMAT}, write {FORMAT} into it",
        ) from None


def _create(layout: Layout) -> None:
    """Idempotent and safe beside another maker: each step leaves what is there; `format` comes last."""
    from bareboat.host.files import fsync, fsync_directory

    os.makedirs(os.path.dirname(layout.home), exist_ok=True)
    try:
        os.mkdir(layout.home, 0o700)
    except FileExistsError:
        known = {"queue", *(d.split("/")[0] for d in DIRECTORIES)}
        strangers = sorted(set(os.listdir(layout.home)) - known - {"format", MARK})
        strangers = [name for name in strangers if not name.startswith(".format-")]
        if strangers:
            raise StoreError(
                "store.not-a-store",
                f"the directory holds other things ({strangers[0]})",
                where=layout.home,
                hint="choose an empty directory for BAREBOAT_HOME",
            ) from None
        _check_owner(layout)
    os.chmod(layout.home, 0o700)
    for name in DIRECTORIES:
        try:
            os.mkdir(layout.at(name), 0o700)
        except FileExistsError:
            continue
        os.chmod(layout.at(name), 0o700)
    for name in LOCKS:
        os.close(os.open(layout.at(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    for name in ("blobs", "locks", "."):
        fsync_directory(layout.at(name))
    fsync_directory(os.path.dirname(layout.home))
    draft = layout.at(f".format-{os.urandom(6).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, b"%d\n" % FORMAT)
        fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, layout.at("format"))
    fsync_directory(layout.home)

"""The store: all of bareboat's state on disk, as one object. What it does is in the files beside this one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bareboat.host.files import FileSystem, filesystem
from bareboat.store.blobs import Blobs, file_chunks
from bareboat.store.documents import Documents
from bareboat.store.leases import Leases
from bareboat.store.paths import Layout, open_home
from bareboat.store.runs import RunStore
from bareboat.store.trees import Trees
from bareboat.values import dataclass

TYPE_CHECKING = False  # typing itself costs 3 ms at every start
if TYPE_CHECKING:
    from bareboat.image.limits import Limits
    from bareboat.store.check import CheckReport
    from bareboat.store.gc import GcReport, Policy
    from bareboat.store.shared import Shared
    from bareboat.store.treewriter import Limits as TreeLimits
    from bareboat.store.treewriter import TreeWriter
    from bareboat.store.usage import Usage
    from bareboat.store.volumes import Volumes


@dataclass(frozen=True)
class Below:
    """A shared store below a user's: whose it must be (a uid; root's is always fine), and whom to tell of its state."""

    home: Path
    owner: int = 0
    say: Callable[[str], None] = lambda text: None


class Store:
    """One directory, 0700, of one user; any number of processes and threads at once; safe against kill -9.

    What a method returns a path to is leased until close() or the end of the process: gc leaves it alone.
    Under `with store.lease(keys)` it is leased by that, and so until that ends.
    """

    def __init__(self, layout: Layout, limits: tuple[int, int, int] | None = None, below: Below | None = None) -> None:
        self._limits, self._below = limits, below
        self.home = Path(layout.home)
        self.queue = self.home / "queue"  # of unattended runs; made when first needed
        self._layout = layout
        self._leases = Leases(layout)
        self._blobs = Blobs(layout, self._leases)
        self._trees = Trees(layout, self._leases)
        self._documents = Documents(layout)
        self._shared: Shared | None = None
        if below is not None:
            from bareboat.store.shared import Shared

            self._shared = Shared(below.home, below.owner, self._documents, below.say)
        self.runs = RunStore(layout)

    @classmethod
    def open(cls, home: Path, limits: tuple[int, int, int] | None = None, below: Below | None = None) -> Store:
        """Open a store, made when the directory is missing or empty. limits: where layers of others stop: bytes,
        entries, ratio. below: a store of others' that what is not here may be in.

        Raises StoreError: store.foreign, store.not-private, store.newer, store.not-a-store, and the disk's
        own.
        """
        return cls(open_home(home), limits, below)

    def again(self) -> Store:
        """The same store for a child process: what it is leased and holds is its own."""
        return type(self).open(self.home, self._limits, self._below)

    @property
    def limits(self) -> Limits:
        """Of one layer that others made."""
        from bareboat.image.limits import Limits

        return Limits(*self._limits) if self._limits else Limits()

    # blobs

    def blob(self, sha256: str) -> Path | None:
        """The file of a complete blob (64 hex digits), or None; marks use. Its bytes were right when it
        was put.
        """
        found = self._blobs.find(sha256)
        return found if found is not None or self._shared is None else self._shared.blob(sha256)

    def verified_blob(self, sha256: str) -> Path | None:
        """As blob, read through first: one that rotted is removed, and None. Costs 1 s for 1.4 GB."""
        found = self._blobs.verified(sha256)
        return found if found is not None or self._shared is None else self._shared.blob(sha256, again=True)

    def put_blob(
        self, chunks: Iterable[bytes], *, sha256: str | None = None, size: int | None = None, where: str = ""
    ) -> str:
        """Store bytes; returns their sha256. Idempotent, atomic, durable when it returns.

        sha256, size: what they must be, else ArchiveError blob.digest or blob.size and nothing is kept. With
        a sha256 that is there already, chunks are not consumed. Raises StoreError (store.full names the bytes
        needed).
        """
        return self._blobs.put(chunks, sha256, size, where)

    def put_file(
        self, path: Path, *, sha256: str | None = None, size: int | None = None, where: str = ""
    ) -> str:
        """Store a regular file. As put_blob. One in this store's tmp/ is renamed, so it is gone afterwards;
        others are copied. Nobody may be writing to it.
        """
        if self._is_ours(path):
            return self._blobs.adopt(path, sha256, size, where or str(path))
        return self._blobs.put(file_chunks(path), sha256, size, where or str(path))

    def adopt_fresh(self, path: Path, sha256: str) -> None:
        """Store a file of this store's tmp/ whose sha256 its writer has computed as the bytes went by; for what can
        be fetched again. Usable at once, durable after settle(); a crash before it makes it absent. Atomic.
        """
        self._blobs.adopt_fresh(path, sha256)

    def _is_ours(self, path: Path) -> bool:
        if not os.path.abspath(path).startswith(self._layout.at("tmp", "")):
            return False
        status = os.lstat(path)
        return stat.S_ISREG(status.st_mode) and status.st_nlink == 1

    def remove_blob(self, sha256: str) -> None:
        """Remove a blob that is known to be wrong; no error when it is gone."""
        self._blobs.remove(sha256)
        if self._shared is not None:
            self._shared.distrust(sha256)

    def drop_blobs(self, digests: Iterable[str]) -> int:
        """Remove blobs that can be had again, but for those that a living process holds; how many went."""
        return self._blobs.drop(digests)

    # trees

    def tree(self, key: str) -> Path | None:
        """The root of a complete read-only tree by key ([a-z0-9.-], 1 to 200), or None; marks use."""
        found = self._trees.find(key)
        return found if found is not None or self._shared is None else self._shared.tree(key)

    def trees(self, keys: Iterable[str]) -> list[Path | None]:
        """As tree for many keys, in their order, at a third of the cost."""
        if self._shared is None:
            return self._trees.find_all(keys)
        listed = list(keys)
        found = self._trees.find_all(listed)
        return [t if t is not None else self._shared.tree(k) for k, t in zip(listed, found, strict=True)]

    @property
    def borrows(self) -> bool:
        """Whether there is a shared store below this one."""
        return self._shared is not None

    def shared_trouble(self) -> str:
        """Why the shared store is not used; "" when it is, or when there is none."""
        return "" if self._shared is None else self._shared.trouble()

    def is_shared(self, tree: Path) -> bool:
        """Whether a tree's root is one of the shared store, so that its files are somebody else's."""
        return self._shared is not None and self._shared.owns(tree)

    def shared_images(self) -> dict[str, str]:
        """Names of images of the shared store, and their plan digests."""
        return {} if self._shared is None else self._shared.images()

    def borrow_plan(self, digest: str) -> bool:
        """Take over the plan of an image of the shared store, which is small: its trees are used where they are. False
        when it is not there, or not whole.
        """
        if self.get_json("plans", digest) is not None:
            return True
        document = self._shared.plan(digest) if self._shared is not None else None
        path = self.verified_blob(str(document["plan_blob"])) if document is not None else None
        if document is None or path is None:
            return False
        self._blobs.put(file_chunks(path), str(document["plan_blob"]), None, str(path))
        self.put_json("plans", digest, document)
        return True

    def hold(self, keys: Iterable[str]) -> list[str]:
        """Keep trees of the shared store from its owner's gc until close(); returns those that went meanwhile."""
        return [] if self._shared is None else self._shared.hold(keys)

    def make_tree(
        self, key: str, fill: Callable[[TreeWriter], None], *, limits: TreeLimits | None = None
    ) -> Path:
        """Make a tree by key unless it is there; returns its root. Atomic, idempotent; one maker at a time by
        key.

        fill must be a pure function of the key. What it raises leaves nothing behind. Raises StoreError,
        ArchiveError.
        """
        if self._shared is not None and (found := self.tree(key)) is not None:
            return found
        return self._trees.make(key, fill, limits)

    def settle(self) -> int:
        """Make trees and blobs that were just made survive a crash; returns how many. Call when nobody waits."""
        return self._blobs.settle() + self._trees.settle()

    def unsettled(self) -> list[str]:
        """Keys of trees and blobs that a crash would undo: whether settle() has something to do."""
        return [*self._trees.unsettled(), *self._blobs.fresh()]

    # documents

    def put_json(self, kind: str, key: str, value: object) -> None:
        """Replace a JSON value by kind ([a-z0-9.-]) and key (any text). Atomic, the last writer wins.

        Durable when it returns, except for the kinds cache, plans and projects, which can be made again.
        """
        self._documents.put(kind, key, value)

    def get_json(self, kind: str, key: str) -> object | None:
        """The value or None; marks use. A changed bit or a swapped file: None for what can be made again,
        else StoreError store.damaged.
        """
        return self._documents.get(kind, key)

    def remove_json(self, kind: str, key: str) -> bool:
        """Remove a value; False when there was none."""
        return self._documents.remove(kind, key)

    def keys(self, kind: str) -> list[str]:
        """Every key of a kind, sorted."""
        return self._documents.keys(kind)

    # work in progress

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """A private directory on the store's file system; gone on leaving, or by gc after a kill -9."""
        from bareboat.store.scratch import Scratch

        with Scratch(self._layout, prefix) as scratch:
            yield Path(scratch.path)

    @contextmanager
    def turn(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """One at a time for some long work, by name; freed when its process dies. wait=False: False when another has
        it. Raises StoreError.
        """
        from bareboat.store.locks import making

        with making(self._layout, f"turn {name}", wait=wait) as mine:
            yield mine

    def session_home(self, name: str, *, fresh: bool = False) -> Path:
        """The directory, 0700, that the sessions of this name ([a-z0-9.-]) keep; made when it is missing. fresh: empty
        again. Never collected. Raises StoreError.
        """
        from bareboat.store.homes import session_home

        return session_home(self._layout, name, fresh)

    def checkout(self, key: str, fill: Callable[[TreeWriter, Path], None] | None = None) -> Path | None:
        """Code that was fetched, by key ([a-z0-9.-]), made by fill where it is missing; see store/checkouts.py."""
        from bareboat.store.checkouts import checkout

        return checkout(self._layout, self._leases, key, fill)

    @property
    def volumes(self) -> Volumes:
        """The named volumes."""
        from bareboat.store.volumes import Volumes

        return Volumes(self._layout, self._leases)

    def lease(self, keys: Iterable[str]) -> AbstractContextManager[None]:
        """Keep trees and blobs of these keys from gc while held, even those that are made later; those of the shared
        store from its owner's, until close().
        """
        listed = tuple(keys)
        self.hold(listed)
        return self._leases.hold(listed)

    def close(self) -> None:
        """Let go of what was returned so far; the object can be used further. Idempotent."""
        self._leases.close()
        if self._shared is not None:
            self._shared.close()

    # sharing

    def lend(self) -> int:
        """Let every user of this machine read blobs and trees; how many trees. What a Store makes that was opened
        before stays closed to them. Idempotent. Raises StoreError.
        """
        return self._lending(lend=True)

    def recall(self) -> None:
        """Close the store to others again. Idempotent. Raises StoreError."""
        self._lending(lend=False)

    def _lending(self, *, lend: bool) -> int:
        from bareboat.store import lending
        from bareboat.store.disk_errors import disk_error
        from bareboat.store.locks import store_lock

        try:
            with store_lock(self._layout, exclusive=True):
                count = lending.lend(self._layout) if lend else 0
                if not lend:
                    lending.recall(self._layout)
        except OSError as error:
            raise disk_error(error, self._layout.home) from error
        return count

    # images

    def tag(self, name: str, plan: str, platforms: tuple[tuple[str, str], ...] = ()) -> None:
        """Give an image a name; plan: its plan digest, of which put_json("plans", digest, …) was made.

        platforms: platform and plan digest of each, where a name stands for several; plan is then what runs here.
        Atomic, durable, the last writer wins. Raises StoreError store.no-plan, so that no name ever dangles.
        """
        from bareboat.store.tags import tag

        tag(self._layout, self._documents, name, plan, platforms)

    def platforms(self, name: str) -> tuple[tuple[str, str], ...]:
        """Platform and plan digest of each image of a name that stands for several; () for any other name."""
        from bareboat.store.tags import platforms

        return platforms(self._documents, name)

    def tags(self) -> dict[str, str]:
        """Every image name and its plan digest."""
        from bareboat.store.tags import tags

        return tags(self._documents)

    def untag(self, name: str) -> bool:
        """Take a name away; False when there was none. What it named is collected by a later gc."""
        return self._documents.remove("tags", name)

    # keeping house

    def gc(self, policy: Policy) -> GcReport:
        """Remove what nobody used for long; see store/gc.py. Works on a full disk."""
        from bareboat.store.gc import collect

        if not policy.dry_run:
            self._blobs.tidy()
        return collect(self._layout, policy)

    def usage(self) -> Usage:
        """What takes how much room, and which images share it; reads every tree's inodes."""
        from bareboat.store.usage import usage

        return usage(self._layout)

    def check(self, *, repair: bool = False, content: bool = True) -> CheckReport:
        """Compare everything with what was written; repair takes what can be made again out of sight."""
        from bareboat.store.check import check

        return check(self._layout, repair=repair, content=content)

    # the machine

    def filesystem(self) -> FileSystem:
        """What the store lies on: type, whether local, and what is slower or not possible there."""
        return filesystem(self.home)

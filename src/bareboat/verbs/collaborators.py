"""What verbs work with: the store, the engine, the settings, and somebody to tell."""

from __future__ import annotations

from bareboat.store import Store
from bareboat.values import TYPE_CHECKING, Protocol, dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from bareboat.engine.base import Engine
    from bareboat.lease.base import Lease, Leases
    from bareboat.registry.base import Repository
    from bareboat.registry.places import Place
    from bareboat.settings import Settings


class Tell(Protocol):
    """Where verbs say what happens; the command line prints it, the Python API keeps quiet."""

    def say(self, text: str) -> None:
        """One line a user should see."""

    def detail(self, text: str) -> None:
        """One line for those who asked for more."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Work in bytes done so far; cheap to call often. total 0: not known."""


class Quiet:
    """Nobody to tell."""

    def say(self, text: str) -> None:
        """Nothing."""

    def detail(self, text: str) -> None:
        """Nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""


class Lent:
    """Leases of GPUs that a command has taken for runs, by their ids, and not handed over yet; given back when nobody
    has its Work any more. leases: None until somebody asks (verbs/lent.py).
    """

    def __init__(self) -> None:
        self.leases: Leases | None = None
        self.held: dict[str, Lease] = {}

    def __del__(self) -> None:
        for lease in self.held.values():
            lease.release()


@dataclass(frozen=True)
class Work:
    """The collaborators of one command. repositories: who opens a registry or layout; None: the real ones."""

    store: Store
    engine: Engine
    settings: Settings
    tell: Tell
    repositories: Callable[[Place], Repository] | None = None
    lent: Lent = field(default_factory=Lent, compare=False)

"""What verbs work with: the store, the engine, the settings, and somebody to tell."""

from __future__ import annotations

from bareboat.store import Store
from bareboat.values import TYPE_CHECKING, Protocol, dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from bareboat.engine.base import Engine
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


@dataclass(frozen=True)
class Work:
    """The collaborators of one command. repositories: who opens a registry or layout; None: the real ones."""

    store: Store
    engine: Engine
    settings: Settings
    tell: Tell
    repositories: Callable[[Place], Repository] | None = None

"""The seam of leases: GPUs and shares of this machine, held by open files, so that any death frees them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from bareboat.lease.values import Holding, Page
from bareboat.values import Protocol


class Lease(Protocol):
    """What is held, by open descriptors: pass them to the process that shall go on holding it."""

    holding: Holding
    descriptors: tuple[int, ...]

    def update(self, holding: Holding) -> None:
        """Tell others something else of it (that it is ending, when it must end); units stay."""

    def release(self) -> None:
        """Give it back, if no other process has the descriptors; idempotent."""


class Leases(Protocol):
    """The leases of one machine."""

    def take(self, holding: Holding) -> Lease | None:
        """All units of the holding, or None when somebody has one. The descriptors are close-on-exec. Raises LeaseError
        where the directory is not as it must be.
        """

    def adopt(self, holding: Holding, descriptors: Sequence[int]) -> Lease:
        """A lease that was taken by another process and whose descriptors were inherited."""

    def holdings(self) -> tuple[Holding, ...]:
        """Whatever is held now, by anybody who says so; what cannot be believed is left out (problems())."""

    def publish(self, page: Page) -> None:
        """Replace this user's page."""

    def pages(self) -> tuple[Page, ...]:
        """Every user's page that can be believed, this user's included."""

    def problems(self) -> tuple[str, ...]:
        """What was left out at the last reading, and why, in words for doctor and queue."""

    def lockers(self, unit: str) -> tuple[int, ...]:
        """Processes that have a part of a unit locked, as far as this user is told, whatever they say of it."""

    def turn(self) -> AbstractContextManager[None]:
        """A context in which no other cooperating process takes or counts; given up after a while where somebody holds
        it for too long.
        """

    def changed(self) -> int:
        """A descriptor that polls readable when something was taken, given back or published; read and drop what is in
        it. -1 where the machine cannot tell: look again every so often.
        """

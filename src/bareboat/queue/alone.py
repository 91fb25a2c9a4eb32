"""Leases where there is nothing to share with anybody: all is granted, and only this process knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bareboat.lease.base import Lease
from bareboat.lease.values import Holding, Page


class _Lease:
    def __init__(self, holding: Holding) -> None:
        self.holding = holding
        self.descriptors: tuple[int, ...] = ()

    def update(self, holding: Holding) -> None:
        self.holding = holding

    def release(self) -> None:
        """Nothing."""


class Alone:
    """lease.base.Leases."""

    def __init__(self) -> None:
        self._pages: dict[int, Page] = {}

    def take(self, holding: Holding) -> Lease | None:
        """Always."""
        return _Lease(holding)

    def adopt(self, holding: Holding, descriptors: Sequence[int]) -> Lease:
        """As taken."""
        return _Lease(holding)

    def holdings(self) -> tuple[Holding, ...]:
        """None."""
        return ()

    def publish(self, page: Page) -> None:
        """Kept here."""
        self._pages[page.uid] = page

    def pages(self) -> tuple[Page, ...]:
        """What was published here."""
        return tuple(self._pages.values())

    def problems(self) -> tuple[str, ...]:
        """None."""
        return ()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """At once."""
        yield

    def changed(self) -> int:
        """Never."""
        return -1

"""The fake of leases: a machine within this process, shared by as many users as ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bareboat.lease.values import SLOTS, Holding, Page
from bareboat.values import replace


class Table:
    """What the users of one machine share."""

    def __init__(self) -> None:
        self.held: dict[object, Holding] = {}
        self.pages: dict[int, Page] = {}


class MemoryLease:
    """A lease on a Table."""

    def __init__(self, table: Table, holding: Holding, key: object) -> None:
        self._table, self._key, self.holding = table, key, holding
        self.descriptors: tuple[int, ...] = ()

    def update(self, holding: Holding) -> None:
        """As Lease.update."""
        if self._key in self._table.held:
            self.holding = replace(holding, uid=self.holding.uid, run=self.holding.run, units=self.holding.units)
            self._table.held[self._key] = self.holding

    def release(self) -> None:
        """As Lease.release."""
        self._table.held.pop(self._key, None)


class MemoryLeases:
    """lease.base.Leases of one user."""

    def __init__(self, uid: int, table: Table) -> None:
        self._uid, self._table = uid, table

    def take(self, holding: Holding) -> MemoryLease | None:
        """As Leases.take."""
        holding = replace(holding, uid=self._uid)
        used: dict[str, int] = {}
        for other in self._table.held.values():
            for unit, slots in other.units:
                used[unit] = used.get(unit, 0) + slots
        if any(used.get(unit, 0) + slots > SLOTS for unit, slots in holding.units):
            return None
        key = object()
        self._table.held[key] = holding
        return MemoryLease(self._table, holding, key)

    def adopt(self, holding: Holding, descriptors: Sequence[int]) -> MemoryLease:
        """As Leases.adopt, of what this process has taken."""
        key = next(k for k, held in self._table.held.items() if (held.uid, held.run) == (self._uid, holding.run))
        return MemoryLease(self._table, holding, key)

    def holdings(self) -> tuple[Holding, ...]:
        """As Leases.holdings."""
        return tuple(sorted(self._table.held.values(), key=lambda h: (h.started, h.uid, h.run)))

    def publish(self, page: Page) -> None:
        """As Leases.publish."""
        self._table.pages[self._uid] = replace(page, uid=self._uid)

    def pages(self) -> tuple[Page, ...]:
        """As Leases.pages."""
        return tuple(sorted(self._table.pages.values(), key=lambda page: page.uid))

    def problems(self) -> tuple[str, ...]:
        """None."""
        return ()

    def lockers(self, unit: str) -> tuple[int, ...]:
        """None: nothing is locked here."""
        return ()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """At once: one thread has the table."""
        yield

    def changed(self) -> int:
        """Never told."""
        return -1

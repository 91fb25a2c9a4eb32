"""One contract of leases: by flock in a directory, and the fake."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lease_kit import let_go  # noqa: F401  (for every test here)

from bareboat.lease.base import Leases
from bareboat.lease.flock import FlockLeases
from bareboat.lease.memory import MemoryLeases, Table
from bareboat.lease.place import Place
from bareboat.lease.values import SLOTS, WISHES_MOST, Holding, Page, Wish

Make = Callable[[], Leases]
A, B = "GPU-11111111-1f69", "GPU-22222222-1f69"


@pytest.fixture(params=["flock", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Another process's view of the same machine, of the same user."""
    if request.param == "flock":
        return lambda: FlockLeases(Place(tmp_path / "leases", True))
    table = Table()
    return lambda: MemoryLeases(os.geteuid(), table)


def holding(run: str, *units: tuple[str, int], **more: object) -> Holding:
    return replace(Holding(0, run, f"name of {run}", units=units), **more)  # type: ignore[arg-type]


def test_a_whole_unit_is_one_holders(make: Make) -> None:
    one, other = make(), make()
    lease = one.take(holding("a", (A, SLOTS)))
    assert lease is not None
    assert other.take(holding("b", (A, SLOTS))) is None and other.take(holding("b", (A, 1))) is None
    assert other.take(holding("c", (B, SLOTS))) is not None
    lease.release()
    assert other.take(holding("b", (A, SLOTS))) is not None


def test_all_units_or_none(make: Make) -> None:
    one, other = make(), make()
    first = one.take(holding("a", (B, SLOTS)))
    assert first is not None and other.take(holding("b", (A, SLOTS), (B, SLOTS))) is None
    assert other.take(holding("c", (A, SLOTS))) is not None  # nothing of it stayed


@pytest.mark.parametrize("slots", [1, 3, 4, 6])
def test_shares_until_there_is_no_more(make: Make, slots: int) -> None:
    views = [make() for _ in range(SLOTS // slots + 1)]
    held = [view.take(holding(f"r{n}", (A, slots))) for n, view in enumerate(views)]
    assert all(held[:-1]) and held[-1] is None
    assert views[-1].take(holding("w", (A, SLOTS))) is None
    first = held[0]
    assert first is not None
    first.release()
    assert views[-1].take(holding("w", (A, SLOTS))) is None
    assert views[-1].take(holding("w", (A, slots))) is not None


def test_uneven_shares_fill_a_unit(make: Make) -> None:
    view = make()
    assert view.take(holding("a", (A, 7))) and view.take(holding("b", (A, 6))) is None
    assert view.take(holding("b", (A, 5))) and view.take(holding("c", (A, 1))) is None


def test_what_is_held_is_told_to_all_with_its_owner(make: Make) -> None:
    one, other = make(), make()
    mine = holding("a", (A, 3), (B, SLOTS), kind="session", cpus=1.5, memory=1 << 33, started=5.0, ends=9.5,
                   priority=-2, preemptible=False)
    lease = one.take(mine)
    assert lease is not None and other.holdings() == (replace(mine, uid=os.geteuid()),) == (lease.holding,)
    lease.update(replace(mine, uid=99, run="other", units=(), ending=True, ends=7.0))
    assert other.holdings() == (replace(mine, uid=os.geteuid(), ending=True, ends=7.0),)
    assert make().take(holding("b", (B, SLOTS))) is None
    lease.release()
    lease.release()
    assert other.holdings() == () == other.problems()


def test_without_units_it_is_told_all_the_same(make: Make) -> None:
    view = make()
    lease = view.take(holding("a", cpus=2.0, memory=1 << 30))
    assert lease is not None and [h.cpus for h in view.holdings()] == [2.0]
    lease.release()
    assert view.holdings() == ()


def test_pages_are_replaced_and_bounded(make: Make) -> None:
    one, other = make(), make()
    assert one.pages() == ()
    one.publish(Page(77, 1.0, 2.0, (Wish("a", "ü"),)))
    assert other.pages() == (Page(os.geteuid(), 1.0, 2.0, (Wish("a", "ü"),)),)
    one.publish(Page(77, 3.0, 2.5, ()))
    assert [(p.written, p.wishes) for p in other.pages()] == [(3.0, ())]


def test_a_turn_is_one_after_the_other(make: Make) -> None:
    one, other = make(), make()
    with one.turn():
        assert one.take(holding("a", (A, SLOTS)))
    with other.turn():
        assert other.take(holding("b", (A, SLOTS))) is None


def test_wishes_beyond_the_bound_are_counted(tmp_path: Path) -> None:
    view = FlockLeases(Place(tmp_path / "leases", True))
    view.publish(Page(0, wishes=tuple(Wish(f"r{n}") for n in range(WISHES_MOST + 7)), more=2))
    assert (len(view.pages()[0].wishes), view.pages()[0].more) == (WISHES_MOST, 9)
    view.close()

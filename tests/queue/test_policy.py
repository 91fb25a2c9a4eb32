"""The policy: named cases, and what holds whatever anybody says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bareboat.lease.values import SLOTS, Ask, Holding, Page, Wish
from bareboat.queue.policy import PATIENCE, STALE, Bounds, Decision, Machine, View, decide
from bareboat.queue.preempting import SETTLED
from bareboat.queue.room import Room, cpus_held, cpus_of
from bareboat.training.values import Need

NOW = 1_800_000_000.0
TWO = Machine(("g0", "g1"), 16.0, 64 << 30)
FOUR = Machine(("g0", "g1", "g2", "g3"), 64.0, 64 << 30)
A, B, C = 1001, 1002, 1003


def wish(run: str, gpus: float = 1, seconds: float = 0, **more: object) -> Wish:
    need = Need(gpus, float(more.pop("cpus", 0)), int(more.pop("memory", 0)), seconds)  # type: ignore[call-overload]
    return Wish(run, run, need, **{"submitted": NOW - 60, **more})  # type: ignore[arg-type]


def page(uid: int, *wishes: Wish, use: float = 0.0, written: float = NOW) -> Page:
    return Page(uid, written, use, wishes)


def has(uid: int, run: str, *units: str, ends: float = 0.0, **more: object) -> Holding:
    more.setdefault("started", NOW - 2 * SETTLED)
    return Holding(uid, run, run, units=tuple((unit, SLOTS) for unit in units), ends=ends, **more)  # type: ignore[arg-type]


def started(decision: Decision) -> list[str]:
    return [start.run for start in decision.starts]


def view(machine: Machine, pages: list[Page], holdings: list[Holding] | None = None, **more: object) -> View:
    return View(machine, tuple(holdings or ()), tuple(pages), now=NOW, **more)  # type: ignore[arg-type]


def test_one_user_s_runs_start_in_the_order_that_was_told() -> None:
    found = decide(view(TWO, [page(A, wish("a1"), wish("a2"), wish("a3"))]))
    assert started(found) == ["a1", "a2"] and [w.run for w in found.waits] == ["a3"]


def test_users_take_turns_whatever_their_priorities() -> None:
    first = page(A, *(wish(f"a{i}", priority=99) for i in range(9)))
    found = decide(view(FOUR, [first, page(B, wish("b1"), wish("b2"))]))
    assert sorted(started(found)) == ["a0", "a1", "b1", "b2"]


def test_who_has_used_less_goes_first() -> None:
    pages = [page(A, wish("a"), use=7200.0), page(B, wish("b"), use=3600.0)]
    found = decide(view(Machine(("g0",)), pages))
    assert started(found) == ["b"]
    heavier = Bounds(weights=((A, 4.0),))
    found = decide(view(Machine(("g0",)), pages, bounds=heavier))
    assert started(found) == ["a"]


def test_a_short_run_goes_ahead_where_it_delays_nobody() -> None:
    holdings = [has(C, "c", "g0", ends=NOW + 3600)]
    pages = [page(A, wish("wide", 2)), page(B, wish("short", 1, 1800), wish("long", 1, 7200), use=1.0)]
    found = decide(view(TWO, pages, holdings))
    assert started(found) == ["short"]
    waits = {w.run: w for w in found.waits}
    assert waits["wide"].starts == NOW + 3600 and waits["long"].ahead == 1


def test_what_does_not_touch_the_reserved_goes_ahead_however_long() -> None:
    holdings = [has(C, "c", "g0", "g1", ends=NOW + 3600)]
    pages = [page(A, wish("wide", 3)), page(B, wish("long"), wish("longer"), use=1.0)]
    found = decide(view(FOUR, pages, holdings))
    assert [(start.run, start.units) for start in found.starts] == [("long", (("g3", SLOTS),))]
    assert {w.run: w.starts for w in found.waits}["wide"] == NOW + 3600


def test_what_gets_free_is_kept_for_who_waits_too_long_where_no_end_is_known() -> None:
    holdings = [has(C, "c", "g0")]
    late = page(A, wish("wide", 2, submitted=NOW - PATIENCE - 1))
    soon = page(A, wish("wide", 2, submitted=NOW - 1))
    other = page(B, wish("narrow", 1), use=1.0)
    assert started(decide(view(TWO, [soon, other], holdings))) == ["narrow"]
    assert started(decide(view(TWO, [late, other], holdings))) == []


def test_shares_of_a_gpu_are_put_together() -> None:
    half = [wish(f"h{i}", 0.5) for i in range(3)]
    found = decide(view(TWO, [page(A, *half)]))
    assert [start.units for start in found.starts] == [(("g0", 6),), (("g0", 6),), (("g1", 6),)]
    found = decide(view(TWO, [page(A, wish("whole"), *half)]))
    assert [start.units for start in found.starts] == [(("g0", 12),), (("g1", 6),), (("g1", 6),)]


def test_a_gpu_that_strangers_use_is_left_alone() -> None:
    found = decide(view(Machine(("g0", "g1"), 8.0, foreign=frozenset({"g0"})), [page(A, wish("a"), wish("b"))]))
    assert [(s.run, s.units) for s in found.starts] == [("a", (("g1", SLOTS),))]


def test_runs_without_gpus_count_as_one_processor_each() -> None:
    found = decide(view(Machine((), 2.0), [page(A, *(wish(f"a{i}", 0) for i in range(5)))]))
    assert started(found) == ["a0", "a1"]
    found = decide(view(Machine((), 4.0, 10), [page(A, wish("big", 0, memory=8), wish("bigger", 0, memory=3))]))
    assert started(found) == ["big"]


def test_nobody_has_more_than_the_administrator_allows_and_delays_nobody_by_it() -> None:
    bounds = Bounds(gpus=1)
    pages = [page(A, wish("a1"), wish("a2")), page(B, wish("b1"), use=9e9)]
    found = decide(view(TWO, pages, bounds=bounds))
    assert sorted(started(found)) == ["a1", "b1"]
    assert "administrator" in next(w.why for w in found.waits if w.run == "a2")


def test_a_run_that_never_fits_delays_nobody() -> None:
    found = decide(view(TWO, [page(A, wish("monster", 3), wish("small"))]))
    assert started(found) == ["small"] and "there are 2" in found.waits[0].why


def test_what_is_short_is_named() -> None:
    def why(machine: Machine, *wishes: Wish) -> list[str]:
        return [wait.why for wait in decide(view(machine, [page(A, *wishes)])).waits]

    assert why(Machine((), 2.0), wish("a", 0, cpus=2), wish("b", 0, cpus=2), wish("c", 0)) == [
        "waits for 2 CPUs", "1 ahead"]
    assert why(Machine((), 4.0, 10 << 30), wish("a", 0, memory=8_000_000_000), wish("b", 0, memory=3_000_000_000)) == [
        "waits for 3 GB of memory"]
    assert why(Machine(("g0", "g1"), 2.0), wish("a", 1, cpus=2), wish("b", 1, cpus=1)) == ["waits for 1 CPU"]


def test_who_is_below_a_fair_share_asks_who_is_above() -> None:
    holdings = [has(A, "a1", "g0"), has(A, "a2", "g1", started=NOW - SETTLED - 5)]
    found = decide(view(TWO, [page(A), page(B, wish("b1"))], holdings))
    assert found.asks == ((B, Ask(A, "a2", "b1")),)  # the younger loses less


@pytest.mark.parametrize("more", [
    {"preemptible": False}, {"kind": "session"}, {"kind": "serving"}, {"started": NOW - 5}, {"ending": True},
])  # fmt: skip
def test_who_is_not_asked(more: dict[str, object]) -> None:
    holdings = [has(A, "a1", "g0", **more), has(A, "a2", "g1", **more)]
    assert decide(view(TWO, [page(A), page(B, wish("b1"))], holdings)).asks == ()


def test_what_said_that_it_may_be_interrupted_goes_first_and_at_once() -> None:
    holdings = [has(A, "a1", "g0", preemptible=True, started=NOW - 1), has(A, "a2", "g1")]
    assert decide(view(TWO, [page(A), page(B, wish("b1"))], holdings)).asks == ((B, Ask(A, "a1", "b1")),)


def test_nobody_is_asked_for_more_than_a_share_nor_left_with_less_than_one() -> None:
    holdings = [has(A, "a1", "g0"), has(B, "b1", "g1")]
    assert decide(view(TWO, [page(A, wish("a2")), page(B, wish("b2"))], holdings)).asks == ()
    holdings = [has(A, f"a{i}", f"g{i}") for i in range(4)]
    assert decide(view(FOUR, [page(A), page(B, wish("wide", 3))], holdings)).asks == ()
    assert len(decide(view(FOUR, [page(A), page(B, wish("fair", 2))], holdings)).asks) == 2


@pytest.mark.parametrize("theirs", [0.0, 10.0, 1e6])
def test_what_was_given_up_for_somebody_is_not_taken_back(theirs: float) -> None:
    holdings = [has(A, "a1", "g0"), has(A, "a2", "g1")]
    asks = decide(view(TWO, [page(A, wish("a3"), use=10.0), page(B, wish("b1"), use=theirs)], holdings)).asks
    assert bool(asks) == (theirs <= 10.0)  # it would be A's turn again: asking would go on for ever
    lost = {ask.run for _, ask in asks}
    left = [holding for holding in holdings if holding.run not in lost]
    again = [page(A, *(wish(run) for run in sorted(lost)), wish("a3"), use=10.0), page(B, wish("b1"), use=theirs)]
    found = decide(view(TWO, again, left))
    assert started(found) == (["b1"] if lost else []) and found.asks == ()


def test_one_run_that_is_more_than_a_share_by_itself_is_asked() -> None:
    found = decide(view(FOUR, [page(A), page(B, wish("b1"))], [has(A, "all", "g0", "g1", "g2", "g3")]))
    assert found.asks == ((B, Ask(A, "all", "b1")),)
    back = decide(view(FOUR, [page(A, wish("all", 4)), page(B)], [has(B, "b1", "g0")]))
    assert back.asks == ()  # and does not ask back: it would be above its share again


def test_what_is_about_to_be_free_is_not_asked_for_again() -> None:
    holdings = [has(A, "a1", "g0", ending=True), has(A, "a2", "g1")]
    assert decide(view(TWO, [page(A), page(B, wish("b1"))], holdings)).asks == ()


def test_one_s_own_run_makes_room_only_for_a_more_important_one_and_if_it_was_said() -> None:
    holdings = [has(A, "a1", "g0", preemptible=True), has(A, "a2", "g1")]
    assert decide(view(TWO, [page(A, wish("a3", priority=1))], holdings)).asks == ((A, Ask(A, "a1", "a3")),)
    assert decide(view(TWO, [page(A, wish("a3"))], holdings)).asks == ()


def test_wishes_of_a_worker_that_does_not_work_any_more_are_not_waited_for() -> None:
    pages = [page(A, wish("old"), written=NOW - STALE - 1), page(B, wish("b"), use=1.0)]
    assert started(decide(view(Machine(("g0",)), pages))) == ["b"]


def test_estimates_follow_from_what_others_announced() -> None:
    holdings = [has(C, "c", "g0", ends=NOW + 600), has(C, "d", "g1")]
    found = decide(view(TWO, [page(A, wish("first", 1, 300), wish("second", 1, 300), wish("third", 2))], holdings))
    assert [(w.run, w.starts) for w in found.waits] == [
        ("first", NOW + 600), ("second", NOW + 900), ("third", 0.0)]


def test_one_run_that_is_told_of_twice_stops_nobody() -> None:
    holdings = [has(C, "twice", "g0", ends=NOW + 5), has(C, "twice", "g1", ends=NOW + 5)]
    assert decide(view(TWO, [page(A, wish("a"))], holdings)).waits[0].starts == NOW + 5


# whatever anybody says

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, 1.0, 2.0, 0.5, 0.1, -1.0, 1e18])
needs = st.builds(Need, st.sampled_from([0, 0.1, 0.5, 1, 2, 3]), st.sampled_from([0, 0.5, 1, 4]), st.integers(0, 40),
                  st.sampled_from([0, 10, 5000]))
wild_needs = st.builds(Need, numbers, numbers, st.integers(-5, 1 << 60), numbers)
times = st.sampled_from([0.0, NOW - 5000, NOW - 10, NOW, NOW + 1e6])


def wishes_of(needs: st.SearchStrategy[Need]) -> st.SearchStrategy[Wish]:
    return st.builds(Wish, st.text("abcdef", min_size=6, max_size=6), st.just(""), needs, st.integers(-3, 3), times,
                     st.sampled_from([None, True, False]))


def pages_of(needs: st.SearchStrategy[Need], use: st.SearchStrategy[float]) -> st.SearchStrategy[list[Page]]:
    return st.lists(st.builds(Page, st.sampled_from([A, B, C]), st.just(NOW), use,
                              st.lists(wishes_of(needs), max_size=6).map(tuple)), max_size=3, unique_by=lambda p: p.uid)


machines = st.builds(Machine, st.sampled_from([(), ("g0",), TWO.units, FOUR.units]), st.sampled_from([1.0, 4.0]),
                     st.sampled_from([0, 64]), st.sampled_from([frozenset(), frozenset({"g0"})]))


@st.composite
def views(draw: st.DrawFn) -> View:
    """A machine with holdings that fit, as leases see to, and pages of anybody."""
    machine = draw(machines)
    room = Room.of(machine)
    holdings = []
    every = st.tuples(st.sampled_from([A, B, C]), needs, times, times, st.sampled_from([None, True, False]))
    for number, (uid, need, ends, began, preemptible) in enumerate(draw(st.lists(every, max_size=4))):
        units = room.fit(need)
        if units is not None:
            holding = Holding(uid, f"h{number}", units=units, cpus=need.cpus, memory=need.memory, ends=ends,
                              started=began, preemptible=preemptible)
            room.take(units, cpus_held(holding), need.memory)
            holdings.append(holding)
    pages = draw(pages_of(needs, st.floats(0, 1e7)))
    bounds = draw(st.sampled_from([Bounds(), Bounds(gpus=1), Bounds(runs=1)]))
    return View(machine, tuple(holdings), tuple(pages), bounds, NOW)


@settings(max_examples=300, deadline=None)
@given(views())
def test_never_more_than_there_is_and_nothing_left_idle_that_somebody_could_use(seen: View) -> None:
    found = decide(seen)
    wishes = {(p.uid, w.run): w for p in seen.pages for w in p.wishes}
    room = Room.of(seen.machine, seen.holdings)
    for start in found.starts:
        need = wishes[start.uid, start.run].need
        room.take(start.units, cpus_of(need), need.memory)
    assert all(free >= 0 for unit, free in room.free.items() if unit not in seen.machine.foreign)
    assert all(not any(unit in seen.machine.foreign for unit, _ in start.units) for start in found.starts)
    assert room.cpus >= -1e-6 and room.memory >= 0
    said = [(s.uid, s.run) for s in found.starts] + [(w.uid, w.run) for w in found.waits]
    assert sorted(said) == sorted(wishes)  # each once: started or waiting


@settings(max_examples=200, deadline=None)
@given(views())
def test_asks_are_for_what_may_be_asked_and_make_room(seen: View) -> None:
    found = decide(seen)
    by_run = {(h.uid, h.run): h for h in seen.holdings}
    assert len({(ask.uid, ask.run) for _, ask in found.asks}) == len(found.asks)
    for uid, ask in found.asks:
        holding = by_run[ask.uid, ask.run]
        assert holding.preemptible is not False and holding.kind == "training" and not holding.ending
        assert uid != ask.uid or holding.preemptible is True


@settings(max_examples=200, deadline=None)
@given(views(), st.randoms())
def test_the_same_view_gives_the_same_decision_in_whatever_order_it_was_read(seen: View, random: object) -> None:
    pages, holdings = list(seen.pages), list(seen.holdings)
    random.shuffle(pages)  # type: ignore[attr-defined]
    random.shuffle(holdings)  # type: ignore[attr-defined]
    again = View(seen.machine, tuple(holdings), tuple(pages), seen.bounds, seen.now)
    one, other = decide(seen), decide(again)
    assert (one.starts, one.asks) == (other.starts, other.asks)
    assert [(w.run, w.starts) for w in one.waits] == [(w.run, w.starts) for w in other.waits]


@settings(max_examples=200, deadline=None)
@given(machines, pages_of(wild_needs, numbers))
def test_absurd_numbers_break_nothing(machine: Machine, pages: list[Page]) -> None:
    found = decide(View(machine, (), tuple(pages), now=NOW))
    assert all(math.isfinite(w.starts) for w in found.waits)
    held: dict[str, int] = {}
    for start in found.starts:
        for unit, slots in start.units:
            held[unit] = held.get(unit, 0) + slots
    assert all(slots <= SLOTS for slots in held.values())

"""Which wheels share a layer: one package added, removed or upgraded changes one group."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bareboat.image.grouping import BUCKETS, LAYERS, SOLO, SPARE, WHEELS, WheelGroup, budget, group_wheels
from bareboat.lock import Wheel


def make(name: str, size: int, version: str = "1.0") -> Wheel:
    digest = hashlib.sha256(f"{name} {version} {size}".encode()).hexdigest()
    return Wheel(name, version, f"{name}-{version}-py3-none-any.whl", "", digest, size)


SIZES = st.one_of(st.integers(1, SOLO - 1), st.integers(SOLO, 1 << 32))


@st.composite
def many(draw: st.DrawFn, solos: int = WHEELS - BUCKETS - 2) -> list[Wheel]:
    """More wheels than there may be layers, of which at most `solos` are large."""
    small = draw(st.integers(WHEELS + 2, WHEELS + 60))
    large = draw(st.integers(0, solos))
    start = draw(st.integers(0, 10_000))
    found = [make(f"p{start + n}", 1 + (start * 31 + n * 7919) % (SOLO - 1)) for n in range(small)]
    return found + [make(f"big{start + n}", SOLO + n) for n in range(large)]


def differing(a: tuple[WheelGroup, ...], b: tuple[WheelGroup, ...]) -> int:
    """How many layers are in b that are not in a, or the other way round, whichever are more."""
    return max(len(set(a) - set(b)), len(set(b) - set(a)))


@given(st.lists(SIZES, max_size=300), st.integers(1, 94), st.randoms())
def test_all_wheels_are_in_one_group_and_layers_are_few(sizes: list[int], base: int, chance) -> None:  # type: ignore[no-untyped-def]
    wheels = [make(f"{'nvidia-' * (n % 3 == 0)}p{n}", size) for n, size in enumerate(sizes)]
    groups = group_wheels(wheels, base)
    assert sorted(w.name for g in groups for w in g.wheels) == sorted(w.name for w in wheels)
    assert len(groups) <= max(budget(base), 1) and len(groups) + base + SPARE <= LAYERS
    shuffled = list(wheels)
    chance.shuffle(shuffled)
    assert group_wheels(shuffled, base) == groups


@given(many(), st.data())
def test_one_package_changes_one_group(wheels: list[Wheel], data: st.DataObject) -> None:
    before = group_wheels(wheels, 3)
    at = data.draw(st.integers(0, len(wheels) - 1))
    old = wheels[at]
    added = [*wheels, make("one-more", data.draw(SIZES))]
    assert differing(before, group_wheels(added, 3)) == 1
    removed = wheels[:at] + wheels[at + 1 :]
    if len(removed) > budget(3):
        assert differing(before, group_wheels(removed, 3)) == 1
    size = data.draw(SIZES)
    upgraded = [*removed, make(old.name, size, "2.0")]
    outgrew = (size >= SOLO) != (old.size >= SOLO)
    assert differing(before, group_wheels(upgraded, 3)) <= 1 + outgrew


@given(many())
def test_without_need_nothing_is_shared(wheels: list[Wheel]) -> None:
    few = wheels[: budget(3)]
    groups = group_wheels(few, 3)
    assert all(g.bucket < 0 and len(g.wheels) == 1 for g in groups)
    assert [g.wheels[0].size for g in groups] == sorted((w.size for w in few), reverse=True)
    # and then one package is one layer
    assert differing(groups, group_wheels([*few[1:], replace(few[0], version="9")], 3)) == 1


def test_a_bucket_goes_by_the_name_alone() -> None:
    wheels = [make(f"p{n}", n + 1) for n in range(150)]
    bucket = {w.name: g.bucket for g in group_wheels(wheels, 3) for w in g.wheels}
    newer = [make(w.name, w.size + 5, "3") for w in wheels]
    assert bucket == {w.name: g.bucket for g in group_wheels(newer, 3) for w in g.wheels}


def test_over_budget_a_family_goes_together_first_then_the_smallest_single_ones() -> None:
    wheels = [make(f"p{n}", SOLO + n) for n in range(70)] + [make(f"nvidia-x{n}", 9 * SOLO + n) for n in range(12)]
    groups = group_wheels(wheels, 3)
    together = [g for g in groups if len(g.wheels) == 12]
    assert [w.name.startswith("nvidia-") for g in together for w in g.wheels] == [True] * 12
    assert sum(g.bucket < 0 for g in groups) == 70
    more = [*wheels, *(make(f"q{n}", 2 * SOLO) for n in range(5))]
    alone = {g.wheels[0].name for g in group_wheels(more, 3) if g.bucket < 0}
    assert {f"q{n}" for n in range(5)} <= alone and {f"p{n}" for n in range(4)}.isdisjoint(alone)
    assert len(alone) == WHEELS - BUCKETS - 1

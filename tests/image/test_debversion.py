from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.image.debversion import DebVersion, satisfies, upstream

ASCENDING = [
    "0~~",
    "0~",
    "0",
    "0.0~rc1",
    "0.0",
    "1.0~alpha",
    "1.0~beta1",
    "1.0~beta2",
    "1.0",
    "1.0+b1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1+deb13u1",
    "1.0-1.1",
    "1.0-2",
    "1.0a",
    "1.0+x",
    "1.2",
    "1.10",
    "2a",
    "2.",
    "1:0",
    "2:0",
]
versions = st.from_regex(r"\A([0-9]{1,2}:)?[0-9][0-9a-c.+~]{0,8}(-[0-9a-c.+~]{1,5})?\Z")


def test_known_order() -> None:
    # "1.0-0" equals "1.0"; the rest ascend one by one
    ordered = [
        "0~~",
        "0~",
        "0",
        "1.0~alpha",
        "1.0~beta1",
        "1.0~beta2",
        "1.0",
        "1.0-1",
        "1.0-1+b1",
        "1.0-1+deb13u1",
        "1.0-1.1",
        "1.0-2",
        "1.0a",
        "1.0+x",
        "1.2",
        "1.10",
        "1:0",
        "2:0",
    ]
    for low, high in itertools.pairwise(ordered):
        assert DebVersion(low) < DebVersion(high), (low, high)


@given(versions, versions, versions)
def test_is_an_order(a: str, b: str, c: str) -> None:
    x, y, z = DebVersion(a), DebVersion(b), DebVersion(c)
    assert (x < y) + (x == y) + (x > y) == 1
    if x <= y and y <= z:
        assert x <= z
    if x == y:
        assert hash(x) == hash(y)


@given(versions)
def test_tilde_comes_first(a: str) -> None:
    assert DebVersion(a + "~") < DebVersion(a)


@pytest.mark.parametrize(
    ("relation", "wanted", "holds"),
    [
        ("", "", True),
        ("=", "1.0", True),
        ("=", "1.0-0", True),
        (">=", "1.0", True),
        (">>", "1.0", False),
        ("<<", "1.0", False),
        ("<=", "1.0", True),
        ("<<", "1.0+", True),
        (">>", "1.0~", True),
        ("<", "1.0", True),
    ],
)
def test_relations(relation: str, wanted: str, holds: bool) -> None:
    assert satisfies("1.0", relation, wanted) is holds


def test_upstream() -> None:
    assert upstream("2:3.13.5-rc1-2+deb13u1") == "3.13.5-rc1"


@pytest.mark.live
def test_agrees_with_dpkg() -> None:
    if shutil.which("dpkg") is None:
        pytest.skip("no dpkg")
    import random

    random.seed(4)
    pool = [*ASCENDING, *("".join(random.choices("0123a~.+", k=random.randint(1, 6))) for _ in range(60))]
    pool = [v for v in pool if v[0].isdigit()]
    for _ in range(250):
        a, b = random.choice(pool), random.choice(pool)
        theirs = subprocess.run(["dpkg", "--compare-versions", a, "lt", b], check=False).returncode == 0
        assert (DebVersion(a) < DebVersion(b)) is theirs, (a, b)

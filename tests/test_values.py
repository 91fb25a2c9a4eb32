"""Values behave as the standard library's dataclasses do, for everything that bareboat's values use."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from bareboat import values


def make(module: Any) -> Any:
    @module.dataclass(frozen=True)
    class Point:
        """A point."""

        x: int
        y: int = 2
        tags: tuple[str, ...] = module.field(default=(), compare=False, repr=False)
        log: list[int] = module.field(default_factory=list, metadata={"k": 1})

        @property
        def sum(self) -> int:
            return self.x + self.y

    return Point


BOTH = [dataclasses, values]


@dataclasses.dataclass(frozen=True)
class Standard:
    x: int
    y: tuple[int, ...] = ()


@values.dataclass(frozen=True)
class Ours:
    x: int
    y: tuple[int, ...] = ()


@pytest.mark.parametrize("module", BOTH)
def test_the_same_in_both(module: Any) -> None:
    point = make(module)
    a = point(1)
    assert (a.x, a.y, a.tags, a.log, a.sum) == (1, 2, (), [], 3)
    assert a == point(1, 2, tags=("other",)) and a != point(1, 3) and a != (1, 2, (), [])
    assert repr(a).endswith("Point(x=1, y=2, log=[])")
    assert point(1).log is not point(1).log
    assert [f.name for f in module.fields(point)] == ["x", "y", "tags", "log"]
    assert module.fields(a)[3].metadata["k"] == 1
    assert module.replace(a, y=9) == point(1, 9) and module.is_dataclass(a) and not module.is_dataclass(3)
    assert dataclasses.asdict(a) == {"x": 1, "y": 2, "tags": (), "log": []}
    assert dataclasses.replace(a, x=5).x == 5 and dataclasses.is_dataclass(point)
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.x = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        del a.x
    for wrong in (lambda: point(), lambda: point(1, x=2), lambda: point(1, z=2), lambda: point(1, 2, (), [], 5)):
        with pytest.raises(TypeError):
            wrong()
    match a:
        case point(x, y):
            assert (x, y) == (1, 2)


@pytest.mark.parametrize("kind", [Standard, Ours])
def test_hash_copy_and_pickle(kind: Any) -> None:
    a = kind(1, (2,))
    assert hash(a) == hash(kind(1, (2,))) and len({a, kind(1, (2,)), kind(2)}) == 2
    assert copy.copy(a) == a == copy.deepcopy(a) == pickle.loads(pickle.dumps(a))


@pytest.mark.parametrize("module", BOTH)
def test_mutable_ones_and_inheritance(module: Any) -> None:
    @module.dataclass
    class Base:
        x: int = 1

    @module.dataclass
    class Derived(Base):
        y: int = 2

        def __post_init__(self) -> None:
            self.y += 1

    d = Derived(5)
    d.x = 7
    assert (d.x, d.y) == (7, 3) and d == Derived(7)
    with pytest.raises(TypeError):
        hash(d)

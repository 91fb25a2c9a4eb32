"""Names of metrics that several sources have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.training.series import Track
from bareboat.training.sources import Source, labels, named


def source(path: str, **metrics: list[tuple[float, float]]) -> Source:
    made = Source(tuple(path.split("/")) if path else ())
    for name, points in metrics.items():
        track = made.tracks[name] = Track()
        for row, (step, value) in enumerate(points):
            track.add(row, step, value)
    return made


@pytest.mark.parametrize(("paths", "told"), [
    (["logs"], [""]), (["a/logs", "b/logs"], ["a", "b"]), (["logs/train", "logs/val"], ["train", "val"]),
    (["", "logs"], ["", "logs"]), (["metrics.csv", "a/metrics.csv"], ["", "a"]), (["t.csv", "v.csv"], ["t", "v"]),
    (["m.csv", "m.jsonl"], ["m.csv", "m.jsonl"]), (["a/x/logs", "b/x/logs", "c"], ["a/x/logs", "b/x/logs", "c"]),
    (["a/b", "b"], ["a", ""]), (["x/a/m", "y/a/m", "y/b/m"], ["x/a", "y/a", "b"]),
])
def test_the_shortest_that_tells_them_apart(paths: list[str], told: list[str]) -> None:
    assert labels([tuple(path.split("/")) if path else () for path in paths]) == told


@given(st.lists(st.lists(st.sampled_from("ab."), max_size=4).map(tuple), unique=True, max_size=6))
def test_labels_differ(paths: list[tuple[str, ...]]) -> None:
    assert len(set(labels(paths))) == len(paths)


def test_a_name_of_one_alone_stays() -> None:
    found = named([source("a/logs", loss=[(0, 1)], lr=[(0, 3)]), source("b/logs", loss=[(0, 2)])])
    assert [(series.name, series.values) for series in found] == [("a/loss", (1,)), ("b/loss", (2,)), ("lr", (3,))]


def test_a_name_that_is_there_already() -> None:
    tracks = {"a/loss": [(0.0, 3.0)]}
    found = named([source("a", loss=[(0, 1)]), source("b", loss=[(0, 2)]), source("c", **tracks),
                   source("a", loss=[(0, 4)])])
    assert len({series.name for series in found}) == len(found) == 4


def test_versions_that_go_on_are_one() -> None:
    found = named([source(f"lightning_logs/version_{n}/metrics.csv", loss=[(10 * n, 9 - n), (10 * n + 15, n)])
                   for n in (10, 2, 0, 1)])
    assert [(series.name, series.steps) for series in found] == [("loss", (0, 10, 20, 35, 100, 115))]


def test_versions_that_begin_anew_are_several() -> None:
    found = named([source(f"version_{n}/metrics.csv", loss=[(0, n), (1, n)]) for n in range(2)])
    assert [series.name for series in found] == ["version_0/loss", "version_1/loss"]

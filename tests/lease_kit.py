"""Leases of tests, let go of at their end: what a test holds to its end would else be held to the end of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bareboat.lease.flock import FlockLease, FlockLeases


@pytest.fixture(autouse=True)
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Release every lease and close every directory that the test has made in this process."""
    made: list[FlockLease | FlockLeases] = []
    for kind in (FlockLease, FlockLeases):
        begin = kind.__init__

        def noted(self: FlockLease | FlockLeases, *args: object, _begin: object = begin, **more: object) -> None:
            made.append(self)
            _begin(self, *args, **more)  # type: ignore[operator]

        monkeypatch.setattr(kind, "__init__", noted)
    yield
    for one in reversed(made):
        if isinstance(one, FlockLeases):
            one.close()
        else:
            one.release()

"""The fake ledger: the same contract in a dict, for tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bareboat.queue.base import SKEW, Added, Entry
from bareboat.queue.sqlite import name_taken, unknown
from bareboat.record.states import final
from bareboat.training.values import Point
from bareboat.values import replace


class MemoryLedger:
    """queue.base.Ledger without a file."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._points: dict[str, Point] = {}
        self._submissions: dict[str, Added] = {}
        self._notes: dict[str, str] = {}

    def add(self, submission: Added) -> None:
        """As Ledger.add."""
        s = submission
        names = [point.name for point in s.points if point.name]
        open_names = {e.name for e in self._entries.values() if not final(e.state)}
        for name in names:
            if name in open_names or names.count(name) > 1:
                raise name_taken(name)
        self._submissions[s.id] = replace(s, points=())
        for p in s.points:
            self._entries[p.run] = Entry(p.run, s.id, p.name, p.index, priority=s.priority, created=s.created,
                                         scheduler=s.scheduler)
            self._points[p.run] = p

    def find(self, text: str) -> Entry:
        """As Ledger.find."""
        named = [e for e in self._entries.values() if text and e.name == text]
        if named:
            return named[-1]
        found = [text] if text in self._entries else [r for r in self._entries if text and r.startswith(text)]
        if len(found) != 1:
            raise unknown(text, found)
        return self._entries[found[0]]

    def entries(self, states: Collection[str] = (), submission: str = "", most: int = 0) -> list[Entry]:
        """As Ledger.entries."""
        found = [e for e in self._entries.values()
                 if (not states or e.state in states) and (not submission or e.submission == submission)]
        found.sort(key=lambda e: -e.priority)
        return found[:most] if most else found

    def ended(self, most: int) -> list[Entry]:
        """As Ledger.ended."""
        found = [e for e in reversed(list(self._entries.values())) if e.ended > 0]
        return sorted(found, key=lambda e: -e.ended)[:most]

    def due(self, now: float, without: Collection[str] = (), most: int = 0) -> list[Entry]:
        """As Ledger.due."""
        found = [e for e in self.entries(("pending",)) if e.scheduler == "local" and e.submission not in without
                 and not now < e.not_before <= now + SKEW]
        return found[:most] if most else found

    def later(self, now: float) -> float:
        """As Ledger.later."""
        return min((e.not_before for e in self.entries(("pending",))
                    if e.scheduler == "local" and now < e.not_before <= now + SKEW), default=0.0)

    def cancel(self, submission: str, reason: str, now: float) -> int:
        """As Ledger.cancel."""
        found = self.entries(("pending", "running"), submission)
        for e in found:
            waits = {"state": "cancelled", "reason": reason, "ended": now} if e.state == "pending" else {}
            self.move(e.run, (e.state, e.attempt), wanted="cancelled", **waits)
        return len(found)

    def counts(self, submission: str = "") -> dict[str, int]:
        """How many of each state."""
        found: dict[str, int] = {}
        for e in self.entries(submission=submission):
            found[e.state] = found.get(e.state, 0) + 1
        return found

    def submission(self, id: str) -> Added:
        """As Ledger.submission."""
        if id not in self._submissions:
            raise unknown(id, [])
        points = [self._points[e.run] for e in self._entries.values() if e.submission == id]
        return replace(self._submissions[id], points=tuple(sorted(points, key=lambda p: p.index)))

    def called(self, name: str) -> str:
        """As Ledger.called."""
        found = [s.id for s in self._submissions.values() if name and name in (s.id, s.name)]
        return found[-1] if found else ""

    def template(self, id: str) -> bytes:
        """A submission's template alone."""
        return self.submission(id).template

    def point(self, run: str) -> Point:
        """As Ledger.point."""
        if run not in self._points:
            raise unknown(run, [])
        return self._points[run]

    def move(self, run: str, expected: tuple[str, int], **changes: object) -> bool:
        """As Ledger.move."""
        wrong = set(changes) - (set(Entry.__dataclass_fields__) - {"run", "submission", "index"})
        if wrong or not changes:
            raise TypeError(f"no fields of an entry that change: {sorted(wrong)}")
        entry = self._entries.get(run)
        if entry is None or (entry.state, entry.attempt) != expected:
            return False
        self._entries[run] = replace(entry, **changes)  # type: ignore[arg-type]
        return True

    def moves(self, seen: Collection[tuple[str, str, int]], **changes: object) -> list[str]:
        """As Ledger.moves."""
        return [run for run, state, attempt in seen if self.move(run, (state, attempt), **changes)]

    def jobs(self, names: Iterable[tuple[str, str]]) -> None:
        """As Ledger.jobs."""
        for run, job in names:
            if run in self._entries:
                self._entries[run] = replace(self._entries[run], job=job)

    def note(self, key: str, value: str) -> None:
        """As Ledger.note."""
        self._notes[key] = value

    def noted(self, key: str) -> str:
        """As Ledger.noted."""
        return self._notes.get(key, "")

    def forget(self, runs: Collection[str]) -> int:
        """Drop runs that are over."""
        gone = [run for run in runs if run in self._entries and final(self._entries[run].state)]
        for run in gone:
            del self._entries[run], self._points[run]
        left = {e.submission for e in self._entries.values()}
        self._submissions = {id: s for id, s in self._submissions.items() if id in left}
        return len(gone)

    def close(self) -> None:
        """Nothing."""

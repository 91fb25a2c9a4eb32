"""What a record wants to know of the data and the machine, gathered while the program runs."""

from __future__ import annotations

from pathlib import Path

from bareboat.record.values import RunRecord
from bareboat.store import Store
from bareboat.values import TYPE_CHECKING, replace

if TYPE_CHECKING:
    from bareboat.record.gathered import HostFacts
    from bareboat.store.fingerprint import Fingerprinter


class Gathering:
    """start when the program has started; finish when it has ended. Bounded in time; never raises for bad data."""

    def __init__(self, store: Store, data: tuple[tuple[str, Path], ...], seconds: float) -> None:
        self._store, self._data, self._seconds = store, data, seconds
        self._fingerprinter: Fingerprinter | None = None
        self._host: HostFacts | None = None

    def start(self) -> None:
        """Begin to read the data, in a thread; ask the machine what it is, while the program starts."""
        from bareboat.host.facts import host_facts

        if self._data:
            from bareboat.store.fingerprint import Fingerprinter

            self._fingerprinter = Fingerprinter(self._store)
            self._fingerprinter.start(self._data)
        self._host = host_facts()

    def finish(self, record: RunRecord) -> RunRecord:
        """The record with data and host; waits for the data no longer than the seconds it was given."""
        data = self._fingerprinter.finish(self._seconds) if self._fingerprinter else ()
        return replace(record, data=data, host=self._host or record.host)

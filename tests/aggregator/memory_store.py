"""A store of events in memory, for tests that count many streams."""

from collections.abc import Iterable, Iterator, Sequence

from aggregator.columns import EvaluatedEvent
from aggregator.index import IndexEntry, StoredSpan
from schemas.events import Event, Position


class MemoryStore:
    """Keeps every row it is given, repeats too."""

    def __init__(self) -> None:
        self.rows: list[tuple[Position, Event]] = []

    def insert(self, rows: Sequence[EvaluatedEvent]) -> None:
        self.rows += [(row.positioned.position, row.positioned.event) for row in rows]

    def present(self, rows: Sequence[EvaluatedEvent]) -> set[bytes]:
        stored = {(position.partition, position.offset, event.event_id) for position, event in self.rows}
        asked = [(row.positioned.position, row.positioned.event.event_id) for row in rows]
        return {each for place, each in asked if (place.partition, place.offset, each) in stored}

    def fingerprints(self, events: Iterable[Event]) -> dict[bytes, int]:
        asked = {event.event_id for event in events}
        return {event.event_id: event.fingerprint for _, event in self.rows if event.event_id in asked}

    def stored_span(self, partition: int, offset: int) -> StoredSpan | None:
        rows = self._since(partition, offset)
        if not rows:
            return None
        arrivals = [event.ingested_at_us for _, event in rows]
        return StoredSpan(max(place.offset for place, _ in rows) + 1, min(arrivals), max(arrivals))

    def stored_since(
        self, partition: int, offset: int, arrived_from_us: int
    ) -> Iterator[Sequence[tuple[IndexEntry, int]]]:
        yield [
            (IndexEntry(event.event_id, event.fingerprint, event.ingested_at_us), place.offset)
            for place, event in self._since(partition, offset)
            if event.ingested_at_us >= arrived_from_us
        ]

    def _since(self, partition: int, offset: int) -> list[tuple[Position, Event]]:
        return [
            (each, event) for each, event in self.rows if each.partition == partition and each.offset >= offset
        ]

"""The `events` table as the pipeline sees it: insert, ask what arrived, and read back for the index."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b

import pyarrow as pa

from aggregator.clickhouse import SUBSCRIPTIONS_MAX, ClickHouse
from aggregator.columns import EvaluatedEvent, dead_letter_columns, event_columns
from aggregator.dead_letters import DeadLetter
from aggregator.index import IndexEntry, StoredSpan
from schemas.clickhouse import DEAD_LETTERS_TABLE, EVENTS_TABLE, INSERT_SETTINGS
from schemas.events import Event, Position

_EVENT_ID = "UUIDStringToNum(toString(event_id))"
"""The id as its 16 bytes; the driver would make a UUID object of each."""

_STORED_SINCE = f"""
SELECT {_EVENT_ID} AS id, fingerprint, toUnixTimestamp64Micro(ingested_at) AS ingested_at_us, kafka_offset
FROM events WHERE kafka_partition = {{partition:Int32}} AND kafka_offset >= {{offset:Int64}}
    AND ingested_at >= fromUnixTimestamp64Micro({{arrived_from_us:Int64}}, 'UTC')
"""

_STORED_SPAN = """
SELECT
    count(), max(kafka_offset) + 1,
    toUnixTimestamp64Micro(min(ingested_at)), toUnixTimestamp64Micro(max(ingested_at))
FROM events WHERE kafka_partition = {partition:Int32} AND kafka_offset >= {offset:Int64}
"""

FINGERPRINTS_MAX = 1_000
"""Events a query asks for, of `SUBSCRIPTIONS_MAX` subscriptions: their ids are a field of 39 bytes each."""

# The ids alone would read every event there is; the subscriptions are what the table is ordered by.
_FINGERPRINTS = f"""
SELECT {_EVENT_ID} AS id, argMin(fingerprint, (ingested_at, kafka_partition, kafka_offset, kafka_line))
FROM events
WHERE (organization_id, external_subscription_id) IN {{subscriptions:Array(Tuple(String, String))}}
    AND event_id IN {{ids:Array(UUID)}}
GROUP BY id
"""

_PRESENT = f"""
SELECT {_EVENT_ID} AS id FROM events
WHERE kafka_partition = {{partition:Int32}} AND kafka_offset BETWEEN {{first:Int64}} AND {{last:Int64}}
"""

_TOKEN_COLUMNS = ("kafka_partition", "kafka_offset", "kafka_line", "event_id")


class EventStore:
    """Writes and reads events; blocking; raises TransientError while ClickHouse is away."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def insert(self, rows: Sequence[EvaluatedEvent]) -> None:
        """Insert events in one statement.

        The token is derived from the positions and ids, so sending the same rows again shortly after is a no-op
        even when the first attempt lands late.
        Raises: TransientError with an unknown outcome: some, all or none of the rows may be stored.
        """
        columns = event_columns(rows)
        self._clickhouse.insert(EVENTS_TABLE, columns, _settings(events_token(columns)))

    def present(self, rows: Sequence[EvaluatedEvent]) -> set[bytes]:
        """The ids of the events stored at the offsets of `rows`."""
        found: set[bytes] = set()
        for partition, (first, last) in _offset_ranges([row.positioned.position for row in rows]).items():
            bounds = {"partition": partition, "first": first, "last": last}
            for block in self._clickhouse.blocks(_PRESENT, bounds):
                found.update(bytes(row[0]) for row in block)
        return found

    def stored_span(self, partition: int, offset: int) -> StoredSpan | None:
        """Where the stored events of a partition from an offset on end and when they arrived; None without any."""
        asked = {"partition": partition, "offset": offset}
        ((count, end_offset, oldest_us, newest_us),) = self._clickhouse.rows(_STORED_SPAN, asked)
        return StoredSpan(end_offset, oldest_us, newest_us) if count else None

    def stored_since(
        self, partition: int, offset: int, arrived_from_us: int
    ) -> Iterator[list[tuple[IndexEntry, int]]]:
        """The stored events of a partition from an offset and an arrival on, block by block, in any order."""
        asked = {"partition": partition, "offset": offset, "arrived_from_us": arrived_from_us}
        for block in self._clickhouse.blocks(_STORED_SINCE, asked):
            yield [
                (IndexEntry(bytes(event_id), fingerprint, ingested_at_us), row_offset)
                for event_id, fingerprint, ingested_at_us, row_offset in block
            ]

    def fingerprints(self, events: Iterable[Event]) -> dict[bytes, int]:
        """The fingerprints of those events that are stored, wherever that is; by id, of the first accepted."""
        found: dict[bytes, int] = {}
        for chunk in _by_subscriptions(events):
            asked = {
                "subscriptions": sorted({_subscription(each) for each in chunk}),
                "ids": [str(each.uuid) for each in chunk],
            }
            found.update(
                (bytes(event_id), value) for event_id, value in self._clickhouse.rows(_FINGERPRINTS, asked)
            )
        return found

    def next_offset(self, partition: int) -> int:
        """One past the highest offset of a partition in either table; 0 without any."""
        ends = [
            self._clickhouse.rows(
                f"SELECT count(), max(kafka_offset) + 1 FROM {table} WHERE kafka_partition = {{partition:Int32}}",
                {"partition": partition},
            )
            for table in (EVENTS_TABLE, DEAD_LETTERS_TABLE)
        ]
        return max(int(end) if count else 0 for ((count, end),) in ends)

    def insert_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters in ClickHouse, for a process without a broker."""
        if letters:
            token = insert_token((letter.position, letter.original) for letter in letters)
            self._clickhouse.insert(DEAD_LETTERS_TABLE, dead_letter_columns(letters), _settings(token))


def _subscription(event: Event) -> tuple[str, str]:
    return event.organization_id, event.external_subscription_id


def _by_subscriptions(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The events of one query after the other."""
    chunk: list[Event] = []
    subscriptions = 0
    for event in sorted(events, key=_subscription):
        is_next = not chunk or _subscription(event) != _subscription(chunk[-1])
        if len(chunk) == FINGERPRINTS_MAX or (is_next and subscriptions == SUBSCRIPTIONS_MAX):
            yield chunk
            chunk, subscriptions, is_next = [], 0, True
        chunk.append(event)
        subscriptions += is_next
    if chunk:
        yield chunk


def events_token(columns: pa.Table) -> str:
    """Names an insert of events by their positions and ids, in their order, as `insert_token` does.

    Taken from the columns as they are sent, which are of fixed widths: one hash over four stretches of memory.
    """
    digest = blake2b(b"%d;" % columns.num_rows, digest_size=16)
    for name in _TOKEN_COLUMNS:
        for chunk in columns[name].chunks:
            width = chunk.type.bit_width // 8
            stretch = chunk.buffers()[1]
            digest.update(memoryview(stretch)[chunk.offset * width : (chunk.offset + len(chunk)) * width])
    return digest.hexdigest()


def insert_token(rows: Iterable[tuple[Position, bytes]]) -> str:
    """Names an insert by the positions and contents of its rows, in their order.

    Positions alone would not do: a topic that was made anew counts its offsets from 0 again.
    """
    digest = blake2b(digest_size=16)
    for position, content in rows:
        digest.update(b"%d/%d/%d/%d;" % (position.partition, position.offset, position.line, len(content)))
        digest.update(content)
    return digest.hexdigest()


def _settings(token: str) -> Mapping[str, str]:
    return {**INSERT_SETTINGS, "insert_deduplication_token": token}


def _offset_ranges(positions: Sequence[Position]) -> dict[int, tuple[int, int]]:
    ranges: dict[int, tuple[int, int]] = {}
    for position in positions:
        first, last = ranges.get(position.partition, (position.offset, position.offset))
        ranges[position.partition] = (min(first, position.offset), max(last, position.offset))
    return ranges

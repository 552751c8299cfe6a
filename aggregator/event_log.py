"""Stored events, as the API lists them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from aggregator.clickhouse import ClickHouse, Row
from schemas.events import Position, decode_properties
from schemas.metrics import Evaluation
from schemas.usage import EventFilter, KeptDeadLetter, PlacedEvent, StoredEvent

MATCHES_MAX = 100
"""Subscriptions that share a transaction id, and dead letters of one, that are told of."""

_COLUMNS = (
    "event_id, organization_id, external_subscription_id, transaction_id, code, timestamp, properties,"
    " precise_total_amount_cents, ingested_at"
)
_NEWEST_FIRST = "ORDER BY timestamp DESC, ingested_at DESC, transaction_id DESC"

_FIND = f"""
SELECT {_COLUMNS} FROM events
WHERE organization_id = {{organization:String}} AND transaction_id = {{transaction:String}}
{_NEWEST_FIRST} LIMIT 1
"""

_ANY_SUBSCRIPTION = "({any_subscription:Bool} OR subscription = {subscription:String})"

PLACE_COLUMNS = (
    f"{_COLUMNS}, kafka_partition, kafka_offset, kafka_line, evaluation, value, identity, dimensions, inserted_at,"
    " external_subscription_id AS subscription"
)
"""What `placed_event` reads."""

_PLACES = f"""
SELECT
    {PLACE_COLUMNS}
FROM events
WHERE organization_id = {{organization:String}} AND transaction_id = {{transaction:String}} AND {_ANY_SUBSCRIPTION}
{_NEWEST_FIRST} LIMIT {MATCHES_MAX}
"""

# Dead letters are few and are not looked up by id but here: their lines are read, not an index.
_DEAD_LETTERS = f"""
SELECT
    JSONExtractString(original, 'external_subscription_id') AS subscription,
    kafka_partition, kafka_offset, kafka_line, code, reason, inserted_at
FROM dead_letters
WHERE JSONExtractString(original, 'organization_id') = {{organization:String}}
    AND JSONExtractString(original, 'transaction_id') = {{transaction:String}} AND {_ANY_SUBSCRIPTION}
ORDER BY kafka_partition, kafka_offset, kafka_line LIMIT {MATCHES_MAX}
"""


class _Row(NamedTuple):
    event_id: UUID
    organization_id: str
    external_subscription_id: str
    transaction_id: str
    code: str
    timestamp: datetime
    properties: str
    precise_total_amount_cents: Decimal | None
    ingested_at: datetime


class _Place(NamedTuple):
    partition: int
    offset: int
    line: int
    evaluation: str
    value: Decimal | None
    identity: str
    dimensions: Mapping[str, str]
    inserted_at: datetime
    subscription: str


class ClickHouseEventReader:
    """Reads stored events; raises TransientError while ClickHouse is away."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def find(self, organization_id: str, transaction_id: str) -> StoredEvent | None:
        """The event with that id; the newest one where several subscriptions share the id."""
        rows = self._clickhouse.rows(_FIND, {"organization": organization_id, "transaction": transaction_id})
        return _stored_event(rows[0]) if rows else None

    def list(self, wanted: EventFilter, *, limit: int, offset: int) -> tuple[Sequence[StoredEvent], int]:
        """A page, newest timestamp first, and the total count.

        Source: Lago events: `timestamp_from` and `timestamp_to` are inclusive.
        """
        where, parameters = _conditions(wanted)
        page = {**parameters, "limit": limit, "offset": offset}
        rows = self._clickhouse.rows(
            f"SELECT {_COLUMNS} FROM events WHERE {where} {_NEWEST_FIRST}"
            " LIMIT {limit:UInt64} OFFSET {offset:UInt64}",
            page,
        )
        counts = self._clickhouse.rows(f"SELECT count() FROM events WHERE {where}", parameters)
        return [_stored_event(row) for row in rows], int(counts[0][0])

    def places(
        self, organization_id: str, transaction_id: str, external_subscription_id: str | None = None
    ) -> Sequence[PlacedEvent]:
        """Every event with that id, newest timestamp first; at most `MATCHES_MAX`."""
        wanted = _named(organization_id, transaction_id, external_subscription_id)
        return [placed_event(row) for row in self._clickhouse.rows(_PLACES, wanted)]

    def dead_letters(
        self, organization_id: str, transaction_id: str, external_subscription_id: str | None = None
    ) -> Sequence[KeptDeadLetter]:
        """The dead letters of that id in the order of the stream; at most `MATCHES_MAX`.

        None in a cluster, where they are in a topic.
        """
        wanted = _named(organization_id, transaction_id, external_subscription_id)
        return [
            KeptDeadLetter(subscription, Position(partition, offset, line), code, reason, inserted_at)
            for subscription, partition, offset, line, code, reason, inserted_at in self._clickhouse.rows(
                _DEAD_LETTERS, wanted
            )
        ]


def _named(organization_id: str, transaction_id: str, external_subscription_id: str | None) -> dict[str, object]:
    return {
        "organization": organization_id,
        "transaction": transaction_id,
        "any_subscription": external_subscription_id is None,
        "subscription": external_subscription_id or "",
    }


def _conditions(wanted: EventFilter) -> tuple[str, dict[str, object]]:
    """The conditions of a filter; those it does not set are left out, so that the table's order can be used."""
    possible = (
        ("organization_id = {organization:String}", "organization", wanted.organization_id),
        ("external_subscription_id = {subscription:String}", "subscription", wanted.external_subscription_id),
        ("code = {code:String}", "code", wanted.code),
        ("timestamp >= {from:DateTime64(6, 'UTC')}", "from", wanted.timestamp_from),
        ("timestamp <= {to:DateTime64(6, 'UTC')}", "to", wanted.timestamp_to),
    )
    used = [(condition, name, value) for condition, name, value in possible if value is not None]
    return " AND ".join(condition for condition, _, _ in used), {name: value for _, name, value in used}


def _stored_event(values: Row) -> StoredEvent:
    row = _Row(*values)
    return StoredEvent(
        event_id=str(row.event_id),
        organization_id=row.organization_id,
        external_subscription_id=row.external_subscription_id,
        transaction_id=row.transaction_id,
        code=row.code,
        timestamp=row.timestamp,
        properties=decode_properties(row.properties.encode()),
        precise_total_amount_cents=row.precise_total_amount_cents,
        ingested_at=row.ingested_at,
    )


def placed_event(values: Row) -> PlacedEvent:
    """An event out of a row of `PLACE_COLUMNS`."""
    own = len(_Row._fields)
    place = _Place(*values[own:])
    return PlacedEvent(
        event=_stored_event(values[:own]),
        position=Position(place.partition, place.offset, place.line),
        evaluation=Evaluation(place.evaluation, place.value, place.identity, dict(place.dimensions)),
        inserted_at=place.inserted_at,
    )

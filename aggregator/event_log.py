"""Stored events, as the API lists them."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from aggregator.clickhouse import ClickHouse, Row
from schemas.events import decode_properties
from schemas.usage import EventFilter, StoredEvent

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

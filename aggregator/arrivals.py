"""Events in the order in which they were stored: what tells a late one."""

from collections.abc import Sequence
from datetime import datetime

from aggregator.clickhouse import ClickHouse
from aggregator.event_log import PLACE_COLUMNS, placed_event
from aggregator.reconciliation_sql import IN_WINDOW, NEXT_SUBSCRIPTIONS, NOW
from schemas.clickhouse import EVENTS_TABLE
from schemas.period import TimeRange
from schemas.usage import ArrivedEvent, PlacedEvent, StoredSpan

IDS_MAX = 1_000
"""Ids of one query: they travel in its address, 36 characters each."""

_SPANS = f"""
SELECT organization_id, external_subscription_id, min(timestamp), max(timestamp)
FROM {EVENTS_TABLE}
WHERE {IN_WINDOW}
    {NEXT_SUBSCRIPTIONS}"""

_SUBJECT = "organization_id = {organization:String} AND external_subscription_id = {subscription:String}"

_NEWEST = f"""
SELECT event_id, transaction_id, code, timestamp, ingested_at, inserted_at
FROM {EVENTS_TABLE}
WHERE {_SUBJECT} AND timestamp >= {{start:DateTime64(6, 'UTC')}} AND timestamp < {{end:DateTime64(6, 'UTC')}}
ORDER BY inserted_at DESC, ingested_at DESC, event_id DESC
LIMIT 1 BY event_id
LIMIT {{limit:UInt64}} OFFSET {{offset:UInt64}}"""

_PLACED = f"""
SELECT {PLACE_COLUMNS}
FROM {EVENTS_TABLE}
WHERE {_SUBJECT} AND event_id IN {{event_ids:Array(UUID)}}
ORDER BY ingested_at, kafka_partition, kafka_offset, kafka_line
LIMIT 1 BY event_id"""


class ClickHouseArrivalReader:
    """Reads events by when they were stored; raises TransientError while ClickHouse is away."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def now(self) -> datetime:
        """The clock of ClickHouse, which tells when events were stored."""
        now: datetime = self._clickhouse.rows(NOW)[0][0]
        return now

    def spans(self, since: datetime, until: datetime, *, after: tuple[str, str]) -> Sequence[StoredSpan]:
        """The next subscriptions behind `after` that something was stored for in [since, until)."""
        parameters = {
            "since": since,
            "until": until,
            "after_organization": after[0],
            "after_subscription": after[1],
        }
        return [StoredSpan(*row) for row in self._clickhouse.rows(_SPANS, parameters)]

    def newest(
        self, organization_id: str, external_subscription_id: str, period: TimeRange, *, limit: int, offset: int
    ) -> Sequence[ArrivedEvent]:
        """The events of a period that were stored last, the newest first.

        Raises: ValueError for a period without a start.
        """
        if period.start is None:
            raise ValueError("the newest events of all time are not those of a period")
        parameters: dict[str, object] = {
            "organization": organization_id,
            "subscription": external_subscription_id,
            "start": period.start,
            "end": period.end,
            "limit": limit,
            "offset": offset,
        }
        return [
            ArrivedEvent(str(event_id), *rest) for event_id, *rest in self._clickhouse.rows(_NEWEST, parameters)
        ]

    def placed(
        self, organization_id: str, external_subscription_id: str, event_ids: Sequence[str]
    ) -> Sequence[PlacedEvent]:
        """These events, in no order; `IDS_MAX` of them a query."""
        subject = {"organization": organization_id, "subscription": external_subscription_id}
        return [
            placed_event(row)
            for start in range(0, len(event_ids), IDS_MAX)
            for row in self._clickhouse.rows(
                _PLACED, subject | {"event_ids": list(event_ids[start : start + IDS_MAX])}
            )
        ]

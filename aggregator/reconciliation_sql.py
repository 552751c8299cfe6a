"""The reconciler's questions and its one statement that removes rows, as SQL.

Parameters: `subscriptions`, pairs of organization and external subscription id; `since` and `until`, bounds of
`inserted_at`; `months`, numbers like 202608.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aggregator.clickhouse import SUBSCRIPTIONS_MAX
from schemas.clickhouse import EVENTS_TABLE, PROJECTION_SETTINGS
from schemas.period import TimeRange

SURPLUS_ROWS_MAX = 5_000
"""Rows one statement removes: as text they stay well below the 256 KiB of `max_query_size`."""
_SPILL_BYTES = 1_000_000_000
"""Memory a grouping by event may take before it goes on on disk."""
_PART = re.compile(r"[0-9A-Za-z_-]+")

NOW = "SELECT now64(6, 'UTC')"

REBUILDS_PROJECTION = f"ALTER TABLE {EVENTS_TABLE} MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild'"
"""For tables made before it was in their definition; without it ClickHouse refuses to remove single rows."""

_IN_CHUNK = "(organization_id, external_subscription_id) IN {subscriptions:Array(Tuple(String, String))}"
IN_WINDOW = "inserted_at >= {since:DateTime64(6, 'UTC')} AND inserted_at < {until:DateTime64(6, 'UTC')}"
NEXT_SUBSCRIPTIONS = f"""AND organization_id >= {{after_organization:String}}
    AND (
        organization_id > {{after_organization:String}} OR external_subscription_id > {{after_subscription:String}}
    )
GROUP BY organization_id, external_subscription_id
ORDER BY organization_id, external_subscription_id
LIMIT {SUBSCRIPTIONS_MAX}
SETTINGS optimize_aggregation_in_order = 1"""
"""The end of a question that goes through the subscriptions in key order, a page at a time.

Spelt out and grouped in the table's order, so that it begins behind the last one and ends with its limit: 14 ms of
seven million rows, where a comparison of tuples takes 100 ms.
"""
_FIRST_ACCEPTED = "ingested_at, kafka_partition, kafka_offset, kafka_line, inserted_at, _part, _part_offset"
"""The order of the rows of an event; the first stays. The place decides where one insert was applied twice."""

_TOTALS = (
    "count(), count(value), sum(toDecimal256(value, 18)), max(value), countIf(value < 0),"
    " sumIf(toDecimal256(precise_total_amount_cents, 15), value IS NOT NULL)"
)
_COSTLY_TOTALS = (
    "argMaxIf(value, (timestamp, ingested_at, transaction_id), value IS NOT NULL),"
    " finalizeAggregation(uniqExactState(identity))"
)
_FROM_PROJECTION = (
    "optimize_use_projections = 1, force_optimize_projection = 1, force_optimize_projection_name = 'usage_hourly'"
)
_FROM_EVENTS = "optimize_use_projections = 0"


@dataclass(frozen=True)
class StoredRow:
    """Where a row is: its part, and its place in it.

    A part's name is never given again, so a row that was moved meanwhile is not found rather than mistaken.
    """

    part: str
    place: int


def touched_query(*, of_organization: bool) -> str:
    """The next subscriptions with rows stored in the window, in key order: how many rows, and in which months."""
    narrow = "organization_id = {organization:String} AND " if of_organization else ""
    return f"""
SELECT organization_id, external_subscription_id, count(), groupUniqArray(toYYYYMM(timestamp))
FROM {EVENTS_TABLE}
WHERE {narrow}{IN_WINDOW}
    {NEXT_SUBSCRIPTIONS}"""


def surplus_query(*, in_window: bool) -> str:
    """Rows behind the first of their event, by organization; `in_window`: of events that have a row in the window.

    An event is looked for under every code and in every month of its subscription: a repeat with another
    content may have been stored there.
    """
    narrow = (
        f"AND event_id IN (SELECT event_id FROM {EVENTS_TABLE} WHERE {_IN_CHUNK} AND {IN_WINDOW})"
        if in_window
        else ""
    )
    return f"""
SELECT organization_id, sum(copies - 1)
FROM (
    SELECT organization_id, count() AS copies FROM {EVENTS_TABLE} WHERE {_IN_CHUNK} {narrow}
    GROUP BY organization_id, event_id HAVING copies > 1
)
GROUP BY organization_id
SETTINGS max_bytes_before_external_group_by = {_SPILL_BYTES}"""


SURPLUS_ROWS = f"""
SELECT part, place
FROM (
    SELECT
        _part AS part, _part_offset AS place,
        row_number() OVER (PARTITION BY event_id ORDER BY {_FIRST_ACCEPTED}) AS copy
    FROM {EVENTS_TABLE}
    WHERE {_IN_CHUNK} AND event_id IN (
        SELECT event_id FROM {EVENTS_TABLE} WHERE {_IN_CHUNK} GROUP BY event_id HAVING count() > 1
    )
)
WHERE copy > 1
LIMIT {SURPLUS_ROWS_MAX}
SETTINGS max_bytes_before_external_group_by = {_SPILL_BYTES}"""


def period_counts_query(period: TimeRange) -> tuple[str, dict[str, object]]:
    """The rows and the events of each subscription inside a period; none of a subscription without any."""
    bounds: dict[str, object] = {"end": period.end}
    since = ""
    if period.start is not None:
        bounds["start"] = period.start
        since = " AND timestamp >= {start:DateTime64(6, 'UTC')}"
    query = f"""
SELECT organization_id, external_subscription_id, count(), uniqExact(event_id)
FROM {EVENTS_TABLE}
WHERE {_IN_CHUNK} AND timestamp < {{end:DateTime64(6, 'UTC')}}{since}
GROUP BY organization_id, external_subscription_id"""
    return query, bounds


def delete_statement(rows: Iterable[StoredRow]) -> str:
    """Remove these rows and no other.

    All of them at once: the statement gives every part of the table a new name, also where it changes nothing.
    """
    places: dict[str, list[int]] = {}
    for row in rows:
        places.setdefault(row.part, []).append(row.place)
    where = " OR ".join(_in_part(part, each) for part, each in places.items())
    return f"DELETE FROM {EVENTS_TABLE} WHERE {where}"


def _in_part(part: str, places: Iterable[int]) -> str:
    if _PART.fullmatch(part) is None:
        raise ValueError(f"{part!r} is not the name of a part")
    return f"(_part = '{part}' AND _part_offset IN ({', '.join(str(int(place)) for place in places)}))"


def totals_queries(*, thorough: bool) -> tuple[str, str]:
    """The totals of each subscription, code and month: out of the projection, and recounted from the rows.

    `thorough` compares the latest value and the distinct identities too, which cost a recount most.
    """
    totals = f"{_TOTALS}, {_COSTLY_TOTALS}" if thorough else _TOTALS
    return (
        _totals_query("toYYYYMM(toStartOfHour(timestamp))", totals, _FROM_PROJECTION),
        _totals_query("toYYYYMM(timestamp)", totals, _FROM_EVENTS),
    )


def _totals_query(month: str, totals: str, settings: str) -> str:
    return f"""
SELECT organization_id, external_subscription_id, code, {month} AS month, {totals}
FROM {EVENTS_TABLE}
WHERE {_IN_CHUNK} AND month IN {{months:Array(UInt32)}}
GROUP BY organization_id, external_subscription_id, code, month
SETTINGS {PROJECTION_SETTINGS}, {settings}"""

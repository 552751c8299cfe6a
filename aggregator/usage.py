"""Exact usage out of ClickHouse."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, cast

import structlog

from aggregator.clickhouse import SUBSCRIPTIONS_MAX, ClickHouse, Row
from aggregator.tally import OrderKey, Tally, group_of, is_in_scope
from aggregator.usage_sql import (
    asked_aggregates,
    current_tallies_query,
    rows_query,
    totals_of_many_query,
    totals_query,
)
from schemas.errors import PoisonEvent
from schemas.events import Event
from schemas.metrics import AggregationType, MetricEvaluator
from schemas.time_text import from_microseconds
from schemas.usage import Group, UsageQuestion, UsageRow, UsageScope, UsageTotals, question_of

_ZERO = Decimal(0)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _TotalsRow:
    group_values: Sequence[str]
    is_current: bool
    aggregates: Mapping[str, Any]
    """By the field of `UsageTotals`, as many as were asked for."""


class _TallyRow(NamedTuple):
    group_values: Sequence[str]
    events_count: int
    sum: Decimal
    max: Decimal
    latest_key: OrderKey
    latest: Decimal
    identities: Sequence[str]
    removals: int
    precise_total_amount_cents: Decimal | None


class _EventRow(NamedTuple):
    is_current: int
    timestamp_us: int
    ingested_at_us: int
    transaction_id: str
    value: Decimal | None
    identity: str
    precise_total_amount_cents: Decimal | None
    group_values: Sequence[str]
    unread: str
    inserted_at_us: int


@dataclass(frozen=True, slots=True)
class _CountedEvent:
    group: Group
    key: OrderKey
    value: Decimal
    identity: str
    precise_total_amount_cents: Decimal | None
    inserted_at_us: int


class ClickHouseUsageReader:
    """Reads usage exactly: whole hours from the projection, the ragged ends of the period from the events.

    Rows stored under another evaluation (before the metric existed or was changed, or a dimension was added) are
    fetched and evaluated here, then merged: slower, never wrong. A value among them that can never be counted is
    left out, with a warning that says how many there were.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        """One entry per group that has counted events; none when there are no events.

        Only the aggregates of the metric's type are asked for, as `UsageTotals` says.
        Raises: TransientError while ClickHouse is away.
        """
        query, parameters = totals_query(scope)
        rows = [_totals_row(scope, row) for row in self._clickhouse.rows(query, parameters)]
        return self._totals_of_rows(scope, rows)

    def totals_of_many(self, scopes: Sequence[UsageScope]) -> Sequence[Sequence[UsageTotals]]:
        """The `totals` of each scope, in their order.

        Scopes that differ only in the subscription share a query, `SUBSCRIPTIONS_MAX` at a time. What has rows
        under another evaluation costs queries of its own.
        Raises: TransientError while ClickHouse is away.
        """
        shared: dict[UsageQuestion, list[int]] = {}
        for number, scope in enumerate(scopes):
            shared.setdefault(question_of(scope), []).append(number)
        found: dict[int, Sequence[UsageTotals]] = {}
        for numbers in shared.values():
            for start in range(0, len(numbers), SUBSCRIPTIONS_MAX):
                some = numbers[start : start + SUBSCRIPTIONS_MAX]
                answers = self._totals_of_subscriptions([scopes[number] for number in some])
                found.update(zip(some, answers, strict=True))
        return [found[number] for number in range(len(scopes))]

    def _totals_of_subscriptions(self, scopes: Sequence[UsageScope]) -> list[Sequence[UsageTotals]]:
        query, parameters = totals_of_many_query(scopes[0], [each.external_subscription_id for each in scopes])
        rows: dict[str, list[_TotalsRow]] = {}
        for *totals, external_subscription_id in self._clickhouse.rows(query, parameters):
            rows.setdefault(external_subscription_id, []).append(_totals_row(scopes[0], totals))
        return [self._totals_of_rows(scope, rows.get(scope.external_subscription_id, [])) for scope in scopes]

    def _totals_of_rows(self, scope: UsageScope, rows: Sequence[_TotalsRow]) -> Sequence[UsageTotals]:
        if any(not row.is_current for row in rows):
            return self._totals_with_stale_rows(scope)
        return [_totals(row) for row in rows if row.aggregates["events_count"]]

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        """The counted events behind `totals`, in order.

        Raises: TransientError while ClickHouse is away, also between two rows.
        """
        for counted in self._counted_events(scope, stale_only=False):
            yield UsageRow(
                group=counted.group,
                timestamp=from_microseconds(counted.key[0]),
                transaction_id=counted.key[2],
                value=counted.value,
                identity=counted.identity,
                precise_total_amount_cents=counted.precise_total_amount_cents,
                ingested_at=from_microseconds(counted.key[1]),
                inserted_at=from_microseconds(counted.inserted_at_us),
            )

    def _totals_with_stale_rows(self, scope: UsageScope) -> Sequence[UsageTotals]:
        query, parameters = current_tallies_query(scope, with_identities=_counts_identities(scope))
        tallies: dict[Group, Tally] = {}
        for values in self._clickhouse.rows(query, parameters):
            row = _TallyRow(*values)
            tallies[_group(row.group_values)] = _tally(row)
        for counted in self._counted_events(scope, stale_only=True):
            tallies.setdefault(counted.group, Tally()).add(
                counted.key, counted.value, counted.identity, counted.precise_total_amount_cents
            )
        return [_as_asked(scope, tally.totals(group)) for group, tally in tallies.items()]

    def _counted_events(self, scope: UsageScope, *, stale_only: bool) -> Iterator[_CountedEvent]:
        evaluator = MetricEvaluator(scope.metric)
        query, parameters = rows_query(scope, stale_only=stale_only)
        poison: list[str] = []
        for block in self._clickhouse.blocks(query, parameters):
            for values in block:
                row = _EventRow(*values)
                try:
                    counted = _current(row) if row.is_current else _evaluate_stale(row, scope, evaluator)
                except PoisonEvent:
                    poison.append(row.transaction_id)
                    continue
                if counted is not None:
                    yield counted
        if poison:
            _log.warning(
                "stored events cannot be counted under the metric as it is now",
                organization_id=scope.organization_id,
                external_subscription_id=scope.external_subscription_id,
                code=scope.metric.code,
                events=len(poison),
                first_transaction_id=poison[0],
            )


def _as_asked(scope: UsageScope, totals: UsageTotals) -> UsageTotals:
    """Without what the metric is not billed by, so that an answer is the same however it was found."""
    asked = asked_aggregates(scope.metric.aggregation_type)
    return _totals_of(totals.group, {name: getattr(totals, name) for name in asked})


def _counts_identities(scope: UsageScope) -> bool:
    return scope.metric.aggregation_type is AggregationType.UNIQUE_COUNT


def _group(values: Sequence[str]) -> Group:
    return tuple(value or None for value in values)


def _totals_row(scope: UsageScope, row: Row) -> _TotalsRow:
    group_values, is_current, *aggregates = row
    names = asked_aggregates(scope.metric.aggregation_type)
    return _TotalsRow(group_values, bool(is_current), dict(zip(names, aggregates, strict=True)))


def _totals(row: _TotalsRow) -> UsageTotals:
    return _totals_of(_group(row.group_values), row.aggregates)


def _totals_of(group: Group, aggregates: Mapping[str, Any]) -> UsageTotals:
    return UsageTotals(
        group=group,
        events_count=aggregates["events_count"],
        sum=aggregates.get("sum") or _ZERO,
        max=aggregates.get("max"),
        latest=aggregates.get("latest"),
        unique_count=aggregates.get("unique_count", 0),
        removals=aggregates.get("removals", 0),
        precise_total_amount_cents=aggregates.get("precise_total_amount_cents") or _ZERO,
    )


def _tally(row: _TallyRow) -> Tally:
    return Tally(
        events_count=row.events_count,
        sum=row.sum,
        max=row.max,
        latest=(row.latest_key, row.latest),
        identities=set(row.identities),
        removals=row.removals,
        precise_total_amount_cents=row.precise_total_amount_cents or _ZERO,
    )


def _current(row: _EventRow) -> _CountedEvent:
    return _CountedEvent(
        _group(row.group_values),
        (row.timestamp_us, row.ingested_at_us, row.transaction_id),
        cast(Decimal, row.value),
        row.identity,
        row.precise_total_amount_cents,
        row.inserted_at_us,
    )


def _evaluate_stale(row: _EventRow, scope: UsageScope, evaluator: MetricEvaluator) -> _CountedEvent | None:
    """The event as the metric measures it now; None when it does not enter the aggregation or the scope.

    Raises: PoisonEvent when it can never be counted.
    """
    event = Event(
        organization_id=scope.organization_id,
        external_subscription_id=scope.external_subscription_id,
        transaction_id=row.transaction_id,
        code=scope.metric.code,
        timestamp_us=row.timestamp_us,
        properties_json=row.unread.encode(),
        precise_total_amount_cents=row.precise_total_amount_cents,
        ingested_at_us=row.ingested_at_us,
        event_id=b"",
        fingerprint=0,
    )
    evaluation = evaluator.evaluate(event)
    if evaluation.value is None or not is_in_scope(scope, evaluation.dimensions):
        return None
    return _CountedEvent(
        group_of(scope, evaluation.dimensions),
        (row.timestamp_us, row.ingested_at_us, row.transaction_id),
        evaluation.value,
        evaluation.identity,
        row.precise_total_amount_cents,
        row.inserted_at_us,
    )

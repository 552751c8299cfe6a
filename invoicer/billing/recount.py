"""Counts usage anew, event by event: the check on the totals that the usage store adds up itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from invoicer.billing.usage_reading import usage_event
from invoicer.rating.aggregation import (
    count_units,
    latest_units,
    max_units,
    sum_precise_total_amount_cents,
    sum_units,
    unique_count_units,
)
from invoicer.rating.usage import UsageEvent
from schemas.metrics import AggregationType
from schemas.usage import Group, UsageRow, UsageScope, UsageTotals


@dataclass(frozen=True)
class RecountingReader:
    """Answers as the usage store does, from the single events it was given.

    They are those of one metric and bucket, in order; a question narrows them by its period only.
    """

    events: Sequence[UsageRow]

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        """One entry per group that has events."""
        groups: dict[Group, list[UsageEvent]] = {}
        for row in self.rows(scope):
            groups.setdefault(row.group, []).append(usage_event(row))
        return [_totals(group, events) for group, events in groups.items()]

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        """The events of the period, in order."""
        start, end = scope.period.start, scope.period.end
        return (row for row in self.events if (start is None or start <= row.timestamp) and row.timestamp < end)


def level_of(aggregation: AggregationType, rows: Sequence[UsageRow]) -> Decimal:
    """The units that events leave behind, unweighted: what a recurring metric carries into the next period."""
    events = [usage_event(row) for row in rows]
    match aggregation:
        case AggregationType.COUNT:
            return count_units(events)
        case AggregationType.SUM | AggregationType.WEIGHTED_SUM:
            return sum_units(events)
        case AggregationType.MAX:
            return max_units(events)
        case AggregationType.LATEST:
            return latest_units(events)
        case AggregationType.UNIQUE_COUNT:
            return unique_count_units(events)
        case unreachable:
            assert_never(unreachable)


def _totals(group: Group, events: Sequence[UsageEvent]) -> UsageTotals:
    return UsageTotals(
        group=group,
        events_count=int(count_units(events)),
        sum=sum_units(events),
        max=max_units(events),
        latest=latest_units(events),
        unique_count=int(unique_count_units(events)),
        removals=sum(event.value < 0 for event in events),
        precise_total_amount_cents=sum_precise_total_amount_cents(events),
    )

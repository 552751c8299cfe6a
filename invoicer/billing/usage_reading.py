"""From the usage store to the rating core: the exact usage of one bucket of a charge, group by group.

Totals are asked for where they suffice; single events are read only where the rule needs them (weights,
prorated days, removals, free units, amounts per transaction).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import assert_never

from invoicer.rating.aggregation import (
    ChargePeriod,
    count_units,
    counted_running_totals,
    running_totals,
    sum_precise_total_amount_cents,
    unique_count_units,
    weighted_sum_units,
)
from invoicer.rating.charge_models import ChargeProperties
from invoicer.rating.charge_models.properties import PercentageProperties
from invoicer.rating.proration import ProratedUnits, prorated_sum_units, prorated_unique_count_units
from invoicer.rating.usage import Operation, Usage, UsageEvent
from schemas.metrics import AggregationType
from schemas.period import TimeRange
from schemas.usage import Group, UsageReader, UsageRow, UsageScope, UsageTotals

_ZERO = Decimal(0)


@dataclass(frozen=True)
class BucketQuery:
    """What one bucket of a charge is to be measured by.

    `scope.period` is the charge period itself; recurring metrics look further back on their own account.
    `carried_days` are the days billed of the period, for units carried into it.
    """

    scope: UsageScope
    charge_period: ChargePeriod
    properties: ChargeProperties
    prorated: bool
    carried_days: int


def read_usage(reader: UsageReader, query: BucketQuery) -> dict[Group, Usage]:
    """The usage of each group that has any, ready to be priced.

    Bounds: half-open, as the scope's period; recurring sums and unique counts take all history before its end.
    Raises: TransientError when the store is away.
    Source: Lago aggregation.
    """
    aggregation = query.scope.metric.aggregation_type
    if aggregation is AggregationType.WEIGHTED_SUM:
        return _weighted_sums(reader, query)
    if query.prorated and aggregation is AggregationType.SUM:
        return _prorated_sums(reader, query)
    if query.prorated and aggregation is AggregationType.UNIQUE_COUNT:
        return _prorated_unique_counts(reader, query)
    scope = _history(query.scope) if query.scope.metric.recurring else query.scope
    if _prices_single_events(query.properties):
        return _with_single_events(reader, scope, query.properties)
    return _plain_usages(reader, scope)


def _plain_usages(reader: UsageReader, scope: UsageScope) -> dict[Group, Usage]:
    totals = reader.totals(scope)
    if scope.metric.aggregation_type is AggregationType.UNIQUE_COUNT and any(each.removals for each in totals):
        return _fold(reader.rows(scope), lambda events: _unique_usage(unique_count_units(events)))
    return {each.group: _usage_of_totals(scope.metric.aggregation_type, each) for each in totals}


def _usage_of_totals(aggregation: AggregationType, totals: UsageTotals) -> Usage:
    amounts = totals.precise_total_amount_cents
    match aggregation:
        case AggregationType.COUNT:
            units = Decimal(totals.events_count)
        case AggregationType.SUM:
            units = totals.sum
        case AggregationType.MAX:
            units = _ZERO if totals.max is None else totals.max
        case AggregationType.LATEST:
            units = max(_ZERO if totals.latest is None else totals.latest, _ZERO)
        case AggregationType.UNIQUE_COUNT:
            return _unique_usage(Decimal(totals.unique_count))
        case AggregationType.WEIGHTED_SUM:
            raise ValueError("a weighted sum has no totals")
        case unreachable:
            assert_never(unreachable)
    return replace(Usage.of(units, totals.events_count), precise_total_amount_cents=amounts)


def _unique_usage(units: Decimal) -> Usage:
    # The events of a unique count are its units, however many events said the same.
    return Usage.of(units, int(units))


def _prices_single_events(properties: ChargeProperties) -> bool:
    return isinstance(properties, PercentageProperties) and (
        bool(properties.free_units_per_events)
        or bool(properties.free_units_per_total_aggregation)
        or _has_transaction_bounds(properties)
    )


def _has_transaction_bounds(properties: PercentageProperties) -> bool:
    return properties.per_transaction_min_amount is not None or properties.per_transaction_max_amount is not None


def _with_single_events(
    reader: UsageReader, scope: UsageScope, properties: ChargeProperties
) -> dict[Group, Usage]:
    """Percentage charges with free units or bounds per transaction: totals, and the values behind them."""
    if not isinstance(properties, PercentageProperties):
        raise ValueError("only percentage charges price single events")
    counts = scope.metric.aggregation_type in (AggregationType.COUNT, AggregationType.UNIQUE_COUNT)
    usages = _plain_usages(reader, scope)
    values: Mapping[Group, list[Decimal]] = {}
    if not counts or _has_transaction_bounds(properties):
        values = {
            group: [event.value for event in events] for group, events in _by_group(reader.rows(scope)).items()
        }
    return {
        group: _with_values(usage, values.get(group, []), properties, counts=counts)
        for group, usage in usages.items()
    }


def _with_values(
    usage: Usage, values: Sequence[Decimal], properties: PercentageProperties, *, counts: bool
) -> Usage:
    free_events = properties.free_units_per_events
    free_units = properties.free_units_per_total_aggregation
    totals: Sequence[Decimal]
    if counts:
        totals = counted_running_totals(
            usage.units, free_units_per_events=free_events, free_units_per_total_aggregation=free_units
        )
    else:
        totals = running_totals(
            values, free_units_per_events=free_events, free_units_per_total_aggregation=free_units
        )
    single = tuple(values) if _has_transaction_bounds(properties) else ()
    return replace(usage, running_totals=totals, event_values=single)


def _weighted_sums(reader: UsageReader, query: BucketQuery) -> dict[Group, Usage]:
    initial = _sums_before(reader, query.scope) if query.scope.metric.recurring else {}
    events = _by_group(reader.rows(query.scope))
    return {
        group: _weighted_usage(events.get(group, []), query.charge_period, initial.get(group, _ZERO))
        for group in initial.keys() | events.keys()
    }


def _weighted_usage(events: Sequence[UsageEvent], period: ChargePeriod, initial_value: Decimal) -> Usage:
    weighted = weighted_sum_units(events, period, initial_value)
    return replace(Usage.of(weighted.units, len(events)), total_aggregated_units=weighted.total_aggregated_units)


def _prorated_sums(reader: UsageReader, query: BucketQuery) -> dict[Group, Usage]:
    carried = _sums_before(reader, query.scope)
    events = _by_group(reader.rows(query.scope))
    return {
        group: _prorated_usage(
            prorated_sum_units(
                events.get(group, []),
                query.charge_period,
                carried_units=carried.get(group, _ZERO),
                carried_days=query.carried_days,
            ),
            events.get(group, []),
        )
        for group in carried.keys() | events.keys()
    }


def _prorated_usage(prorated: ProratedUnits, events: Sequence[UsageEvent]) -> Usage:
    return Usage(
        units=prorated.units,
        events_count=int(count_units(events)),
        total_aggregated_units=prorated.full_units,
        full_units=prorated.full_units,
        prorated_events=prorated.prorated_events,
        precise_total_amount_cents=sum_precise_total_amount_cents(events),
    )


def _prorated_unique_counts(reader: UsageReader, query: BucketQuery) -> dict[Group, Usage]:
    def usage(events: Sequence[UsageEvent]) -> Usage:
        prorated = prorated_unique_count_units(events, query.charge_period)
        return replace(_prorated_usage(prorated, events), events_count=int(prorated.full_units))

    return _fold(reader.rows(_history(query.scope)), usage)


def _sums_before(reader: UsageReader, scope: UsageScope) -> dict[Group, Decimal]:
    """What was accumulated before the period, by group: the level it starts with."""
    if scope.period.start is None:
        return {}
    earlier = replace(scope, period=TimeRange(start=None, end=scope.period.start))
    return {each.group: each.sum for each in reader.totals(earlier)}


def _history(scope: UsageScope) -> UsageScope:
    return replace(scope, period=TimeRange(start=None, end=scope.period.end))


def _fold(rows: Iterable[UsageRow], usage_of: Callable[[Sequence[UsageEvent]], Usage]) -> dict[Group, Usage]:
    return {group: usage_of(events) for group, events in _by_group(rows).items()}


def _by_group(rows: Iterable[UsageRow]) -> dict[Group, list[UsageEvent]]:
    events: dict[Group, list[UsageEvent]] = {}
    for row in rows:
        events.setdefault(row.group, []).append(usage_event(row))
    return events


def usage_event(row: UsageRow) -> UsageEvent:
    """A stored event as the rating core sees it."""
    return UsageEvent(
        timestamp=row.timestamp,
        value=row.value,
        identity=row.identity,
        operation=Operation.REMOVE if row.value < 0 else Operation.ADD,
        precise_total_amount_cents=row.precise_total_amount_cents,
    )

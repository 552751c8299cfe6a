"""Folds from events to units, one function per aggregation type, and the rounding of units.

Events of one timestamp are taken in the order given, which is the order of their ingestion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

from invoicer.rating.arithmetic import ZERO, divide_round_up, exact_arithmetic, round_to
from invoicer.rating.usage import CountedRunningTotals, Operation, Usage, UsageEvent

WEIGHTED_SUM_PLACES = 20
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS_PER_DAY = 86_400 * 10**6


class RoundingFunction(StrEnum):
    """How a billable metric rounds its units."""

    ROUND = "round"
    CEIL = "ceil"
    FLOOR = "floor"


@dataclass(frozen=True)
class ChargePeriod:
    """The window a charge is billed for.

    Bounds:  [start, end), aware UTC. `duration_days` is the length of the whole billing period, also where
             the window is cut short by a start or a termination; > 0.
    """

    start: datetime
    end: datetime
    duration_days: int
    timezone: ZoneInfo

    def __post_init__(self) -> None:
        if self.start.utcoffset() != timedelta(0) or self.end.utcoffset() != timedelta(0):
            raise ValueError("a charge period is bounded by aware UTC times")
        if self.end <= self.start or self.duration_days <= 0:
            raise ValueError("a charge period has a positive length")


def in_timestamp_order(events: Iterable[UsageEvent]) -> list[UsageEvent]:
    """Sort by timestamp, keeping the ingestion order of events of the same instant."""
    return sorted(events, key=lambda event: event.timestamp)


def count_units(events: Sequence[UsageEvent]) -> Decimal:
    """The number of events."""
    return Decimal(len(events))


@exact_arithmetic()
def sum_units(events: Iterable[UsageEvent]) -> Decimal:
    """The sum of the values, 0 without events; may be negative."""
    return sum((event.value for event in events), ZERO)


@exact_arithmetic()
def max_units(events: Iterable[UsageEvent]) -> Decimal:
    """The greatest value, 0 without events."""
    return max((event.value for event in events), default=ZERO)


def latest_units(events: Sequence[UsageEvent]) -> Decimal:
    """The value of the last event, 0 without events or where that value is negative.

    Source:  Lago aggregation, latest_agg.
    """
    if not events:
        return ZERO
    return max(in_timestamp_order(events)[-1].value, ZERO)


def unique_count_units(events: Iterable[UsageEvent]) -> Decimal:
    """The number of identities that are active after replaying every add and remove in timestamp order.

    Bounds:  an identity starts removed; repeating an operation changes nothing. Pass the events of the
             period, or the whole history up to its end for a recurring metric.
    Raises:  ValueError for an operation that is neither add nor remove.
    Source:  Lago aggregation, unique_count_agg.
    """
    active: set[str | None] = set()
    for event in in_timestamp_order(events):
        match Operation(event.operation):
            case Operation.ADD:
                active.add(event.identity)
            case Operation.REMOVE:
                active.discard(event.identity)
            case unreachable:
                assert_never(unreachable)
    return Decimal(len(active))


@dataclass(frozen=True)
class WeightedSum:
    """Units held over time, and the level reached at the end."""

    units: Decimal
    total_aggregated_units: Decimal


@exact_arithmetic()
def weighted_sum_units(
    events: Sequence[UsageEvent], period: ChargePeriod, initial_value: Decimal = ZERO
) -> WeightedSum:
    """Weigh every change of level by the time it is held, relative to the whole billing period.

    Units:   values are changes of level; `initial_value` is the level at the start (recurring metrics).
    Bounds:  events inside [start, end); the level is held until `end` itself. A period cut short weighs less
             because `duration_days` stays that of the whole period.
    Rounds:  up to 20 decimals, once.
    Raises:  ValueError for an event outside the period.
    Source:  Lago aggregation, weighted sum.
    """
    held = initial_value * _microseconds(period.start, period.end)
    for event in events:
        if not period.start <= event.timestamp < period.end:
            raise ValueError("a weighted sum takes only events inside its period")
        held += event.value * _microseconds(event.timestamp, period.end)
    whole_period = period.duration_days * _MICROSECONDS_PER_DAY
    return WeightedSum(
        units=divide_round_up(held, whole_period, WEIGHTED_SUM_PLACES),
        total_aggregated_units=initial_value + sum_units(events),
    )


def _microseconds(start: datetime, end: datetime) -> int:
    # Two times of the same non-UTC zone are subtracted by the clock on the wall: go through UTC.
    return (end.astimezone(UTC) - start.astimezone(UTC)) // _MICROSECOND


@exact_arithmetic()
def sum_precise_total_amount_cents(events: Iterable[UsageEvent]) -> Decimal:
    """The amount the events themselves carry (dynamic model), in minor units; an absent amount counts 0."""
    return sum((event.precise_total_amount_cents or ZERO for event in events), ZERO)


@exact_arithmetic()
def running_totals(
    event_values: Iterable[Decimal],
    *,
    free_units_per_events: int | None,
    free_units_per_total_aggregation: Decimal | None,
) -> tuple[Decimal, ...]:
    """Cumulated values of the events that may be free, in timestamp order.

    Bounds:  the first `free_units_per_events` events; else, with a free amount, up to and including the
             event that carries the total past it; else none.
    Source:  Lago aggregation, running totals for free units.
    """
    totals: list[Decimal] = []
    total = ZERO
    for value in event_values:
        if free_units_per_events:
            enough = len(totals) == free_units_per_events
        else:
            enough = not free_units_per_total_aggregation or total > free_units_per_total_aggregation
        if enough:
            break
        total += value
        totals.append(total)
    return tuple(totals)


def counted_running_totals(
    units: Decimal,
    *,
    free_units_per_events: int | None,
    free_units_per_total_aggregation: Decimal | None,
) -> CountedRunningTotals:
    """Running totals of a count or unique count: 1, 2, …, units; none where nothing is free."""
    is_free = bool(free_units_per_events or free_units_per_total_aggregation)
    return CountedRunningTotals(max(0, int(units)) if is_free else 0)


def round_units(units: Decimal, function: RoundingFunction | None, precision: int | None = None) -> Decimal:
    """Round units as the billable metric asks; without a rounding function they stay as they are.

    Rounds:  to `precision` decimals (None is 0; negative: tens, hundreds, …); round is half away from zero,
             ceil and floor go towards positive and negative infinity.
    Source:  Lago aggregation, rounding of units.
    """
    match function:
        case None:
            return units
        case RoundingFunction.ROUND:
            mode = ROUND_HALF_UP
        case RoundingFunction.CEIL:
            mode = ROUND_CEILING
        case RoundingFunction.FLOOR:
            mode = ROUND_FLOOR
        case unreachable:
            assert_never(unreachable)
    return round_to(units, precision or 0, mode)


def round_usage(usage: Usage, function: RoundingFunction | None, precision: int | None = None) -> Usage:
    """Round the priced and the full units of a usage; what belongs to single events stays exact."""
    return replace(
        usage,
        units=round_units(usage.units, function, precision),
        full_units=round_units(usage.full_units, function, precision),
    )

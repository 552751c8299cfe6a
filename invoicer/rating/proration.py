"""Recurring units billed for the days they were held: prorated sum and prorated unique count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from invoicer.rating.aggregation import ChargePeriod, in_timestamp_order
from invoicer.rating.arithmetic import ZERO, divide, divide_round_up, exact_arithmetic
from invoicer.rating.usage import Operation, UsageEvent

PRORATED_PLACES = 5


@dataclass(frozen=True)
class ProratedUnits:
    """Units for the days they were held.

    Units:   `units` are prorated and rounded up to 5 decimals; `full_units` are not prorated;
             `prorated_events` are (full, prorated) per event, the carried value first, prorated unrounded.
    """

    units: Decimal
    full_units: Decimal
    prorated_events: tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True)
class _HeldUnits:
    """One change of the full units, and the unit-days it adds to (or takes from) the window."""

    full: Decimal
    unit_days: Decimal


@exact_arithmetic()
def prorate_units(units: Decimal, *, days: int, duration_days: int) -> Decimal:
    """Prorate the units of one event paid in advance, rounded up to 5 decimals.

    Units:   `days` are those left in the period, the event's day included.
    Source:  Lago aggregation, pay in advance prorated event.
    """
    return divide_round_up(units * days, duration_days, PRORATED_PLACES)


@exact_arithmetic()
def prorated_sum_units(
    events: Iterable[UsageEvent],
    period: ChargePeriod,
    *,
    carried_units: Decimal = ZERO,
    carried_days: int = 0,
) -> ProratedUnits:
    """Charge every added unit for the days from its event to the end of the window.

    Units:   days are calendar days of the period's time zone, the event's day included. `carried_units` were
             accumulated before the period and are held for `carried_days`, the days billed.
    Bounds:  events inside [start, end).
    Rounds:  up to 5 decimals, once.
    Raises:  ValueError for an event outside the period.
    Source:  Lago aggregation, sum_agg prorated.
    """
    held = [_HeldUnits(carried_units, carried_units * carried_days)] if carried_units else []
    for event in in_timestamp_order(events):
        if not period.start <= event.timestamp < period.end:
            raise ValueError("a prorated sum takes only events inside its period; earlier ones are carried")
        held.append(_HeldUnits(event.value, event.value * _days_left(event.timestamp, period)))
    return _prorated(held, period)


@exact_arithmetic()
def prorated_unique_count_units(events: Iterable[UsageEvent], period: ChargePeriod) -> ProratedUnits:
    """Charge every identity for the days it was active in the window.

    Units:   calendar days of the period's time zone; the day of the add and the day of the remove both
             count. An identity removed and added again on one day is charged for that day once.
    Bounds:  pass the whole history before `end`; what was active at `start` is charged from that day.
    Rounds:  up to 5 decimals, once.
    Raises:  ValueError for an event at or after the end, or an unknown operation.
    Source:  Lago aggregation, unique_count prorated.
    """
    ordered = in_timestamp_order(events)
    if ordered and ordered[-1].timestamp >= period.end:
        raise ValueError("a prorated unique count takes only events before the end of its period")
    earlier = [event for event in ordered if event.timestamp < period.start]
    inside = ordered[len(earlier) :]
    active = _active_identities(earlier)
    carried = Decimal(len(active))
    held = [_HeldUnits(carried, carried * _days_left(period.start, period))] if active else []
    return _prorated([*held, *_changes(inside, active, period)], period)


def _active_identities(events: Sequence[UsageEvent]) -> set[str | None]:
    last_operations = {event.identity: Operation(event.operation) for event in events}
    return {identity for identity, operation in last_operations.items() if operation is Operation.ADD}


def _changes(events: Sequence[UsageEvent], carried: set[str | None], period: ChargePeriod) -> Iterable[_HeldUnits]:
    """What each effective add and remove of the window adds to or takes from the days charged."""
    active = set(carried)
    removed_on: dict[str | None, date] = {}
    for event in events:
        days_left = _days_left(event.timestamp, period)
        today = _local_date(event.timestamp, period)
        if Operation(event.operation) is Operation.REMOVE:
            if event.identity in active:
                active.remove(event.identity)
                removed_on[event.identity] = today
                yield _HeldUnits(Decimal(-1), Decimal(1 - days_left))
        elif event.identity not in active:
            active.add(event.identity)
            # The day of the remove was left charged: do not charge it a second time.
            is_charged_today = removed_on.get(event.identity) == today
            yield _HeldUnits(Decimal(1), Decimal(days_left - 1 if is_charged_today else days_left))


def _prorated(held: Sequence[_HeldUnits], period: ChargePeriod) -> ProratedUnits:
    unit_days = sum((each.unit_days for each in held), ZERO)
    return ProratedUnits(
        units=divide_round_up(unit_days, period.duration_days, PRORATED_PLACES),
        full_units=sum((each.full for each in held), ZERO),
        prorated_events=tuple((each.full, divide(each.unit_days, period.duration_days)) for each in held),
    )


def _days_left(timestamp: datetime, period: ChargePeriod) -> int:
    last_day = _local_date(period.end - timedelta(microseconds=1), period)
    return (last_day - _local_date(timestamp, period)).days + 1


def _local_date(timestamp: datetime, period: ChargePeriod) -> date:
    return timestamp.astimezone(period.timezone).date()

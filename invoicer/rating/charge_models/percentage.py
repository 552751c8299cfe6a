"""The percentage charge model: a share of the units and a fixed amount per event, some of it free."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from invoicer.rating.arithmetic import PERCENT, ZERO, divide_or_zero, exact_arithmetic
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.percentage_transactions import price_transactions
from invoicer.rating.charge_models.properties import PercentageProperties
from invoicer.rating.usage import CountedRunningTotals, Usage
from schemas.money import decimal_text


@exact_arithmetic()
def price_percentage(properties: PercentageProperties, usage: Usage) -> PricedCharge:
    """Charge `rate` percent of the paid units plus the fixed amount for every paid event.

    Units:   the metric's unit is read as major currency units.
    Bounds:  free are the first events or the first units, whichever is reached first; with a minimum or
             maximum per transaction every event is priced alone, see `price_transactions`.
    Source:  Lago charge models, percentage.
    """
    if properties.per_transaction_min_amount is None and properties.per_transaction_max_amount is None:
        parts = _price_together(properties, usage)
    else:
        parts = _price_apart(properties, usage)
    amount = parts.per_unit_total + parts.fixed_total + parts.min_max_adjustment
    return PricedCharge(
        amount=amount,
        unit_amount=divide_or_zero(amount, usage.units),
        amount_details={
            "units": decimal_text(usage.units),
            "free_units": decimal_text(parts.free_units),
            "free_events": parts.free_events,
            "paid_units": decimal_text(parts.paid_units),
            "rate": decimal_text(properties.rate),
            "per_unit_total_amount": decimal_text(parts.per_unit_total),
            "paid_events": parts.paid_events,
            "fixed_fee_unit_amount": decimal_text(properties.fixed_amount or ZERO),
            "fixed_fee_total_amount": decimal_text(parts.fixed_total),
            "min_max_adjustment_total_amount": decimal_text(parts.min_max_adjustment),
        },
    )


@dataclass(frozen=True)
class _Parts:
    free_units: Decimal
    free_events: int
    paid_units: Decimal
    paid_events: int
    per_unit_total: Decimal
    fixed_total: Decimal
    min_max_adjustment: Decimal = ZERO


def _price_together(properties: PercentageProperties, usage: Usage) -> _Parts:
    free_events = _free_events(properties, usage.running_totals)
    free_units = _free_units(properties, usage.running_totals, free_events)
    paid_units = max(ZERO, usage.units - free_units)
    paid_events = max(0, usage.events_count - free_events)
    fixed_amount = properties.fixed_amount or ZERO
    return _Parts(
        free_units=free_units,
        free_events=free_events,
        paid_units=paid_units,
        paid_events=paid_events,
        per_unit_total=paid_units * properties.rate / PERCENT,
        fixed_total=paid_events * fixed_amount if usage.units != 0 else ZERO,
    )


def _price_apart(properties: PercentageProperties, usage: Usage) -> _Parts:
    transactions = price_transactions(properties, usage.event_values)
    paid = [transaction for transaction in transactions if not transaction.is_free]
    paid_units = sum((transaction.paid_units for transaction in paid), ZERO)
    return _Parts(
        free_units=sum(usage.event_values, ZERO) - paid_units,
        free_events=len(transactions) - len(paid),
        paid_units=paid_units,
        paid_events=len(paid),
        per_unit_total=paid_units * properties.rate / PERCENT,
        fixed_total=len(paid) * (properties.fixed_amount or ZERO),
        min_max_adjustment=sum((transaction.adjustment for transaction in paid), ZERO),
    )


def _free_events(properties: PercentageProperties, totals: Sequence[Decimal]) -> int:
    """The lowest of the free event rules that apply, 0 where none does."""
    counts = (
        properties.free_units_per_events or 0,
        _count_below(totals, properties.free_units_per_total_aggregation or ZERO),
    )
    return min((count for count in counts if count), default=0)


def _count_below(totals: Sequence[Decimal], limit: Decimal) -> int:
    if isinstance(totals, CountedRunningTotals):
        return totals.count_below(limit)
    return sum(1 for total in totals if total < limit)


def _free_units(properties: PercentageProperties, totals: Sequence[Decimal], free_events: int) -> Decimal:
    if not totals:
        return ZERO
    are_events_used_up = 0 < (properties.free_units_per_events or 0) < len(totals)
    reached = totals[free_events - 1] if are_events_used_up else totals[-1]
    free_amount = properties.free_units_per_total_aggregation
    return min(reached, free_amount) if free_amount else reached

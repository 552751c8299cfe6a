"""Percentage pricing event by event, for charges with a minimum or maximum amount per transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from invoicer.rating.arithmetic import PERCENT, ZERO
from invoicer.rating.charge_models.properties import PercentageProperties


@dataclass(frozen=True)
class Transaction:
    """One priced event. Amounts in major units; `adjustment` is what the minimum or maximum changed."""

    is_free: bool
    paid_units: Decimal = ZERO
    adjustment: Decimal = ZERO


@dataclass(frozen=True)
class _Allowance:
    """What is still free; None where the charge has no such rule."""

    events: int | None
    units: Decimal | None

    @property
    def is_used_up(self) -> bool:
        return self.events == 0 or self.units == 0 or (self.events is None and self.units is None)

    def covers(self, value: Decimal) -> bool:
        return not self.is_used_up and (self.units is None or self.units > value)

    def after(self, value: Decimal) -> "_Allowance":
        return _Allowance(
            events=None if self.events is None else self.events - 1,
            units=None if self.units is None else self.units - value,
        )


def price_transactions(properties: PercentageProperties, event_values: Iterable[Decimal]) -> list[Transaction]:
    """Price events one by one, in timestamp order, within the minimum and maximum per transaction.

    Bounds:  an event is free where a free event is left and the free amount left exceeds its value. The event
             that meets the end of the free amount pays for the rest of its value and ends every allowance.
    Source:  Lago charge models, percentage with per transaction amounts.
    """
    allowance = _Allowance(properties.free_units_per_events, properties.free_units_per_total_aggregation or None)
    transactions = []
    for value in event_values:
        if allowance.covers(value):
            allowance = allowance.after(value)
            transactions.append(Transaction(is_free=True))
            continue
        free_units = ZERO if allowance.is_used_up else allowance.units or ZERO
        allowance = _Allowance(events=0, units=ZERO)
        transactions.append(_paid_transaction(properties, value - free_units))
    return transactions


def _paid_transaction(properties: PercentageProperties, paid_units: Decimal) -> Transaction:
    amount = paid_units * properties.rate / PERCENT + (properties.fixed_amount or ZERO)
    charged = amount
    if properties.per_transaction_min_amount is not None:
        charged = max(charged, properties.per_transaction_min_amount)
    if properties.per_transaction_max_amount is not None:
        charged = min(charged, properties.per_transaction_max_amount)
    return Transaction(is_free=False, paid_units=paid_units, adjustment=charged - amount)

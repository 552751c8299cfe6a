"""From a priced charge to the amounts of its fee, and the true-up to a charge's minimum."""

from dataclasses import dataclass
from decimal import Decimal

from invoicer.rating.arithmetic import PERCENT, ZERO, exact_arithmetic, round_half_up, to_minor_units
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.usage import Usage

PRECISE_PLACES = 15


@dataclass(frozen=True)
class FeeAmounts:
    """The figures of a fee.

    Units:   cents are the currency's minor units; `precise_amount_cents` and `precise_unit_amount` (major
             units) have 15 decimals; `units` are those shown, before proration.
    """

    amount_cents: int
    precise_amount_cents: Decimal
    unit_amount_cents: int
    precise_unit_amount: Decimal
    units: Decimal
    total_aggregated_units: Decimal
    events_count: int
    amount_details: dict[str, object]

    @property
    def is_empty(self) -> bool:
        """Nothing used and nothing due: such a fee is not kept on an invoice."""
        return self.units == 0 and self.amount_cents == 0 and self.events_count == 0


@exact_arithmetic()
def build_fee_amounts(priced: PricedCharge, usage: Usage, *, exponent: int) -> FeeAmounts:
    """Turn a priced charge into the amounts of its fee.

    Units:   `exponent` is the currency's number of decimals (2 for EUR, 0 for JPY, 3 for KWD).
    Bounds:  where the units shown or the amount are negative, both become 0.
    Rounds:  `amount_cents` half away from zero; precise amounts half up at 15 decimals; `unit_amount_cents`
             is cut to whole minor units.
    Source:  Lago fees, from model result to fee.
    """
    is_negative = usage.full_units < 0 or priced.amount < 0
    amount = ZERO if is_negative else priced.amount
    unit_amount = ZERO if is_negative else priced.unit_amount
    return FeeAmounts(
        amount_cents=to_minor_units(amount, exponent),
        precise_amount_cents=round_half_up(amount.scaleb(exponent), PRECISE_PLACES),
        unit_amount_cents=int(unit_amount.scaleb(exponent)),
        precise_unit_amount=round_half_up(unit_amount, PRECISE_PLACES),
        units=ZERO if is_negative else usage.full_units,
        total_aggregated_units=usage.total_aggregated_units,
        events_count=usage.events_count,
        amount_details=priced.amount_details,
    )


@exact_arithmetic()
def true_up_amount(min_amount_cents: int, used_amount_cents: int, *, days_billed: int, duration_days: int) -> int:
    """What a charge lacks to its minimum for the days billed, in minor units; 0 where it is reached.

    Units:   `used_amount_cents` is the sum of all fees of the charge; `duration_days` > 0 is the whole period.
    Rounds:  half away from zero, once.
    Source:  Lago minimum amount and true-up fee.
    """
    missing = min_amount_cents * days_billed - used_amount_cents * duration_days
    if missing <= 0:
        return 0
    # Integer halves: a third of a cent has no decimal, its nearest whole cent has.
    return (2 * missing + duration_days) // (2 * duration_days)


@exact_arithmetic()
def convert_pricing_unit_cents(amount_cents: int, conversion_rate: Decimal, *, exponent: int) -> int:
    """Turn hundredths of a pricing unit into minor units of the currency, half away from zero.

    Units:   `conversion_rate` is major currency units per pricing unit.
    Source:  Lago fees, custom pricing units.
    """
    return to_minor_units(amount_cents * conversion_rate / PERCENT, exponent)

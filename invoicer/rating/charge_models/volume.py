"""The volume charge model: the tier that holds the total prices all of it."""

from collections.abc import Sequence
from decimal import Decimal

from invoicer.rating.arithmetic import ZERO, divide_or_zero, divide_round_up, exact_arithmetic
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.properties import VolumeProperties
from invoicer.rating.charge_models.tiers import Tier
from invoicer.rating.usage import Usage
from schemas.money import decimal_text


@exact_arithmetic()
def price_volume(properties: VolumeProperties, usage: Usage) -> PricedCharge:
    """Price all units at the tier their total falls in, plus its flat amount, also without units.

    Bounds:  the tier is chosen by the full units, the units priced may be prorated. Units between two tiers
             (100.5 between 0–100 and 101–200, or a gap left by 0–100 and 102–200) belong to the upper one.
    Source:  Lago charge models, volume.
    """
    tier = _tier_of(properties.tiers, usage.full_units)
    per_unit_amount = tier.per_unit_amount if tier else ZERO
    flat_amount = tier.flat_amount if tier else ZERO
    per_unit_total = usage.units * per_unit_amount
    amount = per_unit_total + flat_amount
    return PricedCharge(
        amount=amount,
        unit_amount=divide_or_zero(amount, usage.units),
        amount_details={
            "flat_unit_amount": decimal_text(flat_amount),
            "per_unit_amount": decimal_text(per_unit_amount),
            "per_unit_total_amount": decimal_text(per_unit_total),
        },
    )


def _tier_of(tiers: Sequence[Tier], units: Decimal) -> Tier | None:
    """The tier holding `units`; None below the first one (no units with tiers from 1, or negative units)."""
    ordered = sorted(tiers, key=lambda tier: tier.from_value)
    if not ordered or divide_round_up(units, 1) < ordered[0].from_value:
        return None
    return next((tier for tier in ordered if tier.to_value is None or units <= tier.to_value), None)

"""The graduated charge model: every tier prices the units that fall in it."""

from invoicer.rating.arithmetic import ZERO, divide_or_zero, exact_arithmetic
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.properties import GraduatedProperties
from invoicer.rating.charge_models.tiers import tier_detail, units_by_tier
from invoicer.rating.usage import Usage


@exact_arithmetic()
def price_graduated(properties: GraduatedProperties, usage: Usage) -> PricedCharge:
    """Price usage tier by tier, each tier reached adding its flat amount.

    Bounds:  units exactly on `to_value` stay in that tier; without units the first flat amount is due.
    Source:  Lago charge models, graduated.
    """
    amount = ZERO
    details = []
    for tier, units in units_by_tier(properties.tiers, usage.units):
        per_unit_total = units * tier.per_unit_amount
        amount += per_unit_total + tier.flat_amount
        details.append(tier_detail(tier, units, per_unit_total, tier.flat_amount))
    return PricedCharge(
        amount=amount,
        unit_amount=divide_or_zero(amount, usage.units),
        amount_details={"graduated_ranges": details},
    )

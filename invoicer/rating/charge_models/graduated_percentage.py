"""The graduated percentage charge model: every tier charges a percentage of the units in it."""

from invoicer.rating.arithmetic import PERCENT, ZERO, divide_or_zero, exact_arithmetic
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.properties import GraduatedPercentageProperties
from invoicer.rating.charge_models.tiers import percentage_tier_detail, units_by_tier
from invoicer.rating.usage import Usage


@exact_arithmetic()
def price_graduated_percentage(properties: GraduatedPercentageProperties, usage: Usage) -> PricedCharge:
    """Charge a percentage of the units tier by tier, each tier reached adding its flat amount.

    Bounds:  as for graduated tiers.
    Source:  Lago charge models, graduated percentage.
    """
    amount = ZERO
    details = []
    for tier, units in units_by_tier(properties.tiers, usage.units):
        amount += units * tier.rate / PERCENT + tier.flat_amount
        details.append(percentage_tier_detail(tier, units))
    return PricedCharge(
        amount=amount,
        unit_amount=divide_or_zero(amount, usage.units),
        amount_details={"graduated_percentage_ranges": details},
    )

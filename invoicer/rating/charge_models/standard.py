"""The standard charge model: one price for every unit."""

from invoicer.rating.arithmetic import divide_or_zero, exact_arithmetic
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.properties import StandardProperties
from invoicer.rating.usage import Usage


@exact_arithmetic()
def price_standard(properties: StandardProperties, usage: Usage) -> PricedCharge:
    """Price every unit alike; the unit amount is spread over the units before proration.

    Rounds:  nothing but the unit amount.
    Source:  Lago charge models, standard.
    """
    amount = usage.units * properties.amount
    return PricedCharge(amount=amount, unit_amount=divide_or_zero(amount, usage.full_units))

"""The dynamic charge model: the events carry their amounts."""

from invoicer.rating.arithmetic import ZERO, divide_or_zero, exact_arithmetic
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.properties import DynamicProperties
from invoicer.rating.usage import Usage


@exact_arithmetic()
def price_dynamic(properties: DynamicProperties, usage: Usage, *, exponent: int) -> PricedCharge:
    """Charge what the events ask for; 0 without units.

    Units:   `exponent` is the currency's number of decimals, which the events' minor units are turned by.
    Source:  Lago charge models, dynamic.
    """
    amount = ZERO if usage.units == 0 else usage.precise_total_amount_cents.scaleb(-exponent)
    return PricedCharge(amount=amount, unit_amount=divide_or_zero(amount, usage.units))

"""The package charge model: a price per started package."""

from invoicer.rating.arithmetic import ZERO, divide_or_zero, divide_round_up, exact_arithmetic
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.properties import PackageProperties
from invoicer.rating.usage import Usage
from schemas.money import decimal_text


@exact_arithmetic()
def price_package(properties: PackageProperties, usage: Usage) -> PricedCharge:
    """Price every started package of the units beyond the free ones; the unit amount is per paid unit.

    Source:  Lago charge models, package.
    """
    paid_units = max(ZERO, usage.units - properties.free_units)
    packages = divide_round_up(paid_units, properties.package_size)
    amount = packages * properties.amount
    return PricedCharge(
        amount=amount,
        unit_amount=divide_or_zero(amount, paid_units),
        amount_details={
            "free_units": decimal_text(ZERO + properties.free_units),
            "paid_units": decimal_text(paid_units),
            "per_package_size": properties.package_size,
            "per_package_unit_amount": decimal_text(properties.amount),
        },
    )

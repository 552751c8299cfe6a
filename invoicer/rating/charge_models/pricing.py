"""Prices a usage with the charge model its properties belong to."""

from typing import assert_never

from invoicer.rating.charge_models.charge_model import PRORATED_MODELS, ChargeModel, PricedCharge
from invoicer.rating.charge_models.dynamic import price_dynamic
from invoicer.rating.charge_models.graduated import price_graduated
from invoicer.rating.charge_models.graduated_percentage import price_graduated_percentage
from invoicer.rating.charge_models.graduated_prorated import price_graduated_prorated
from invoicer.rating.charge_models.package import price_package
from invoicer.rating.charge_models.percentage import price_percentage
from invoicer.rating.charge_models.properties import (
    ChargeProperties,
    DynamicProperties,
    GraduatedPercentageProperties,
    GraduatedProperties,
    PackageProperties,
    PercentageProperties,
    StandardProperties,
    VolumeProperties,
)
from invoicer.rating.charge_models.standard import price_standard
from invoicer.rating.charge_models.volume import price_volume
from invoicer.rating.usage import Usage


def price(  # noqa: PLR0911 - one return per charge model
    model: ChargeModel,
    properties: ChargeProperties,
    usage: Usage,
    *,
    prorated: bool = False,
    exponent: int | None = None,
) -> PricedCharge:
    """Price a usage: what one charge costs for one bucket of one period.

    Units:   the amount is in major currency units. `exponent`, the currency's number of decimals, is needed
             by the dynamic model only: its events carry minor units.
    Raises:  ValueError for properties of another model, for a model that knows no proration, and for a
             dynamic charge without `exponent`.
    Source:  Lago charge models.
    """
    if model is not properties.model:
        raise ValueError(f"{type(properties).__name__} are no properties of a {model} charge")
    if prorated and model not in PRORATED_MODELS:
        raise ValueError(f"a {model} charge cannot be prorated")
    match properties:
        case StandardProperties():
            return price_standard(properties, usage)
        case PackageProperties():
            return price_package(properties, usage)
        case GraduatedProperties():
            return (price_graduated_prorated if prorated else price_graduated)(properties, usage)
        case VolumeProperties():
            return price_volume(properties, usage)
        case GraduatedPercentageProperties():
            return price_graduated_percentage(properties, usage)
        case PercentageProperties():
            return price_percentage(properties, usage)
        case DynamicProperties():
            if exponent is None:
                raise ValueError("a dynamic charge is priced in a currency: exponent is missing")
            return price_dynamic(properties, usage, exponent=exponent)
        case unreachable:
            assert_never(unreachable)

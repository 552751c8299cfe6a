"""One file a charge model; `price` picks the one its properties belong to."""

from invoicer.rating.charge_models.charge_model import ChargeModel, PricedCharge
from invoicer.rating.charge_models.pricing import price
from invoicer.rating.charge_models.properties import (
    ChargeProperties,
    InvalidProperties,
    normalize_properties,
    parse_properties,
)

__all__ = [
    "ChargeModel",
    "ChargeProperties",
    "InvalidProperties",
    "PricedCharge",
    "normalize_properties",
    "parse_properties",
    "price",
]

"""The charge models by name, and what pricing a usage with one of them gives."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class ChargeModel(StrEnum):
    """How a charge turns units into an amount."""

    STANDARD = "standard"
    GRADUATED = "graduated"
    PACKAGE = "package"
    PERCENTAGE = "percentage"
    VOLUME = "volume"
    GRADUATED_PERCENTAGE = "graduated_percentage"
    DYNAMIC = "dynamic"


PRORATED_MODELS = frozenset({ChargeModel.STANDARD, ChargeModel.GRADUATED, ChargeModel.VOLUME})
"""Those that price a part of a period. Source: Lago charge models, proration."""


@dataclass(frozen=True)
class PricedCharge:
    """What a charge model asks for a usage.

    Units:   `amount` and `unit_amount` in major currency units. The amount is exact (a prorated graduated one
             at 30 decimals); `unit_amount` is the average price of a unit at 15 decimals, half up.
             `amount_details` explains the amount as the API shows it: decimals as text, counts as integers.
    """

    amount: Decimal
    unit_amount: Decimal
    amount_details: dict[str, object] = field(default_factory=dict)

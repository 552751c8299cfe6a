"""The tiers of graduated, volume and graduated percentage charges, and the amount details of a tier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from invoicer.rating.arithmetic import PERCENT, ZERO
from schemas.money import decimal_text


class Range(Protocol):
    """The bounds of a tier; `to_value` belongs to it, None leaves it open."""

    @property
    def from_value(self) -> Decimal: ...

    @property
    def to_value(self) -> Decimal | None: ...


@dataclass(frozen=True)
class Tier:
    """A tier with a price per unit and a flat amount, both in major currency units."""

    from_value: Decimal
    to_value: Decimal | None
    per_unit_amount: Decimal
    flat_amount: Decimal


@dataclass(frozen=True)
class PercentageTier:
    """A tier with a rate in percent of the units and a flat amount in major currency units."""

    from_value: Decimal
    to_value: Decimal | None
    rate: Decimal
    flat_amount: Decimal


AnyRange = TypeVar("AnyRange", bound=Range)


def visited_tiers(tiers: Sequence[AnyRange], units: Decimal) -> Iterator[AnyRange]:
    """The tiers from the first to the one that holds `units`; the first is visited even without units."""
    for tier, _ in units_by_tier(tiers, units):
        yield tier


def units_by_tier(tiers: Sequence[AnyRange], units: Decimal) -> Iterator[tuple[AnyRange, Decimal]]:
    """The tiers from the first to the one that holds `units`, each with the units that fall in it.

    A tier begins where the one before it ends, however its `from_value` is written (0–10, 11–20 or 0–10,
    10–20): the units of all tiers add up to `units`. The first is visited even without units.
    """
    reached = ZERO
    for tier in tiers:
        end = units if tier.to_value is None else min(units, tier.to_value)
        yield tier, end - reached
        if tier.to_value is None or units <= tier.to_value:
            return
        reached = end


def bound_detail(bound: Decimal | None) -> int | str | None:
    """A tier bound as the API shows it: an integer where it is one."""
    if bound is None:
        return None
    return int(bound) if bound == int(bound) else decimal_text(bound)


def tier_detail(tier: Tier, units: Decimal, per_unit_total: Decimal, flat_amount: Decimal) -> dict[str, object]:
    """What one tier of a graduated charge adds to the amount."""
    return {
        "from_value": bound_detail(tier.from_value),
        "to_value": bound_detail(tier.to_value),
        "flat_unit_amount": decimal_text(flat_amount),
        "per_unit_amount": decimal_text(tier.per_unit_amount),
        "units": decimal_text(units),
        "per_unit_total_amount": decimal_text(per_unit_total),
        "total_with_flat_amount": decimal_text(per_unit_total + flat_amount),
    }


def percentage_tier_detail(tier: PercentageTier, units: Decimal) -> dict[str, object]:
    """What one tier of a graduated percentage charge adds to the amount."""
    per_unit_total = units * tier.rate / PERCENT
    return {
        "from_value": bound_detail(tier.from_value),
        "to_value": bound_detail(tier.to_value),
        "flat_unit_amount": decimal_text(tier.flat_amount),
        "rate": decimal_text(tier.rate),
        "units": decimal_text(units),
        "per_unit_total_amount": decimal_text(per_unit_total),
        "total_with_flat_amount": decimal_text(per_unit_total + tier.flat_amount),
    }

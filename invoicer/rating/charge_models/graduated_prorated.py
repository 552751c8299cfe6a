"""The graduated charge model on prorated usage: full units pick the tiers, prorated units are priced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from invoicer.rating.arithmetic import ZERO, divide, divide_or_zero, exact_arithmetic, settle
from invoicer.rating.charge_models.charge_model import PricedCharge
from invoicer.rating.charge_models.properties import GraduatedProperties
from invoicer.rating.charge_models.tiers import Tier, tier_detail, visited_tiers
from invoicer.rating.usage import Usage


@exact_arithmetic()
def price_graduated_prorated(properties: GraduatedProperties, usage: Usage) -> PricedCharge:
    """Walk the events through the tiers by their full units while pricing their prorated units.

    Bounds:  an event that straddles tiers is split in proportion to its full units; the flat amounts are
             those up to the tier the highest full total reached; a negative price of the units counts 0;
             a negative final total gives 0; with no units at all only the first flat amount is due.
    Rounds:  to 30 decimals, once, where a split repeats.
    Raises:  ValueError for units without the events they come from.
    Source:  Lago charge models, prorated graduated.
    """
    if usage.units != 0 and not usage.prorated_events:
        raise ValueError("prorated graduated usage needs its events")
    walk = _walk(usage.prorated_events if usage.units != 0 else ())
    if walk.final < 0:
        return PricedCharge(amount=ZERO, unit_amount=ZERO, amount_details={"graduated_ranges": []})
    reached = list(visited_tiers(properties.tiers, walk.highest))
    units_by_tier = _prorated_units_by_tier(reached, walk.steps)
    units_price = sum(
        (units * tier.per_unit_amount for units, tier in zip(units_by_tier, reached, strict=True)), ZERO
    )
    amount = settle(max(ZERO, units_price) + sum((tier.flat_amount for tier in reached), ZERO))
    return PricedCharge(
        amount=amount,
        unit_amount=divide_or_zero(amount, usage.units),
        amount_details={"graduated_ranges": _details(reached, units_by_tier)},
    )


@dataclass(frozen=True)
class _Step:
    """One event moving the full total from `before` to `after`."""

    before: Decimal
    after: Decimal
    prorated: Decimal


@dataclass(frozen=True)
class _Walk:
    steps: tuple[_Step, ...]
    final: Decimal
    highest: Decimal


def _walk(prorated_events: Sequence[tuple[Decimal, Decimal]]) -> _Walk:
    steps: list[_Step] = []
    total = highest = ZERO
    for full, prorated in prorated_events:
        steps.append(_Step(before=total, after=total + full, prorated=prorated))
        total += full
        highest = max(highest, total)
    return _Walk(tuple(steps), final=total, highest=highest)


def _prorated_units_by_tier(tiers: Sequence[Tier], steps: Sequence[_Step]) -> list[Decimal]:
    units_by_tier = [ZERO] * len(tiers)
    for step in steps:
        for position, units in _split(step, tiers):
            units_by_tier[position] += units
    return units_by_tier


def _split(step: _Step, tiers: Sequence[Tier]) -> Iterator[tuple[int, Decimal]]:
    """The prorated units of one step by tier position."""
    lowest, highest = sorted((step.before, step.after))
    floor: Decimal | None = None  # the first tier also takes what lies below zero
    for position, tier in enumerate(tiers):
        bottom = lowest if floor is None else max(lowest, floor)
        top = highest if tier.to_value is None else min(highest, tier.to_value)
        if top > bottom:
            yield position, divide(step.prorated * (top - bottom), highest - lowest)
        floor = tier.to_value


def _details(tiers: Sequence[Tier], units_by_tier: Sequence[Decimal]) -> list[dict[str, object]]:
    return [
        tier_detail(tier, settle(units), settle(units * tier.per_unit_amount), tier.flat_amount)
        for tier, units in zip(tiers, units_by_tier, strict=True)
    ]

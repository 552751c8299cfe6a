"""Every recorded figure of the charge models."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from invoicer.rating.arithmetic import round_half_up
from invoicer.rating.charge_models import ChargeModel, PricedCharge, parse_properties, price
from invoicer.rating.usage import Usage
from tests.invoicer.rating.figures import Vector, load_vectors


def decimals(values: list[Any]) -> tuple[Decimal, ...]:
    return tuple(Decimal(value) for value in values)


def usage_of(given: Vector) -> Usage:
    units = Decimal(given["units"])
    full_units = given.get("full_units_number") or sum(decimals(given.get("event_full_units", []))) or units
    return Usage(
        units=units,
        events_count=given.get("events_count", 0),
        total_aggregated_units=units,
        full_units=Decimal(full_units),
        running_totals=decimals(given.get("running_total", [])),
        event_values=decimals(given.get("event_values", [])),
        prorated_events=tuple(
            zip(
                decimals(given.get("event_full_units", [])),
                decimals(given.get("event_prorated_units", [])),
                strict=True,
            )
        ),
    )


def figures_of(priced: PricedCharge, expected: Vector) -> dict[str, Any]:
    """What was priced, in the terms the expectation uses."""
    details: dict[str, Any] = priced.amount_details
    places = expected.get("unit_amount_rounded_to", 15)
    known: dict[str, Callable[[], object]] = {
        "amount": lambda: priced.amount,
        "amount_2dp": lambda: round_half_up(priced.amount, 2),
        "unit_amount": lambda: round_half_up(priced.unit_amount, places),
        "unit_amount_2dp": lambda: round_half_up(priced.unit_amount, 2),
        "tier_units": lambda: [Decimal(tier["units"]) for tier in details["graduated_ranges"]],
        "percentage_part": lambda: Decimal(details["per_unit_total_amount"]),
        "fixed_part": lambda: Decimal(details["fixed_fee_total_amount"]),
    }
    return {
        name: known[name]() if name in known else details[name]
        for name in expected
        if name != "unit_amount_rounded_to"
    }


def figures_expected(expected: Vector) -> dict[str, Any]:
    texts = {"paid_units", "per_unit_total_amount", "flat_unit_amount"}

    def read(name: str, figure: Any) -> Any:
        if isinstance(figure, list):
            return list(decimals(figure))
        if isinstance(figure, str):
            return f"{Decimal(figure):.1f}" if name in texts else Decimal(figure)
        return figure

    return {name: read(name, figure) for name, figure in expected.items() if name != "unit_amount_rounded_to"}


@pytest.mark.parametrize("vector", load_vectors("charge_models"))
def test_price_recorded_usage_gives_recorded_amount(vector: Vector) -> None:
    """A recorded usage is priced at the recorded amount, unit amount and details."""
    given, expected = vector["input"], vector["expected"]
    model = ChargeModel(given["model"])
    properties = parse_properties(model, given["properties"])

    priced = price(model, properties, usage_of(given), prorated=given.get("prorated", False))

    assert figures_of(priced, expected) == figures_expected(expected)

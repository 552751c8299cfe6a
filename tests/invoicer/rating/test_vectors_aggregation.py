"""Every recorded figure of the aggregations."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from invoicer.rating.aggregation import (
    RoundingFunction,
    count_units,
    latest_units,
    max_units,
    round_units,
    running_totals,
    sum_units,
    unique_count_units,
    weighted_sum_units,
)
from invoicer.rating.arithmetic import round_half_up
from invoicer.rating.charge_models import ChargeModel, price
from invoicer.rating.charge_models.properties import StandardProperties
from invoicer.rating.fee import build_fee_amounts
from invoicer.rating.proration import prorate_units, prorated_sum_units, prorated_unique_count_units
from invoicer.rating.usage import Usage
from tests.invoicer.rating.figures import (
    Vector,
    events_a_minute_apart,
    events_of,
    load_vectors,
    make_event,
    period_of,
)

FOLDS = {"sum": sum_units, "max": max_units, "latest": latest_units, "count": count_units}


def cents_at(units: Decimal, unit_price: str) -> int:
    usage = Usage.of(units)
    priced = price(ChargeModel.STANDARD, StandardProperties(Decimal(unit_price)), usage)
    return build_fee_amounts(priced, usage, exponent=2).amount_cents


@pytest.mark.parametrize("vector", load_vectors("folds"))
def test_fold_recorded_values_gives_recorded_units(vector: Vector) -> None:
    """Sum, max, latest and count give the recorded units, counts, running totals and amounts."""
    given, expected = vector["input"], vector["expected"]
    fold = FOLDS[vector["aggregation"]]
    events = events_a_minute_apart(given["values"])
    prefixes = [events[: position + 1] for position in range(len(events))]
    figures: dict[str, Callable[[], object]] = {
        "units": lambda: fold(events),
        "count": lambda: len(events),
        "amount_cents": lambda: cents_at(fold(events), given["unit_price"]),
        "units_after_each": lambda: [fold(prefix) for prefix in prefixes],
        "amount_cents_after_each": lambda: [cents_at(fold(each), given["unit_price"]) for each in prefixes],
        "running_total": lambda: list(
            running_totals(
                (event.value for event in events),
                free_units_per_events=None,
                free_units_per_total_aggregation=Decimal(given["free_units_per_total_aggregation"]),
            )
        ),
    }

    for name, figure in expected.items():
        as_decimals = [Decimal(each) for each in figure] if isinstance(figure, list) else Decimal(figure)
        assert figures[name]() == as_decimals, name


@pytest.mark.parametrize("vector", load_vectors("weighted_sum"))
def test_weighted_sum_recorded_changes_gives_recorded_units(vector: Vector) -> None:
    """Recorded changes of level weigh the recorded units."""
    given, expected = vector["input"], vector["expected"]
    events = events_of(given["events"])

    weighted = weighted_sum_units(events, period_of(given), Decimal(given["initial_value"]))

    assert round_half_up(weighted.units, 5) == Decimal(expected["units_5dp"])
    assert len(events) == expected.get("count", len(events))
    if "total_aggregated_units" in expected:
        assert weighted.total_aggregated_units == Decimal(expected["total_aggregated_units"])
    if "units_clickhouse" in expected:
        assert weighted.units == Decimal(expected["units_clickhouse"])
    if "amount_cents" in expected:
        assert cents_at(weighted.units, given["unit_price"]) == expected["amount_cents"]


@pytest.mark.parametrize("vector", load_vectors("unique_count"))
def test_unique_count_recorded_operations_gives_recorded_units(vector: Vector) -> None:
    """Replaying recorded operations gives the recorded units after each of them."""
    events = [
        make_event(f"2024-02-{day:02d}T00:00:00Z", operation=operation, identity=identity)
        for day, (operation, identity) in enumerate(vector["input"]["operations"], start=1)
    ]

    after_each = [unique_count_units(events[: count + 1]) for count in range(len(events))]

    assert after_each == [Decimal(units) for units in vector["expected"]["units_after_each"]]


@pytest.mark.parametrize("vector", load_vectors("unique_count_prorated"))
def test_prorated_unique_count_recorded_days_gives_recorded_units(vector: Vector) -> None:
    """An identity is charged for the recorded share of the period."""
    prorated = prorated_unique_count_units(events_of(vector["input"]["events"]), period_of(vector["input"]))

    assert prorated.units == Decimal(vector["expected"]["units"])


@pytest.mark.parametrize("vector", load_vectors("pay_in_advance_prorated"))
def test_prorate_units_recorded_days_left_gives_recorded_units(vector: Vector) -> None:
    """A unit paid in advance is charged for the days left."""
    given = vector["input"]

    units = prorate_units(Decimal(given["units"]), days=given["days"], duration_days=given["duration_days"])

    assert units == Decimal(vector["expected"]["units"])


@pytest.mark.parametrize("vector", load_vectors("sum_prorated"))
def test_prorated_sum_recorded_events_gives_recorded_units(vector: Vector) -> None:
    """Carried units and recorded events give the recorded prorated and full units."""
    given, expected = vector["input"], vector["expected"]
    function = RoundingFunction(given["rounding_function"]) if "rounding_function" in given else None

    prorated = prorated_sum_units(
        events_of(given["events"]),
        period_of(given),
        carried_units=Decimal(given["carried_units"]),
        carried_days=given["carried_days"],
    )

    precision = given.get("rounding_precision")
    assert round_units(prorated.units, function, precision) == Decimal(expected["units"])
    if "current_usage_units" in expected:
        full_units = round_units(prorated.full_units, function, precision)
        assert full_units == Decimal(expected["current_usage_units"])


@pytest.mark.parametrize("vector", load_vectors("rounding"))
def test_round_units_recorded_function_gives_recorded_units(vector: Vector) -> None:
    """Units are rounded as recorded, also to hundreds."""
    given = vector["input"]

    rounded = round_units(
        Decimal(given["units"]), RoundingFunction(given["rounding_function"]), given["rounding_precision"]
    )

    assert rounded == Decimal(vector["expected"]["units"])

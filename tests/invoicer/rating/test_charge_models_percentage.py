"""Percentage charges: free units and events, fixed amounts, bounds per transaction."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.aggregation import counted_running_totals, running_totals
from invoicer.rating.charge_models.percentage import price_percentage
from invoicer.rating.charge_models.properties import PercentageProperties
from invoicer.rating.usage import Usage


def make_usage(properties: PercentageProperties, *values: str) -> Usage:
    """Usage of a sum of events with these values."""
    event_values = tuple(Decimal(value) for value in values)
    usage = Usage.of(sum(event_values, Decimal(0)), len(event_values))
    totals = running_totals(
        event_values,
        free_units_per_events=properties.free_units_per_events,
        free_units_per_total_aggregation=properties.free_units_per_total_aggregation,
    )
    return replace(usage, event_values=event_values, running_totals=totals)


def make_properties(
    rate: str = "1", *, free_units_per_events: int | None = None, **amounts: str
) -> PercentageProperties:
    """One percent unless told otherwise; amounts as text."""
    read: dict[str, Any] = {name: Decimal(amount) for name, amount in amounts.items()}
    return PercentageProperties(rate=Decimal(rate), free_units_per_events=free_units_per_events, **read)


@pytest.mark.parametrize(
    ("values", "changes", "amount"),
    [
        ([], {"fixed_amount": "2"}, "0"),
        (["0"], {"fixed_amount": "2"}, "0"),
        (["100"], {"fixed_amount": "2"}, "3"),
        (["100", "100"], {"fixed_amount": "2", "free_units_per_events": 1}, "3"),
        (["100", "100"], {"fixed_amount": "2", "free_units_per_events": 2}, "0"),
        (["100", "100"], {"fixed_amount": "2", "free_units_per_total_aggregation": "99.99"}, "5.0001"),
        (["100", "100"], {"fixed_amount": "2", "free_units_per_total_aggregation": "100"}, "5"),
        (["100", "100"], {"fixed_amount": "2", "free_units_per_total_aggregation": "100.01"}, "2.9999"),
        (
            ["100", "100"],
            {"fixed_amount": "2", "free_units_per_events": 1, "free_units_per_total_aggregation": "150"},
            "3",
        ),
        (
            ["100", "100"],
            {"fixed_amount": "2", "free_units_per_events": 2, "free_units_per_total_aggregation": "150"},
            "2.5",
        ),
        (["1000000000000000000"], {}, "10000000000000000"),
        (["-100"], {"fixed_amount": "2"}, "2"),
    ],
)
def test_price_percentage_table_applies_what_is_free_first(
    values: list[str], changes: dict[str, Any], amount: str
) -> None:
    """One percent plus a fixed amount per event, less what the first reached rule gives free."""
    properties = make_properties(**changes)

    assert price_percentage(properties, make_usage(properties, *values)).amount == Decimal(amount)


@pytest.mark.parametrize(
    ("free_events", "free_amount", "free_units", "counted_free_events"),
    [
        (3, None, "3.0", 3),
        (20, None, "10.0", 20),
        (None, "4", "4.0", 3),
        (None, "4.5", "4.5", 4),
        (5, "3", "2.0", 2),
        (3, "1", "1.0", 3),
        (3, "50", "3.0", 3),
    ],
)
def test_price_percentage_of_a_count_frees_the_first_events(
    free_events: int | None, free_amount: str | None, free_units: str, counted_free_events: int
) -> None:
    """Ten counted events run through 1 to 10, held as a list or as a number."""
    properties = PercentageProperties(
        rate=Decimal(1),
        free_units_per_events=free_events,
        free_units_per_total_aggregation=Decimal(free_amount) if free_amount else None,
    )
    totals = counted_running_totals(
        Decimal(10),
        free_units_per_events=free_events,
        free_units_per_total_aggregation=properties.free_units_per_total_aggregation,
    )
    usage = replace(Usage.of(Decimal(10), 10), running_totals=totals)

    details = price_percentage(properties, usage).amount_details
    listed = price_percentage(properties, replace(usage, running_totals=tuple(totals))).amount_details

    assert (details["free_units"], details["free_events"]) == (free_units, counted_free_events)
    assert listed == details


def test_price_percentage_details_explain_the_amount() -> None:
    """The details name free and paid units and events, and both parts of the amount."""
    properties = make_properties("1.3", fixed_amount="2", free_units_per_total_aggregation="250")

    priced = price_percentage(properties, make_usage(properties, "50", "100", "250", "400"))

    assert priced.amount_details == {
        "units": "800.0",
        "free_units": "250.0",
        "free_events": 2,
        "paid_units": "550.0",
        "rate": "1.3",
        "per_unit_total_amount": "7.15",
        "paid_events": 2,
        "fixed_fee_unit_amount": "2.0",
        "fixed_fee_total_amount": "4.0",
        "min_max_adjustment_total_amount": "0.0",
    }


@pytest.mark.parametrize(
    ("values", "changes", "amount"),
    [
        ([], {}, "0"),
        (["0"], {}, "2"),
        (["100", "300", "1000"], {}, "10"),
        (["200", "500"], {}, "7"),
        (["100", "300", "1000"], {"free_units_per_events": 1}, "8"),
        (["100", "300"], {"free_units_per_total_aggregation": "100"}, "5"),
        (["100", "300"], {"free_units_per_total_aggregation": "100.01"}, "2.9999"),
        (["100", "300", "50"], {"free_units_per_events": 3, "free_units_per_total_aggregation": "150"}, "4.5"),
        (["100", "300"], {"free_units_per_events": 1, "free_units_per_total_aggregation": "1000"}, "3"),
    ],
)
def test_price_percentage_per_transaction_clamps_each_event(
    values: list[str], changes: dict[str, Any], amount: str
) -> None:
    """One percent of each event, at least 2 and at most 5, after what is free."""
    properties = make_properties(per_transaction_min_amount="2", per_transaction_max_amount="5", **changes)

    assert price_percentage(properties, make_usage(properties, *values)).amount == Decimal(amount)


def test_price_percentage_per_transaction_details_show_the_adjustment() -> None:
    """What minimum and maximum changed is shown apart from rate and fixed amount."""
    properties = make_properties(
        fixed_amount="0.5", per_transaction_max_amount="5", free_units_per_total_aggregation="150"
    )

    priced = price_percentage(properties, make_usage(properties, "100", "350", "1000"))

    assert priced.amount == Decimal("8.5")
    assert priced.amount_details == {
        "units": "1450.0",
        "free_units": "150.0",
        "free_events": 1,
        "paid_units": "1300.0",
        "rate": "1.0",
        "per_unit_total_amount": "13.0",
        "paid_events": 2,
        "fixed_fee_unit_amount": "0.5",
        "fixed_fee_total_amount": "1.0",
        "min_max_adjustment_total_amount": "-5.5",
    }


positive_values = st.lists(st.decimals("0.01", 10**6, places=2), max_size=6)


@given(
    positive_values,
    st.one_of(st.none(), st.integers(1, 5)),
    st.one_of(st.none(), st.decimals("0.01", 10**6, places=2)),
)
def test_price_percentage_bounds_that_never_bind_change_nothing(
    values: list[Decimal], free_events: int | None, free_amount: Decimal | None
) -> None:
    """Priced apart without a fixed amount, events cost what they cost together."""
    together = PercentageProperties(
        Decimal("2.5"), free_units_per_events=free_events, free_units_per_total_aggregation=free_amount
    )
    apart = replace(together, per_transaction_min_amount=Decimal(0), per_transaction_max_amount=Decimal(10**9))
    usage = make_usage(together, *(str(value) for value in values))

    assert price_percentage(apart, usage).amount == price_percentage(together, usage).amount


@given(positive_values, st.randoms(use_true_random=False))
def test_price_percentage_order_without_free_units_changes_nothing(values, random) -> None:  # type: ignore[no-untyped-def]
    """Where nothing is free the order of events does not matter, bounds or not."""
    properties = make_properties(
        fixed_amount="0.1", per_transaction_min_amount="1", per_transaction_max_amount="9"
    )
    shuffled = random.sample(values, len(values))

    amounts = {
        price_percentage(properties, make_usage(properties, *(str(value) for value in each))).amount
        for each in (values, shuffled)
    }

    assert len(amounts) == 1

"""Graduated, volume and graduated percentage charges."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.arithmetic import divide, exact_arithmetic
from invoicer.rating.charge_models.graduated import price_graduated
from invoicer.rating.charge_models.graduated_percentage import price_graduated_percentage
from invoicer.rating.charge_models.graduated_prorated import price_graduated_prorated
from invoicer.rating.charge_models.properties import (
    GraduatedPercentageProperties,
    GraduatedProperties,
    VolumeProperties,
)
from invoicer.rating.charge_models.tiers import PercentageTier, Tier, units_by_tier
from invoicer.rating.charge_models.volume import price_volume
from invoicer.rating.usage import Usage

HUGE = 10**18
units_strategy = st.decimals(0, HUGE, places=6)
prices = st.decimals(0, 10**6, places=6)


def make_tiers(*bounds: tuple[str, str | None, str, str]) -> tuple[Tier, ...]:
    return tuple(
        Tier(Decimal(low), None if high is None else Decimal(high), Decimal(per_unit), Decimal(flat))
        for low, high, per_unit, flat in bounds
    )


STEPPED = make_tiers(("0", "10", "10", "2"), ("11", "20", "5", "3"), ("21", None, "1", "4"))
TOUCHING = make_tiers(("0", "10", "10", "2"), ("10", "20", "5", "3"), ("20", None, "1", "4"))
GRADUATED_TABLE = [
    ("0", "2"),
    ("0.5", "7"),
    ("1", "12"),
    ("9", "92"),
    ("10", "102"),
    ("10.5", "107.5"),
    ("11", "110"),
    ("20", "155"),
    ("20.000001", "159.000001"),
    ("21", "160"),
    (str(HUGE), str(HUGE - 20 + 159)),
]


@pytest.mark.parametrize(("units", "amount"), GRADUATED_TABLE)
@pytest.mark.parametrize("tiers", [STEPPED, TOUCHING], ids=["0-10 11-20", "0-10 10-20"])
def test_price_graduated_table_prices_each_tier(tiers: tuple[Tier, ...], units: str, amount: str) -> None:
    """On a bound the lower tier holds, above it the next flat amount is due; both notations agree."""
    assert price_graduated(GraduatedProperties(tiers), Usage.of(Decimal(units))).amount == Decimal(amount)


def test_price_graduated_first_tier_from_one_counts_from_one() -> None:
    """Tiers 1–10, 11–∞ hold the same units as 0–10, 11–∞."""
    tiers = make_tiers(("1", "10", "10", "2"), ("11", None, "5", "3"))

    amounts = [
        price_graduated(GraduatedProperties(tiers), Usage.of(Decimal(units))).amount for units in (0, 1, 12)
    ]

    assert amounts == [2, 12, 115]


def test_price_graduated_single_tier_from_one_prices_every_unit() -> None:
    """A single open tier from 1 has no neighbour it could touch: it counts from one."""
    properties = GraduatedProperties(make_tiers(("1", None, "10", "2")))

    assert price_graduated(properties, Usage.of(Decimal(3))).amount == 32


def test_price_graduated_tiers_from_one_price_every_unit() -> None:
    """Tiers 1–10, 10–∞ bill the first unit too, and give none back without units."""
    tiers = make_tiers(("1", "10", "10", "0"), ("10", None, "5", "0"))

    amounts = [
        price_graduated(GraduatedProperties(tiers), Usage.of(Decimal(units))).amount for units in (0, 1, 12)
    ]

    assert amounts == [0, 10, 110]


@given(st.sampled_from([STEPPED, TOUCHING]), units_strategy)
def test_units_by_tier_of_any_units_add_up_to_them(tiers: tuple[Tier, ...], units: Decimal) -> None:
    """Every unit is in one tier, however the bounds are written."""
    with exact_arithmetic():
        assert sum(part for _, part in units_by_tier(tiers, units)) == units


def test_price_graduated_details_explain_each_tier() -> None:
    """The details are those of the tiers visited, in text."""
    priced = price_graduated(GraduatedProperties(STEPPED), Usage.of(Decimal("12.5")))

    assert priced.amount_details == {
        "graduated_ranges": [
            {
                "from_value": 0,
                "to_value": 10,
                "flat_unit_amount": "2.0",
                "per_unit_amount": "10.0",
                "units": "10.0",
                "per_unit_total_amount": "100.0",
                "total_with_flat_amount": "102.0",
            },
            {
                "from_value": 11,
                "to_value": 20,
                "flat_unit_amount": "3.0",
                "per_unit_amount": "5.0",
                "units": "2.5",
                "per_unit_total_amount": "12.5",
                "total_with_flat_amount": "15.5",
            },
        ]
    }


@st.composite
def stepped_tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    """Tiers 0–a, a+1–b, … with any prices."""
    highs = sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))
    lows = [0, *(high + 1 for high in highs)]
    kept = [(low, high) for low, high in zip(lows, [*highs, None], strict=True) if high is None or high > low]
    if len(kept) != len(lows):
        kept = [(0, None)]
    return tuple(
        Tier(Decimal(low), None if high is None else Decimal(high), draw(prices), draw(prices))
        for low, high in kept
    )


@given(stepped_tiers(), units_strategy, units_strategy)
def test_price_graduated_more_units_never_cost_less(tiers: tuple[Tier, ...], low: Decimal, high: Decimal) -> None:
    """Whatever the tiers, the total does not fall with usage."""
    low, high = sorted((low, high))
    properties = GraduatedProperties(tiers)

    assert price_graduated(properties, Usage.of(low)).amount <= price_graduated(properties, Usage.of(high)).amount


@given(stepped_tiers(), units_strategy)
def test_price_graduated_tiers_hold_every_unit_once(tiers: tuple[Tier, ...], units: Decimal) -> None:
    """At one price and no flat amounts the tiers do not matter."""
    flat = tuple(replace(tier, per_unit_amount=Decimal("0.37"), flat_amount=Decimal(0)) for tier in tiers)

    with exact_arithmetic():
        assert price_graduated(GraduatedProperties(flat), Usage.of(units)).amount == units * Decimal("0.37")


@given(prices, prices, units_strategy)
def test_price_one_open_tier_graduated_equals_volume(per_unit: Decimal, flat: Decimal, units: Decimal) -> None:
    """With a single open tier all tiered models say the same."""
    tiers = (Tier(Decimal(0), None, per_unit, flat),)
    with exact_arithmetic():
        rate_tiers = (PercentageTier(Decimal(0), None, per_unit * 100, flat),)
    usage = replace(Usage.of(units), prorated_events=((units, units),))

    graduated = price_graduated(GraduatedProperties(tiers), usage)
    others = [
        price_volume(VolumeProperties(tiers), usage),
        price_graduated_percentage(GraduatedPercentageProperties(rate_tiers), usage),
        price_graduated_prorated(GraduatedProperties(tiers), usage),
    ]

    assert {graduated.amount} == {priced.amount for priced in others}
    assert {graduated.unit_amount} == {priced.unit_amount for priced in others}


@given(stepped_tiers(), st.lists(st.decimals(0, 10**6, places=4), min_size=1, max_size=6))
def test_price_graduated_prorated_whole_period_equals_graduated(
    tiers: tuple[Tier, ...], values: list[Decimal]
) -> None:
    """Events held for the whole period cost what their sum costs, however they are split."""
    properties, total = GraduatedProperties(tiers), sum(values, Decimal(0))
    usage = replace(Usage.of(total), prorated_events=tuple((value, value) for value in values))

    assert price_graduated_prorated(properties, usage).amount == price_graduated(properties, usage).amount


def test_price_graduated_prorated_no_units_owes_the_first_flat_amount() -> None:
    """An aggregation of zero visits the first tier only."""
    usage = replace(
        Usage.of(Decimal(0)), prorated_events=((Decimal(15), Decimal(15)), (Decimal(-15), Decimal(-15)))
    )

    assert price_graduated_prorated(GraduatedProperties(STEPPED), usage).amount == 2


def test_price_graduated_prorated_highest_tier_reached_stays_due() -> None:
    """Falling back below a tier keeps the flat amount of the tier reached at the highest."""
    events = ((Decimal(15), Decimal(15)), (Decimal(-10), Decimal(-10)))
    usage = replace(Usage.of(Decimal(5)), prorated_events=events)

    assert price_graduated_prorated(GraduatedProperties(STEPPED), usage).amount == 50 + 2 + 3


def test_price_graduated_prorated_negative_price_keeps_the_flat_amounts() -> None:
    """A removal that outweighs the additions costs nothing, the tiers reached stay due."""
    events = ((Decimal(10), Decimal("0.5")), (Decimal(-9), Decimal(-3)))
    usage = replace(Usage.of(Decimal("-2.5")), prorated_events=events, full_units=Decimal(1))

    assert price_graduated_prorated(GraduatedProperties(STEPPED), usage).amount == 2


def test_price_graduated_prorated_thirds_meet_the_half_cent() -> None:
    """Three cut thirds of a unit at 0.015 are exactly 0.015, not a hair below the half cent."""
    third = divide(Decimal(1), 3)
    usage = replace(Usage.of(Decimal("1.00001")), prorated_events=((Decimal(1), third),) * 3)
    tiers = make_tiers(("0", None, "0.015", "0"))

    assert price_graduated_prorated(GraduatedProperties(tiers), usage).amount == Decimal("0.015")


@pytest.mark.parametrize(
    ("units", "amount"),
    [
        ("0", "10"),
        ("0.5", "11"),
        ("99", "208"),
        ("100", "210"),
        ("100.5", "100.5"),
        ("101", "101"),
        ("200", "200"),
        ("201", "150.5"),
        (str(HUGE), str(HUGE // 2 + 50)),
        ("-1", "0"),
    ],
)
def test_price_volume_table_prices_all_units_at_one_tier(units: str, amount: str) -> None:
    """The tier of the total prices everything; a fraction above a bound belongs to the next tier."""
    tiers = make_tiers(("0", "100", "2", "10"), ("101", "200", "1", "0"), ("201", None, "0.5", "50"))

    assert price_volume(VolumeProperties(tiers), Usage.of(Decimal(units))).amount == Decimal(amount)


@pytest.mark.parametrize(
    ("units", "amount"), [("0", "0"), ("0.2", "10.2"), ("10", "20"), ("11", "5.5"), ("12", "6")]
)
def test_price_volume_gap_belongs_to_the_upper_tier(units: str, amount: str) -> None:
    """Units in a gap are billed; below a first tier from 1 there is nothing to bill."""
    tiers = make_tiers(("1", "10", "1", "10"), ("12", None, "0.5", "0"))

    assert price_volume(VolumeProperties(tiers), Usage.of(Decimal(units))).amount == Decimal(amount)


def test_price_volume_details_name_the_tier() -> None:
    """The details are those of the tier that prices."""
    tiers = make_tiers(("0", "100", "2", "10"), ("101", None, "1", "0.5"))

    assert price_volume(VolumeProperties(tiers), Usage.of(Decimal(150))).amount_details == {
        "flat_unit_amount": "0.5",
        "per_unit_amount": "1.0",
        "per_unit_total_amount": "150.0",
    }


PERCENTAGE_TIERS = (
    PercentageTier(Decimal(0), Decimal(10), Decimal(1), Decimal(200)),
    PercentageTier(Decimal(11), Decimal(20), Decimal(2), Decimal(300)),
    PercentageTier(Decimal(21), None, Decimal(3), Decimal(400)),
)


@pytest.mark.parametrize(
    ("units", "amount"),
    [
        ("0", "200"),
        ("0.5", "200.005"),
        ("9", "200.09"),
        ("10", "200.1"),
        ("10.5", "500.11"),
        ("11", "500.12"),
        ("20", "500.3"),
        ("21", "900.33"),
        (str(HUGE), "30000000000000899.70"),
    ],
)
def test_price_graduated_percentage_table_charges_rates_by_tier(units: str, amount: str) -> None:
    """Each tier takes its rate of the units in it plus its flat amount."""
    properties = GraduatedPercentageProperties(PERCENTAGE_TIERS)

    assert price_graduated_percentage(properties, Usage.of(Decimal(units))).amount == Decimal(amount)


@pytest.mark.parametrize(("units", "amount"), [("0.01", "0"), ("10", "0.0999"), ("11", "0.1199")])
def test_price_graduated_percentage_mixed_notations_price_every_unit_once(units: str, amount: str) -> None:
    """Touching and stepped bounds in one charge: 0.01 units free, 9.99 at 1 %, the rest at 2 %."""
    properties = GraduatedPercentageProperties(
        (
            PercentageTier(Decimal(0), Decimal("0.01"), Decimal(0), Decimal(0)),
            PercentageTier(Decimal("0.01"), Decimal(10), Decimal(1), Decimal(0)),
            PercentageTier(Decimal(11), None, Decimal(2), Decimal(0)),
        )
    )

    assert price_graduated_percentage(properties, Usage.of(Decimal(units))).amount == Decimal(amount)


def test_price_graduated_percentage_details_explain_each_tier() -> None:
    """The details name rate, units and totals of the tiers visited."""
    priced = price_graduated_percentage(GraduatedPercentageProperties(PERCENTAGE_TIERS), Usage.of(Decimal(5)))

    assert priced.amount_details == {
        "graduated_percentage_ranges": [
            {
                "from_value": 0,
                "to_value": 10,
                "flat_unit_amount": "200.0",
                "rate": "1.0",
                "units": "5.0",
                "per_unit_total_amount": "0.05",
                "total_with_flat_amount": "200.05",
            }
        ]
    }

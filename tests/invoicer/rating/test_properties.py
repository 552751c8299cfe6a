"""Charge properties as parsed and as normalized."""

from decimal import Decimal
from typing import Any

import pytest

from invoicer.rating.charge_models import ChargeModel, InvalidProperties, normalize_properties, parse_properties
from invoicer.rating.charge_models.properties import (
    GraduatedPercentageProperties,
    GraduatedProperties,
    PackageProperties,
    PercentageProperties,
    StandardProperties,
    default_properties,
)
from invoicer.rating.charge_models.tiers import PercentageTier, Tier


def make_range(from_value: Any, to_value: Any, **changes: Any) -> dict[str, Any]:
    return {
        "from_value": from_value,
        "to_value": to_value,
        "per_unit_amount": "1",
        "rate": "1",
        "flat_amount": "0",
        **changes,
    }


def codes_of(model: ChargeModel, raw: dict[str, Any]) -> list[str]:
    """The codes the properties are refused with."""
    with pytest.raises(InvalidProperties) as refusal:
        parse_properties(model, raw)
    return refusal.value.codes


@pytest.mark.parametrize(
    "amount",
    [
        None,
        "",
        " 1",
        "1 ",
        "+1",
        "-1",
        ".5",
        "1e5",
        "NaN",
        "Infinity",
        "1,5",
        "1_000",
        "٣",
        "1\n",
        1,
        1.5,
        True,
        Decimal(1),
        "1234567890123456",
        "0.1234567890123456789",
    ],
)
def test_parse_standard_odd_amount_is_refused(amount: object) -> None:
    """Only plain digits in text, at most 15 before and 18 after the point, are an amount."""
    assert codes_of(ChargeModel.STANDARD, {"amount": amount}) == ["invalid_amount"]


@pytest.mark.parametrize("amount", ["0", "5.12345", "999999999999999.999999999999999999", "007", "1."])
def test_parse_standard_plain_amount_is_exact(amount: str) -> None:
    """An amount keeps every digit."""
    assert parse_properties(ChargeModel.STANDARD, {"amount": amount}) == StandardProperties(Decimal(amount))


def test_parse_standard_missing_amount_is_refused() -> None:
    """A price is not guessed."""
    assert codes_of(ChargeModel.STANDARD, {}) == ["invalid_amount"]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"amount": "x"}, ["invalid_amount"]),
        ({"package_size": 0}, ["invalid_package_size"]),
        ({"package_size": "10"}, ["invalid_package_size"]),
        ({"package_size": True}, ["invalid_package_size"]),
        ({"package_size": 10**15}, ["invalid_package_size"]),
        ({"free_units": -1}, ["invalid_free_units"]),
        ({"free_units": None}, ["invalid_free_units"]),
        (
            {"amount": 1, "package_size": 1.5, "free_units": "0"},
            ["invalid_amount", "invalid_package_size", "invalid_free_units"],
        ),
    ],
)
def test_parse_package_faults_are_all_reported(changes: dict[str, Any], codes: list[str]) -> None:
    """Each faulty property of a package has its code."""
    assert codes_of(ChargeModel.PACKAGE, {"amount": "1", "package_size": 1, "free_units": 0} | changes) == codes


def test_parse_package_gives_integers() -> None:
    """Sizes and free units are whole numbers."""
    raw = {"amount": "100", "package_size": 10, "free_units": 0, "rate": "ignored"}

    assert parse_properties(ChargeModel.PACKAGE, raw) == PackageProperties(Decimal(100), 10, 0)


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"rate": None}, ["invalid_rate"]),
        ({"rate": 2.5}, ["invalid_rate"]),
        ({"fixed_amount": "-1"}, ["invalid_fixed_amount"]),
        ({"free_units_per_events": 0}, ["invalid_free_units_per_events"]),
        ({"free_units_per_events": "3"}, ["invalid_free_units_per_events"]),
        ({"free_units_per_total_aggregation": 250}, ["invalid_free_units_per_total_aggregation"]),
        ({"per_transaction_min_amount": "x", "per_transaction_max_amount": "y"}, ["invalid_amount"]),
        (
            {"per_transaction_min_amount": "2", "per_transaction_max_amount": "1.99"},
            ["per_transaction_max_lower_than_per_transaction_min"],
        ),
    ],
)
def test_parse_percentage_faults_have_their_codes(changes: dict[str, Any], codes: list[str]) -> None:
    """Each faulty property of a percentage has its code, once."""
    assert codes_of(ChargeModel.PERCENTAGE, {"rate": "1"} | changes) == codes


def test_parse_percentage_null_rules_are_not_set() -> None:
    """Null is the absence of a rule, an amount of zero is an amount."""
    raw = {"rate": "1.3", "fixed_amount": None, "free_units_per_events": None, "per_transaction_min_amount": "0"}

    assert parse_properties(ChargeModel.PERCENTAGE, raw) == PercentageProperties(
        rate=Decimal("1.3"), per_transaction_min_amount=Decimal(0)
    )


TIERED = {
    ChargeModel.GRADUATED: "graduated_ranges",
    ChargeModel.VOLUME: "volume_ranges",
    ChargeModel.GRADUATED_PERCENTAGE: "graduated_percentage_ranges",
}
STEPS_OF_0_OR_1 = {ChargeModel.GRADUATED, ChargeModel.GRADUATED_PERCENTAGE}


@pytest.mark.parametrize("model", TIERED)
@pytest.mark.parametrize("ranges", [None, []])
def test_parse_tiers_absent_are_missing(model: ChargeModel, ranges: object) -> None:
    """No tiers at all has a code of its own."""
    assert codes_of(model, {TIERED[model]: ranges}) == [f"missing_{TIERED[model]}"]


@pytest.mark.parametrize("model", TIERED)
@pytest.mark.parametrize(
    "bounds",
    [
        [(0, 10)],
        [(2, None)],
        [(0, None), (1, None)],
        [(0, 0), (1, None)],
        [(0, 10), (13, None)],
        [(0, 10), (9, None)],
        [(-1, None)],
        [(None, None)],
        [(True, None)],
        [("NaN", None)],
    ],
)
def test_parse_tiers_broken_bounds_are_refused(model: ChargeModel, bounds: list[tuple[Any, Any]]) -> None:
    """Tiers start at 0 or 1, follow each other, grow, and only the last is open."""
    ranges = [make_range(*each) for each in bounds]

    assert codes_of(model, {TIERED[model]: ranges}) == [f"invalid_{TIERED[model]}"]


@pytest.mark.parametrize(
    ("model", "next_from", "is_accepted"),
    [
        (model, step, (step <= 1) == (model in STEPS_OF_0_OR_1) or step == 1)
        for model in TIERED
        for step in (0, 1, 2)
    ],
)
def test_parse_tiers_step_between_tiers(model: ChargeModel, next_from: int, is_accepted: bool) -> None:
    """Graduated tiers touch or step by one; volume tiers step by one or two."""
    raw = {TIERED[model]: [make_range(0, 10), make_range(10 + next_from, None)]}

    if is_accepted:
        parse_properties(model, raw)
    else:
        assert codes_of(model, raw) == [f"invalid_{TIERED[model]}"]


def test_parse_tiers_every_fault_once() -> None:
    """Prices and bounds are reported together, each code once."""
    ranges = [
        make_range(0, 10, per_unit_amount=1, flat_amount=None),
        make_range(12, None, per_unit_amount="x"),
    ]

    assert codes_of(ChargeModel.GRADUATED, {"graduated_ranges": ranges}) == [
        "invalid_amount",
        "invalid_graduated_ranges",
    ]


@pytest.mark.parametrize("ranges", ["0-10", {"from_value": 0}, [1], [make_range(0, None), "x"]])
def test_parse_tiers_not_a_list_of_objects_is_refused(ranges: object) -> None:
    """Anything but a list of objects is no list of tiers."""
    assert codes_of(ChargeModel.GRADUATED, {"graduated_ranges": ranges}) == ["invalid_graduated_ranges"]


def test_parse_tiers_too_many_are_refused() -> None:
    """The number of tiers is bounded."""
    ranges = [make_range(tier * 10, tier * 10 + 10) for tier in range(1000)]

    raw = {"graduated_ranges": [*ranges, make_range(10_000, None)]}

    assert codes_of(ChargeModel.GRADUATED, raw) == ["invalid_graduated_ranges"]


def test_parse_graduated_fractional_bounds_are_read_as_sent() -> None:
    """A bound decoded as a float is the number that was in the JSON."""
    raw = {"graduated_ranges": [make_range(0, 0.1), make_range(Decimal("0.1"), None)]}

    assert parse_properties(ChargeModel.GRADUATED, raw) == GraduatedProperties(
        (
            Tier(Decimal(0), Decimal("0.1"), Decimal(1), Decimal(0)),
            Tier(Decimal("0.1"), None, Decimal(1), Decimal(0)),
        )
    )


def test_parse_graduated_percentage_checks_rates() -> None:
    """A tier's rate is text like every amount."""
    good = {"graduated_percentage_ranges": [make_range(0, None, rate="2.5")]}
    bad = {"graduated_percentage_ranges": [make_range(0, None, rate=2.5)]}

    assert parse_properties(ChargeModel.GRADUATED_PERCENTAGE, good) == GraduatedPercentageProperties(
        (PercentageTier(Decimal(0), None, Decimal("2.5"), Decimal(0)),)
    )
    assert codes_of(ChargeModel.GRADUATED_PERCENTAGE, bad) == ["invalid_rate"]


@pytest.mark.parametrize("name", ["pricing_group_keys", "grouped_by"])
@pytest.mark.parametrize("keys", ["region", [1], [""], {}])
def test_parse_group_keys_not_names_are_refused(name: str, keys: object) -> None:
    """Group keys are a list of property names."""
    assert codes_of(ChargeModel.STANDARD, {"amount": "1", name: keys}) == ["invalid_type"]


@pytest.mark.parametrize("model", ChargeModel)
@pytest.mark.parametrize("raw", [None, {}])
def test_normalize_omitted_properties_gives_valid_defaults(
    model: ChargeModel, raw: dict[str, object] | None
) -> None:
    """A charge without properties gets its model's defaults, which parse."""
    normalized = normalize_properties(model, raw)

    assert normalized == default_properties(model)
    assert parse_properties(model, normalized).model is model


def test_default_properties_charge_nothing() -> None:
    """The defaults are those of a free charge."""
    open_tier = {"from_value": 0, "to_value": None, "per_unit_amount": "0", "flat_amount": "0"}

    assert default_properties(ChargeModel.STANDARD) == {"amount": "0"}
    assert default_properties(ChargeModel.PACKAGE) == {"amount": "0", "package_size": 1, "free_units": 0}
    assert default_properties(ChargeModel.GRADUATED) == {"graduated_ranges": [open_tier]}
    assert default_properties(ChargeModel.VOLUME) == {"volume_ranges": [open_tier]}
    assert default_properties(ChargeModel.PERCENTAGE) == {"rate": "0"}


def test_normalize_unknown_keys_are_dropped() -> None:
    """Only what the model knows is kept; missing keys are not filled in."""
    raw = {"amount": "5", "rate": "1", "free_units": 3, "colour": "blue"}

    assert normalize_properties(ChargeModel.STANDARD, raw) == {"amount": "5"}
    assert normalize_properties(ChargeModel.PACKAGE, raw) == {"amount": "5", "free_units": 3}
    assert normalize_properties(ChargeModel.PERCENTAGE, raw) == {"rate": "1"}


@pytest.mark.parametrize(
    ("raw", "keys"),
    [
        ({"grouped_by": ["region"]}, ["region"]),
        ({"pricing_group_keys": ["cloud"]}, ["cloud"]),
        ({"pricing_group_keys": ["cloud"], "grouped_by": ["region"]}, ["cloud"]),
        ({"pricing_group_keys": [], "grouped_by": ["region"]}, []),
    ],
)
def test_normalize_group_keys_are_returned_under_both_names(raw: dict[str, object], keys: list[str]) -> None:
    """The old and the new name carry one list, the new name deciding."""
    assert normalize_properties(ChargeModel.STANDARD, {"amount": "1"} | raw) == {
        "amount": "1",
        "pricing_group_keys": keys,
        "grouped_by": keys,
    }

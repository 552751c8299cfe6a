"""Standard, package and dynamic charges, and the choice of a model."""

from dataclasses import replace
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.charge_models import ChargeModel, price
from invoicer.rating.charge_models.properties import (
    ChargeProperties,
    DynamicProperties,
    GraduatedProperties,
    PackageProperties,
    PercentageProperties,
    StandardProperties,
)
from invoicer.rating.usage import Usage

HUGE = 10**18


@pytest.mark.parametrize(
    ("units", "amount", "total"),
    [
        ("0", "5", "0"),
        ("1", "0.000000000000000001", "0.000000000000000001"),
        ("0.5", "3", "1.5"),
        ("-2", "3", "-6"),
        (str(HUGE), "999999999999999.999999999999999999", "999999999999999999999999999999999"),
    ],
)
def test_price_standard_table_multiplies_exactly(units: str, amount: str, total: str) -> None:
    """Every digit of units times price is kept."""
    priced = price(ChargeModel.STANDARD, StandardProperties(Decimal(amount)), Usage.of(Decimal(units)))

    assert priced.amount == Decimal(total)
    assert priced.amount_details == {}


def test_price_standard_prorated_spreads_the_amount_over_full_units() -> None:
    """Half a month of 4 seats at 10 is 20, or 5 a seat."""
    usage = replace(Usage.of(Decimal(2)), full_units=Decimal(4))

    priced = price(ChargeModel.STANDARD, StandardProperties(Decimal(10)), usage, prorated=True)

    assert (priced.amount, priced.unit_amount) == (Decimal(20), Decimal(5))


@pytest.mark.parametrize(
    ("units", "amount", "unit_amount"),
    [
        ("0", "0", "0"),
        ("5", "0", "0"),
        ("5.000001", "7", "7000000"),
        ("6", "7", "7"),
        ("14", "7", "0.777777777777778"),
        ("15", "7", "0.7"),
        ("16", "14", "1.272727272727273"),
        ("-3", "0", "0"),
        (str(HUGE + 5), str(7 * HUGE // 10), "0.7"),
    ],
)
def test_price_package_table_charges_started_packages(units: str, amount: str, unit_amount: str) -> None:
    """Five units are free, then every started ten cost 7."""
    properties = PackageProperties(amount=Decimal(7), package_size=10, free_units=5)

    priced = price(ChargeModel.PACKAGE, properties, Usage.of(Decimal(units)))

    assert (priced.amount, priced.unit_amount) == (Decimal(amount), Decimal(unit_amount))


def test_price_package_details_are_text_and_counts() -> None:
    """The details name the paid units and the package."""
    priced = price(ChargeModel.PACKAGE, PackageProperties(Decimal(7), 10, 5), Usage.of(Decimal(16)))

    assert priced.amount_details == {
        "free_units": "5.0",
        "paid_units": "11.0",
        "per_package_size": 10,
        "per_package_unit_amount": "7.0",
    }


@given(st.decimals(0, HUGE, places=4), st.decimals(0, HUGE, places=4), st.integers(1, 10**6), st.integers(0, 100))
def test_price_package_more_units_never_cost_less(low: Decimal, high: Decimal, size: int, free: int) -> None:
    """A package price does not fall with usage."""
    properties = PackageProperties(Decimal("0.01"), size, free)
    low, high = sorted((low, high))

    prices = [price(ChargeModel.PACKAGE, properties, Usage.of(units)).amount for units in (low, high)]

    assert prices[0] <= prices[1]


@pytest.mark.parametrize(
    ("units", "exponent", "amount"), [("4", 2, "12.345"), ("4", 0, "1234.5"), ("4", 3, "1.2345"), ("0", 2, "0")]
)
def test_price_dynamic_turns_the_events_minor_units(units: str, exponent: int, amount: str) -> None:
    """The events' own amount is charged, unless there are no units."""
    usage = replace(Usage.of(Decimal(units)), precise_total_amount_cents=Decimal("1234.5"))

    priced = price(ChargeModel.DYNAMIC, DynamicProperties(), usage, exponent=exponent)

    assert priced.amount == Decimal(amount)


def test_price_dynamic_without_currency_is_refused() -> None:
    """Minor units mean nothing without the currency's decimals."""
    with pytest.raises(ValueError, match="exponent"):
        price(ChargeModel.DYNAMIC, DynamicProperties(), Usage.of(Decimal(1)))


def test_price_properties_of_another_model_are_refused() -> None:
    """A mixed-up catalog row is not priced by whichever half is right."""
    with pytest.raises(ValueError, match="no properties of a package charge"):
        price(ChargeModel.PACKAGE, StandardProperties(Decimal(1)), Usage.of(Decimal(1)))


@pytest.mark.parametrize(
    "properties", [PackageProperties(Decimal(1), 1, 0), PercentageProperties(Decimal(1)), DynamicProperties()]
)
def test_price_prorated_where_the_model_knows_none_is_refused(properties: ChargeProperties) -> None:
    """Only standard, graduated and volume charges can be prorated."""
    with pytest.raises(ValueError, match="cannot be prorated"):
        price(properties.model, properties, Usage.of(Decimal(1)), prorated=True, exponent=2)


def test_price_prorated_graduated_without_events_is_refused() -> None:
    """Prorated units without the events they come from cannot be put in tiers."""
    with pytest.raises(ValueError, match="needs its events"):
        price(ChargeModel.GRADUATED, GraduatedProperties(()), Usage.of(Decimal(1)), prorated=True)


def test_price_narrow_caller_context_changes_nothing() -> None:
    """The caller's decimal precision does not reach the price."""
    properties, usage = StandardProperties(Decimal("5.12345")), Usage.of(Decimal("1234567.891"))
    with localcontext(Context(prec=4)):
        priced = price(ChargeModel.STANDARD, properties, usage)

    assert priced.amount == Decimal("6325246.86114395")
    assert priced.unit_amount == Decimal("5.12345")

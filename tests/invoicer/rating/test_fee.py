"""From priced charges to fee amounts, and true-up fees."""

from dataclasses import replace
from decimal import Decimal

import pytest

from invoicer.rating.charge_models import PricedCharge
from invoicer.rating.fee import build_fee_amounts, convert_pricing_unit_cents, true_up_amount
from invoicer.rating.usage import Usage


def make_priced(amount: str, unit_amount: str = "0") -> PricedCharge:
    return PricedCharge(Decimal(amount), Decimal(unit_amount))


@pytest.mark.parametrize(
    ("amount", "exponent", "cents", "precise_cents"),
    [
        ("0", 2, 0, "0"),
        ("12.344999", 2, 1234, "1234.4999"),
        ("12.345", 2, 1235, "1234.5"),
        ("12.5", 0, 13, "12.5"),
        ("1.2345", 3, 1235, "1234.5"),
        ("1000000000000000000", 2, 10**20, "100000000000000000000"),
        ("0.00000000000000000249", 2, 0, "0"),
        ("0.00000000000000000500", 2, 0, "0.000000000000001"),
    ],
)
def test_fee_amount_currency_exponent_rounds_half_up_once(
    amount: str, exponent: int, cents: int, precise_cents: str
) -> None:
    """Cents are rounded half up at the currency's decimals, precise cents at 15."""
    fee = build_fee_amounts(make_priced(amount), Usage.of(Decimal(1), 1), exponent=exponent)

    assert fee.amount_cents == cents
    assert fee.precise_amount_cents == Decimal(precise_cents)


def test_fee_unit_amount_keeps_15_decimals_and_cuts_cents() -> None:
    """A price of 1.999 a unit is 199 whole cents and 1.999 precisely."""
    fee = build_fee_amounts(make_priced("19.99", "1.999"), Usage.of(Decimal(10), 1), exponent=2)

    assert (fee.unit_amount_cents, fee.precise_unit_amount) == (199, Decimal("1.999"))


def test_fee_negative_units_zero_both() -> None:
    """Negative units owe nothing, even where a flat amount made the price positive."""
    fee = build_fee_amounts(make_priced("5", "-1"), Usage.of(Decimal(-5), 3), exponent=2)

    assert (fee.units, fee.precise_amount_cents, fee.amount_cents) == (Decimal(0), Decimal(0), 0)
    assert (fee.unit_amount_cents, fee.events_count) == (0, 3)


def test_fee_negative_amount_zeroes_both() -> None:
    """A negative price is never paid out."""
    fee = build_fee_amounts(make_priced("-0.01"), Usage.of(Decimal(5), 3), exponent=2)

    assert (fee.units, fee.amount_cents) == (Decimal(0), 0)


def test_fee_prorated_usage_shows_full_units() -> None:
    """What is shown are the units before proration."""
    usage = replace(Usage.of(Decimal("0.5")), full_units=Decimal(2), total_aggregated_units=Decimal(7))

    fee = build_fee_amounts(make_priced("5"), usage, exponent=2)

    assert (fee.units, fee.total_aggregated_units) == (Decimal(2), Decimal(7))


@pytest.mark.parametrize(
    ("amount", "units", "events_count", "is_empty"),
    [("0", 0, 0, True), ("2", 0, 0, False), ("0", 1, 0, False), ("0", 0, 1, False)],
)
def test_fee_is_empty_only_without_units_amount_and_events(
    amount: str, units: int, events_count: int, is_empty: bool
) -> None:
    """A fee is dropped only when it says nothing at all."""
    fee = build_fee_amounts(make_priced(amount), Usage.of(Decimal(units), events_count), exponent=2)

    assert fee.is_empty == is_empty


@pytest.mark.parametrize(
    ("minimum", "used", "days", "duration", "cents"),
    [
        (1000, 1000, 31, 31, 0),
        (1000, 999, 31, 31, 1),
        (1000, 1001, 31, 31, 0),
        (1000, 0, 1, 3, 333),
        (1000, 0, 2, 3, 667),
        (1, 0, 1, 2, 1),
        (1, 0, 1, 3, 0),
        (10**18, 1, 31, 31, 10**18 - 1),
        (0, 0, 31, 31, 0),
    ],
)
def test_true_up_table_rounds_half_up(minimum: int, used: int, days: int, duration: int, cents: int) -> None:
    """What is missing to the prorated minimum is rounded once; nothing missing is nothing due."""
    assert true_up_amount(minimum, used, days_billed=days, duration_days=duration) == cents


@pytest.mark.parametrize(("rate", "exponent", "cents"), [("0.25", 2, 75), ("0.25", 0, 1), ("0.005", 2, 2)])
def test_convert_pricing_units_gives_minor_units(rate: str, exponent: int, cents: int) -> None:
    """3.00 pricing units become minor units of the currency, half up."""
    assert convert_pricing_unit_cents(300, Decimal(rate), exponent=exponent) == cents

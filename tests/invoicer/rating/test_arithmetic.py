"""The rounding and dividing everything else relies on."""

from decimal import ROUND_DOWN, Context, Decimal, FloatOperation, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.arithmetic import (
    divide,
    divide_half_up,
    divide_or_zero,
    divide_round_up,
    exact_arithmetic,
    round_half_up,
    round_up,
    settle,
    to_minor_units,
)


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        ("0", 0, "0"),
        ("0.5", 0, "1"),
        ("1.5", 0, "2"),
        ("2.5", 0, "3"),
        ("-2.5", 0, "-3"),
        ("0.125", 2, "0.13"),
        ("0.1249999999999999999999999999999999999", 2, "0.12"),
        ("150", -2, "200"),
        ("1000000000000000000.5", 0, "1000000000000000001"),
    ],
)
def test_round_half_up_table_rounds_away_from_zero(value: str, places: int, expected: str) -> None:
    """A half goes away from zero at any place and size."""
    assert round_half_up(Decimal(value), places) == Decimal(expected)


@pytest.mark.parametrize(
    ("value", "expected"), [("0.000001", "0.00001"), ("0.00001", "0.00001"), ("-0.000019", "-0.00001")]
)
def test_round_up_five_places_goes_towards_infinity(value: str, expected: str) -> None:
    """Rounding up never lowers a value, also not a negative one."""
    assert round_up(Decimal(value), 5) == Decimal(expected)


@pytest.mark.parametrize(
    ("dividend", "divisor", "places", "expected"),
    [
        ("0", 7, 0, "0"),
        ("120", 10, 0, "12"),
        ("121", 10, 0, "13"),
        ("-121", 10, 0, "-12"),
        ("-120", 10, 0, "-12"),
        ("1", 3, 5, "0.33334"),
        ("-1", 3, 5, "-0.33333"),
        ("1000000000000000001", 10, 0, "100000000000000001"),
    ],
)
def test_divide_round_up_table_takes_the_ceiling(dividend: str, divisor: int, places: int, expected: str) -> None:
    """The exact quotient is rounded towards positive infinity."""
    assert divide_round_up(Decimal(dividend), divisor, places) == Decimal(expected)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_divide_round_up_any_integers_agrees_with_integer_ceiling(dividend: int, divisor: int) -> None:
    """The ceiling agrees with exact integer arithmetic."""
    assert divide_round_up(Decimal(dividend), divisor) == -(-dividend // divisor)


def test_settle_three_thirds_give_back_the_whole() -> None:
    """Cut ratios that should make 1 make 1, so no half cent is lost."""
    with exact_arithmetic():
        thirds = divide(Decimal(1), 3) * 3

    assert thirds != 1
    assert settle(thirds) == 1


def test_divide_or_zero_no_units_gives_zero() -> None:
    """Without units there is no unit amount; with units it has 15 decimals, half up."""
    assert divide_or_zero(Decimal(5), Decimal(0)) == 0
    assert divide_or_zero(Decimal(2), Decimal(3)) == Decimal("0.666666666666667")


@pytest.mark.parametrize(
    ("amount", "exponent", "cents"),
    [("12.345", 2, 1235), ("12.345", 0, 12), ("12.3455", 3, 12346), ("-0.005", 2, -1), ("0.0049", 2, 0)],
)
def test_to_minor_units_currency_exponent_rounds_once(amount: str, exponent: int, cents: int) -> None:
    """Dollars, yen and dinars are rounded at their own number of decimals."""
    assert to_minor_units(Decimal(amount), exponent) == cents


def test_exact_arithmetic_lost_digit_raises() -> None:
    """A product beyond the precision stops instead of being cut."""
    with exact_arithmetic(), pytest.raises(Inexact):
        Decimal("1." + "1" * 100) * Decimal("1." + "1" * 100)


def test_exact_arithmetic_float_raises() -> None:
    """A float cannot become a quantity or a price."""
    with exact_arithmetic(), pytest.raises(FloatOperation):
        Decimal(0.1)  # noqa: RUF032 - the float is what must be refused


def test_divide_half_up_narrow_caller_context_gives_the_same() -> None:
    """The caller's precision and rounding mode do not reach the result."""
    with localcontext(Context(prec=3, rounding=ROUND_DOWN)):
        assert divide_half_up(Decimal("1000000.005"), 1, 2) == Decimal("1000000.01")
        assert divide_round_up(Decimal("123456789"), 10) == Decimal("12345679")

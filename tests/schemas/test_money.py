"""Currencies and decimal text."""

from decimal import Decimal

import pytest

from schemas.money import currency_exponent, decimal_text


@pytest.mark.parametrize(("currency", "exponent"), [("USD", 2), ("JPY", 0), ("KWD", 3)])
def test_currency_has_its_iso_minor_unit(currency: str, exponent: int) -> None:
    """Cents, no minor unit, thousandths."""
    assert currency_exponent(currency) == exponent


def test_unknown_currency_is_an_error() -> None:
    """No default exponent: guessing one would move the decimal point of an invoice."""
    with pytest.raises(KeyError):
        currency_exponent("XXX")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10", "10.0"),
        ("0.50", "0.5"),
        ("1E+5", "100000.0"),
        ("1E-18", "0.000000000000000001"),
        ("-3.10", "-3.1"),
        ("0", "0.0"),
        ("-0", "0.0"),
        ("-0.00", "0.0"),
        ("0E-18", "0.0"),
        ("123456789012345678901234567890.123", "123456789012345678901234567890.123"),
    ],
)
def test_decimal_text_is_plain_with_at_least_one_decimal(value: str, text: str) -> None:
    """Never an exponent, never a bare integer."""
    assert decimal_text(Decimal(value)) == text

"""The one place that decides how money is computed: precision, division and rounding.

Every public function of this package runs inside `exact_arithmetic`, so results do not depend on the
caller's decimal context. Sums and products are exact or fail; only the functions below round.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import (
    ROUND_CEILING,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)

# Room for a 10^24 total with 18 decimals times a price of 15 + 18 digits, and for a ratio of
# RATIO_PLACES decimals times such a price, without losing a digit.
PRECISION_DIGITS = 150
RATIO_PLACES = 60
# A prorated amount adds up ratios that were cut at RATIO_PLACES; rounding it here puts 0.33… × 3 back to 1
# before it meets a half-cent boundary.
SETTLED_PLACES = 30
UNIT_AMOUNT_PLACES = 15
PERCENT = Decimal(100)
ZERO = Decimal(0)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Compute exactly, whatever the caller's decimal context; usable as a decorator.

    Raises:  decimal.Inexact where a sum or product would lose a digit (a figure out of all bounds: better
             to stop than to bill it), decimal.FloatOperation where a float meets a Decimal.
    """
    fatal = [InvalidOperation, DivisionByZero, Overflow, FloatOperation, Inexact]
    with localcontext(Context(prec=PRECISION_DIGITS, rounding=ROUND_HALF_UP, traps=fatal)):
        yield


@contextmanager
def _rounding_allowed() -> Iterator[None]:
    fatal = [InvalidOperation, DivisionByZero, Overflow, FloatOperation]
    with localcontext(Context(prec=PRECISION_DIGITS, rounding=ROUND_HALF_UP, traps=fatal)):
        yield


def round_to(value: Decimal, places: int, rounding: str) -> Decimal:
    """Round to `places` decimals (negative: tens, hundreds, …) in the given decimal rounding mode."""
    with _rounding_allowed():
        rounded = value.quantize(Decimal(1).scaleb(-places), rounding=rounding)
        return rounded if places >= 0 else rounded.quantize(Decimal(1))


def round_half_up(value: Decimal, places: int = 0) -> Decimal:
    """Round half away from zero to `places` decimals.

    Source: Lago fees, "half up" everywhere.
    """
    return round_to(value, places, ROUND_HALF_UP)


def round_up(value: Decimal, places: int) -> Decimal:
    """Round towards positive infinity to `places` decimals."""
    return round_to(value, places, ROUND_CEILING)


def settle(amount: Decimal) -> Decimal:
    """Round away the residue that summing cut ratios leaves behind: SETTLED_PLACES decimals, half up."""
    return round_half_up(amount, SETTLED_PLACES)


def divide(dividend: Decimal, divisor: Decimal | int) -> Decimal:
    """Divide, keeping RATIO_PLACES decimals (half up) of a quotient that may repeat."""
    with _rounding_allowed():
        return round_half_up(dividend / divisor, RATIO_PLACES)


def divide_half_up(dividend: Decimal, divisor: Decimal | int, places: int) -> Decimal:
    """Divide and round the quotient half away from zero to `places` decimals."""
    with _rounding_allowed():
        return round_half_up(dividend / divisor, places)


def divide_round_up(dividend: Decimal, divisor: Decimal | int, places: int = 0) -> Decimal:
    """Divide and round the exact quotient towards positive infinity to `places` decimals; divisor > 0."""
    with exact_arithmetic():
        quotient, remainder = divmod(dividend.scaleb(places), Decimal(divisor))
        return (quotient + 1 if remainder > 0 else quotient).scaleb(-places)


def divide_or_zero(dividend: Decimal, divisor: Decimal) -> Decimal:
    """The unit amount of a total: UNIT_AMOUNT_PLACES decimals half up, 0 where there are no units."""
    return ZERO if divisor == 0 else divide_half_up(dividend, divisor, UNIT_AMOUNT_PLACES)


def to_minor_units(amount: Decimal, exponent: int) -> int:
    """Turn major currency units into the currency's integer minor units, half away from zero.

    Units:   `exponent` is the currency's number of decimals: 2 for EUR, 0 for JPY, 3 for KWD.
    """
    return int(round_half_up(amount, exponent).scaleb(exponent))

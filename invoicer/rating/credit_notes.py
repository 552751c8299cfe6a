"""What a credit note gives back: amounts of items, their part of the taxes, and how both are rounded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal

from invoicer.rating.arithmetic import PERCENT, ZERO, divide, exact_arithmetic, round_half_up, round_to
from invoicer.rating.taxes import AppliedTax, Tax, apply_tax, average_taxes_rate, bases_by_tax

ITEM_PLACES = 5


@dataclass(frozen=True)
class CreditedPart:
    """A part of a fee to give back, in minor units, unrounded.

    `precise_amount_cents`  before coupons and taxes, ≥ 0.
    `precise_coupons`       its part of the coupons on the fee; see `coupons_of_part`.
    `taxes`                 the taxes on the fee as they were when it was made.
    """

    precise_amount_cents: Decimal
    taxes: tuple[Tax, ...]
    precise_coupons: Decimal = ZERO

    @property
    def base(self) -> Decimal:
        """What is given back before taxes."""
        return self.precise_amount_cents - self.precise_coupons


@dataclass(frozen=True)
class InvoiceRemainder:
    """What earlier credit notes left of an invoice, in minor units.

    `taxes_rounding_cents`  what rounding added to the taxes of the earlier notes: Σ (taxes - precise taxes).
    """

    sub_total_excluding_taxes_cents: int
    taxes_cents: int
    taxes_rounding_cents: Decimal = ZERO


@dataclass(frozen=True)
class CreditNoteAmounts:
    """The figures of a credit note, in minor units.

    Bounds: the applied taxes are rounded one by one and may not add up to `taxes_amount_cents`.
    """

    sub_total_excluding_taxes_amount_cents: int
    taxes_amount_cents: int
    precise_taxes_amount_cents: Decimal
    precise_total_amount_cents: Decimal
    precise_coupons_adjustment_amount_cents: Decimal
    applied_taxes: tuple[AppliedTax, ...]
    taxes_rate: Decimal

    @property
    def total_amount_cents(self) -> int:
        """Always what is given back before taxes plus the taxes."""
        return self.sub_total_excluding_taxes_amount_cents + self.taxes_amount_cents

    @property
    def coupons_adjustment_amount_cents(self) -> int:
        """The coupons' part, rounded half away from zero."""
        return int(round_half_up(self.precise_coupons_adjustment_amount_cents))


def cut_item(amount_cents: Decimal) -> Decimal:
    """The amount of an item as it is kept: cut at ITEM_PLACES decimals of a minor unit.

    Source: Lago credit notes, items of automatic notes.
    """
    return round_to(amount_cents, ITEM_PLACES, ROUND_DOWN)


@exact_arithmetic()
def coupons_of_part(amount_cents: Decimal, fee_amount_cents: int, fee_precise_coupons: Decimal) -> Decimal:
    """The part of a fee's coupons that falls on `amount_cents` of it, in minor units; 0 for a fee of nothing.

    Source: Lago credit notes, amounts.
    """
    if not fee_amount_cents:
        return ZERO
    return divide(fee_precise_coupons * amount_cents, fee_amount_cents)


@exact_arithmetic()
def credit_note_amounts(
    parts: Sequence[CreditedPart], left: InvoiceRemainder, *, takes_all: bool
) -> CreditNoteAmounts:
    """What a note over `parts` comes to; `takes_all` where nothing of the invoice's fees remains after it.

    Bounds:  never more than what is `left`, before taxes and of the taxes; a note that takes all takes exactly
             that, so that the notes of an invoice add up to the invoice.
    Rounds:  what is given back before taxes, and the taxes, each once and half away from zero; the total is
             their sum, a minor unit off the rounded precise total at most.
    Source:  Lago credit notes, rounding.
    """
    bases = bases_by_tax(parts)
    sub_total = sum((part.base for part in parts), ZERO)
    taxes = sum((base * tax.rate / PERCENT for tax, base in bases.items()), ZERO)
    if takes_all:
        taxes -= left.taxes_rounding_cents
        rounded_sub_total, rounded_taxes = left.sub_total_excluding_taxes_cents, left.taxes_cents
    else:
        rounded_sub_total = min(int(round_half_up(sub_total)), left.sub_total_excluding_taxes_cents)
        rounded_taxes = min(int(round_half_up(taxes)), left.taxes_cents)
    return CreditNoteAmounts(
        sub_total_excluding_taxes_amount_cents=rounded_sub_total,
        taxes_amount_cents=rounded_taxes,
        precise_taxes_amount_cents=taxes,
        precise_total_amount_cents=sub_total + taxes,
        precise_coupons_adjustment_amount_cents=sum((part.precise_coupons for part in parts), ZERO),
        applied_taxes=tuple(apply_tax(tax, base) for tax, base in bases.items()),
        taxes_rate=average_taxes_rate(parts, bases, sub_total),
    )


@exact_arithmetic()
def estimated_amounts(amounts: CreditNoteAmounts) -> CreditNoteAmounts:
    """The figures as an estimate shows them: where rounding both would add a minor unit, the taxes lose it.

    Source: Lago credit notes, rounding of an estimate.
    """
    gained = amounts.total_amount_cents - int(round_half_up(amounts.precise_total_amount_cents))
    if gained <= 0:
        return amounts
    return replace(amounts, taxes_amount_cents=max(0, amounts.taxes_amount_cents - gained))

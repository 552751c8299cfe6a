"""Taxes of fees and of an invoice: which apply, on what base, and what is rounded when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from invoicer.rating.arithmetic import PERCENT, ZERO, divide_half_up, exact_arithmetic, round_half_up

TAXES_RATE_PLACES = 5

AnyTax = TypeVar("AnyTax")


@dataclass(frozen=True)
class Tax:
    """A tax as it stands when it is applied. `rate` in percent, ≥ 0; `code` is unique."""

    code: str
    rate: Decimal


class Taxed(Protocol):
    """Something with a base to tax, in minor units, and the taxes on it: a fee, or a part of one."""

    @property
    def base(self) -> Decimal: ...

    @property
    def taxes(self) -> tuple[Tax, ...]: ...


@dataclass(frozen=True)
class TaxableFee:
    """A fee about to be taxed. `precise_coupons` is the coupon part taken off it, in minor units."""

    amount_cents: int
    precise_coupons: Decimal
    taxes: tuple[Tax, ...]

    @property
    def base(self) -> Decimal:
        """What is taxed: the amount less the coupons, in minor units, unrounded."""
        return self.amount_cents - self.precise_coupons


@dataclass(frozen=True)
class AppliedTax:
    """One tax on a fee or an invoice. Minor units; `fees_amount_cents` is the base it was taken from."""

    tax: Tax
    fees_amount_cents: int
    amount_cents: int


@dataclass(frozen=True)
class FeeTaxAmounts:
    """The totals of a taxed fee, in minor units.

    Bounds:  `total_amount_cents` is amount plus taxes, coupons not deducted; the applied taxes are rounded
             one by one and may not add up to `taxes_amount_cents`.
    """

    applied_taxes: tuple[AppliedTax, ...]
    taxes_rate: Decimal
    taxes_amount_cents: int
    precise_taxes_amount_cents: Decimal
    sub_total_excluding_taxes_amount_cents: int
    total_amount_cents: int


@dataclass(frozen=True)
class InvoiceTaxAmounts:
    """The totals of an invoice up to its taxes, in minor units; credit notes and wallets come after.

    Bounds:  the applied taxes are rounded one by one and may not add up to `taxes_amount_cents`.
    """

    fees_amount_cents: int
    sub_total_excluding_taxes_amount_cents: int
    applied_taxes: tuple[AppliedTax, ...]
    taxes_rate: Decimal
    taxes_amount_cents: int
    sub_total_including_taxes_amount_cents: int


def taxes_of_first_level(levels: Iterable[Sequence[AnyTax]]) -> tuple[AnyTax, ...]:
    """The taxes of the first level that has any, in whatever form they come; levels never mix.

    Bounds:  levels in order: explicit codes, then the charge or add-on, the plan, the customer, the billing
             entity.
    Source:  Lago taxes, hierarchy.
    """
    return next((tuple(taxes) for taxes in levels if taxes), ())


@exact_arithmetic()
def tax_fee(fee: TaxableFee) -> FeeTaxAmounts:
    """Tax one fee on its amount less coupons; no tax is taken on another.

    Rounds:  the sum of the taxes once, each applied tax on its own, both half away from zero.
    Source:  Lago invoices, fee totals.
    """
    taxes_rate = sum((tax.rate for tax in fee.taxes), ZERO)
    precise_taxes = fee.base * taxes_rate / PERCENT
    taxes_amount_cents = int(round_half_up(precise_taxes))
    return FeeTaxAmounts(
        applied_taxes=tuple(apply_tax(tax, fee.base) for tax in fee.taxes),
        taxes_rate=taxes_rate,
        taxes_amount_cents=taxes_amount_cents,
        precise_taxes_amount_cents=precise_taxes,
        sub_total_excluding_taxes_amount_cents=int(round_half_up(fee.base)),
        total_amount_cents=fee.amount_cents + taxes_amount_cents,
    )


@exact_arithmetic()
def tax_invoice(
    fees: Sequence[TaxableFee],
    *,
    coupons_amount_cents: int = 0,
    progressive_billing_credit_amount_cents: int = 0,
) -> InvoiceTaxAmounts:
    """Tax the fees of an invoice together.

    Rounds:  the taxes of all fees are summed unrounded, then rounded once; each applied tax on its own;
             the rate at 5 decimals. All half away from zero.
    Source:  Lago invoices, order of computation.
    """
    fees_amount_cents = sum(fee.amount_cents for fee in fees)
    sub_total = fees_amount_cents - progressive_billing_credit_amount_cents - coupons_amount_cents
    bases = bases_by_tax(fees)
    precise_taxes = sum((base * tax.rate / PERCENT for tax, base in bases.items()), ZERO)
    taxes_amount_cents = int(round_half_up(precise_taxes))
    return InvoiceTaxAmounts(
        fees_amount_cents=fees_amount_cents,
        sub_total_excluding_taxes_amount_cents=sub_total,
        applied_taxes=tuple(apply_tax(tax, base) for tax, base in bases.items()),
        taxes_rate=average_taxes_rate(fees, bases, sub_total),
        taxes_amount_cents=taxes_amount_cents,
        sub_total_including_taxes_amount_cents=sub_total + taxes_amount_cents,
    )


@exact_arithmetic()
def bases_by_tax(taxed: Sequence[Taxed]) -> dict[Tax, Decimal]:
    """What each tax is taken from, unrounded, in the order the taxes are met."""
    bases: dict[Tax, Decimal] = {}
    for each in taxed:
        for tax in each.taxes:
            bases[tax] = bases.get(tax, ZERO) + each.base
    return bases


@exact_arithmetic()
def apply_tax(tax: Tax, base: Decimal) -> AppliedTax:
    """One tax on a base, both rounded half away from zero to a minor unit."""
    return AppliedTax(
        tax=tax,
        fees_amount_cents=int(round_half_up(base)),
        amount_cents=int(round_half_up(base * tax.rate / PERCENT)),
    )


@exact_arithmetic()
def average_taxes_rate(taxed: Sequence[Taxed], bases: Mapping[Tax, Decimal], sub_total: Decimal | int) -> Decimal:
    """The average rate in percent, weighted by what each tax was taken from, or by parts where nothing is due.

    Rounds:  half away from zero at TAXES_RATE_PLACES.
    """
    if not taxed:
        return ZERO
    if sub_total:
        weighted = sum((tax.rate * base for tax, base in bases.items()), ZERO)
        return divide_half_up(weighted, sub_total, TAXES_RATE_PLACES)
    weighted = sum((tax.rate for each in taxed for tax in each.taxes), ZERO)
    return divide_half_up(weighted, len(taxed), TAXES_RATE_PLACES)

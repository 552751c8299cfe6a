"""Taxes beyond the recorded figures."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.taxes import Tax, TaxableFee, tax_fee, tax_invoice, taxes_of_first_level

VAT_20 = Tax("vat", Decimal(20))
CITY_5 = Tax("city", Decimal(5))


def make_fee(amount_cents: int = 1000, coupons: str = "0", *taxes: Tax) -> TaxableFee:
    return TaxableFee(amount_cents, Decimal(coupons), taxes)


def test_tax_fee_coupon_lowers_the_base_not_the_total() -> None:
    """Taxes are on the amount less coupons; the total of a fee does not deduct them."""
    fee = tax_fee(make_fee(1000, "333.33333", VAT_20))

    assert fee.taxes_amount_cents == 133
    assert fee.precise_taxes_amount_cents == Decimal("133.333334")
    assert fee.sub_total_excluding_taxes_amount_cents == 667
    assert fee.total_amount_cents == 1133


def test_tax_fee_taxes_are_rounded_one_by_one_and_together() -> None:
    """Two taxes of 2.5 cents are 3 cents each and 5 cents together."""
    fee = tax_fee(make_fee(50, "0", CITY_5, Tax("state", Decimal(5))))

    assert [applied.amount_cents for applied in fee.applied_taxes] == [3, 3]
    assert fee.taxes_amount_cents == 5
    assert fee.taxes_rate == 10


def test_tax_fee_without_taxes_owes_none() -> None:
    """A fee nothing applies to is its amount."""
    fee = tax_fee(make_fee(1000))

    assert (fee.taxes_amount_cents, fee.total_amount_cents, fee.applied_taxes) == (0, 1000, ())


def test_tax_invoice_sums_fees_before_rounding() -> None:
    """Three fees of 2 cents at 20 % owe 1 cent together, though each alone owes none."""
    fees = [make_fee(2, "0", VAT_20)] * 3

    assert [tax_fee(fee).taxes_amount_cents for fee in fees] == [0, 0, 0]
    assert tax_invoice(fees).taxes_amount_cents == 1


def test_tax_invoice_applied_taxes_may_not_add_up() -> None:
    """Each tax is rounded alone, the total once."""
    invoice = tax_invoice([make_fee(50, "0", CITY_5), make_fee(50, "0", Tax("state", Decimal(5)))])

    assert [applied.amount_cents for applied in invoice.applied_taxes] == [3, 3]
    assert [applied.fees_amount_cents for applied in invoice.applied_taxes] == [50, 50]
    assert invoice.taxes_amount_cents == 5


def test_tax_invoice_rate_is_weighted_by_what_is_taxed() -> None:
    """A third of the invoice at 20 % makes a rate of 6.66667 %."""
    invoice = tax_invoice([make_fee(1000, "0", VAT_20), make_fee(2000)])

    assert invoice.taxes_rate == Decimal("6.66667")


def test_tax_invoice_credits_lower_the_sub_total() -> None:
    """Progressive credits and coupons come off before taxes are added."""
    invoice = tax_invoice(
        [make_fee(1000, "100", VAT_20)], coupons_amount_cents=100, progressive_billing_credit_amount_cents=300
    )

    assert invoice.fees_amount_cents == 1000
    assert invoice.sub_total_excluding_taxes_amount_cents == 600
    assert invoice.taxes_amount_cents == 180
    assert invoice.sub_total_including_taxes_amount_cents == 780


def test_tax_invoice_without_fees_is_zero() -> None:
    """An empty invoice has no rate to divide by."""
    invoice = tax_invoice([])

    assert invoice.taxes_rate == 0
    assert (invoice.taxes_amount_cents, invoice.fees_amount_cents) == (0, 0)


def test_taxes_of_first_level_skips_empty_levels_and_never_mixes() -> None:
    """The first level with taxes wins as a whole."""
    assert taxes_of_first_level([(), (VAT_20, CITY_5), (CITY_5,)]) == (VAT_20, CITY_5)
    assert taxes_of_first_level([(), ()]) == ()


@given(st.lists(st.integers(0, 10**15), max_size=6), st.decimals(0, 100, places=2))
def test_tax_invoice_one_rate_for_all_is_the_rate_of_the_sum(amounts: list[int], rate: Decimal) -> None:
    """Cutting an amount into fees changes neither taxes nor rate."""
    tax = Tax("vat", rate)

    apart = tax_invoice([make_fee(amount, "0", tax) for amount in amounts])
    together = tax_invoice([make_fee(sum(amounts), "0", tax)])

    assert apart.taxes_amount_cents == together.taxes_amount_cents
    assert apart.taxes_rate == (together.taxes_rate if amounts else 0)

"""Every recorded figure of taxes and true-up fees."""

from decimal import Decimal

import pytest

from invoicer.rating.fee import convert_pricing_unit_cents, true_up_amount
from invoicer.rating.taxes import Tax, TaxableFee, tax_fee, tax_invoice, taxes_of_first_level
from tests.invoicer.rating.figures import Vector, load_vectors


def taxes_at(rates: list[str]) -> tuple[Tax, ...]:
    return tuple(Tax(code=f"vat_{rate}", rate=Decimal(rate)) for rate in rates)


def fee_of(given: Vector) -> TaxableFee:
    levels = given.get("levels") or [given["rates"]]
    return TaxableFee(
        amount_cents=given["amount_cents"],
        precise_coupons=Decimal(given["precise_coupons"]),
        taxes=taxes_of_first_level([taxes_at(rates) for rates in levels]),
    )


@pytest.mark.parametrize("vector", load_vectors("taxes"))
def test_tax_invoice_recorded_fees_gives_recorded_taxes(vector: Vector) -> None:
    """Recorded fees, coupons and rates give the recorded taxes."""
    given, expected = vector["input"], dict(vector["expected"])
    fees = [fee_of(fee) for fee in given["fees"]]

    invoice = tax_invoice(fees, coupons_amount_cents=given["coupons_amount_cents"])

    if "fee_taxes" in expected:
        assert [tax_fee(fee).taxes_amount_cents for fee in fees] == expected.pop("fee_taxes")
    for name, figure in expected.items():
        assert getattr(invoice, name) == Decimal(figure), name


@pytest.mark.parametrize("vector", load_vectors("true_up"))
def test_true_up_recorded_minimum_gives_recorded_amount(vector: Vector) -> None:
    """A charge below its minimum is raised to it, by the recorded amount and with the recorded taxes."""
    given, expected = vector["input"], vector["expected"]
    amount_cents = true_up_amount(
        given["min_amount_cents"],
        given["used_amount_cents"],
        days_billed=given["days_billed"],
        duration_days=given["duration_days"],
    )
    if "conversion_rate" in given:
        assert amount_cents == expected["pricing_unit_amount_cents"]
        amount_cents = convert_pricing_unit_cents(amount_cents, Decimal(given["conversion_rate"]), exponent=2)

    assert amount_cents == expected["amount_cents"]
    if "tax_rate" in given:
        taxes = taxes_at([given["tax_rate"]])
        used = TaxableFee(given["used_amount_cents"], Decimal(0), taxes)
        true_up = TaxableFee(amount_cents, Decimal(0), taxes)
        invoice = tax_invoice([used, true_up])
        assert tax_fee(true_up).taxes_amount_cents == expected["taxes_amount_cents"]
        assert {name: getattr(invoice, name) for name in expected["invoice"]} == expected["invoice"]

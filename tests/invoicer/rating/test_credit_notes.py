"""What a credit note comes to: recorded figures, amounts by hand, and that all notes add up to the invoice."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.arithmetic import divide, round_half_up
from invoicer.rating.credit_notes import (
    CreditedPart,
    CreditNoteAmounts,
    InvoiceRemainder,
    coupons_of_part,
    credit_note_amounts,
    cut_item,
    estimated_amounts,
)
from invoicer.rating.taxes import Tax, TaxableFee, tax_invoice
from tests.invoicer.rating.figures import Vector, load_vectors

UNTOUCHED = InvoiceRemainder(10**9, 10**9)


def part(amount: str, *rates: str, coupons: Decimal = Decimal(0)) -> CreditedPart:
    taxes = tuple(Tax(code=f"vat_{rate}", rate=Decimal(rate)) for rate in rates)
    return CreditedPart(precise_amount_cents=Decimal(amount), taxes=taxes, precise_coupons=coupons)


def left_after(remainder: InvoiceRemainder, note: CreditNoteAmounts) -> InvoiceRemainder:
    rounding = note.taxes_amount_cents - note.precise_taxes_amount_cents
    return InvoiceRemainder(
        remainder.sub_total_excluding_taxes_cents - note.sub_total_excluding_taxes_amount_cents,
        remainder.taxes_cents - note.taxes_amount_cents,
        remainder.taxes_rounding_cents + rounding,
    )


def amounts_of(vector_input: Vector) -> tuple[CreditNoteAmounts, Decimal]:
    rate = vector_input["tax_rate"]
    if "plan_amount_cents" in vector_input:
        unused = Decimal(vector_input["plan_amount_cents"] * vector_input["unused_days"])
        item = cut_item(divide(unused, vector_input["period_days"]))
    else:
        item = Decimal(vector_input["item_cents"])
    coupons = Decimal(0)
    if "precise_coupons" in vector_input:
        coupons = coupons_of_part(item, vector_input["fee_cents"], Decimal(vector_input["precise_coupons"]))
    left = UNTOUCHED
    if "earlier_note" in vector_input:
        earlier = vector_input["earlier_note"]
        taxed = tax_invoice(
            [TaxableFee(vector_input["fee_cents"], Decimal(0), (Tax(code="vat", rate=Decimal(rate)),))]
        )
        rounding = earlier["taxes_amount_cents"] - Decimal(earlier["precise_taxes_amount_cents"])
        left = InvoiceRemainder(int(item), taxed.taxes_amount_cents - earlier["taxes_amount_cents"], rounding)
    note = credit_note_amounts([part(str(item), rate, coupons=coupons)], left, takes_all=left is not UNTOUCHED)
    return (estimated_amounts(note) if vector_input.get("is_estimate") else note), item


@pytest.mark.parametrize("vector", load_vectors("credit_notes"))
def test_credit_note_recorded_items_give_recorded_amounts(vector: Vector) -> None:
    """Recorded plans, days and taxes give the recorded notes."""
    note, item = amounts_of(vector["input"])
    expected = dict(vector["expected"])

    if "item_precise_amount_cents" in expected:
        assert item == Decimal(expected.pop("item_precise_amount_cents"))
    for name, figure in expected.items():
        assert getattr(note, name) == Decimal(figure), name


def test_credit_note_over_two_equal_items_adds_up_to_the_invoice() -> None:
    """Two of 68.33 at 20 % are an invoice of 163.99: the first note is 82.00, the rest 81.99."""
    whole = InvoiceRemainder(13_666, 2_733)

    first = credit_note_amounts([part("6833", "20")], whole, takes_all=False)
    second = credit_note_amounts([part("6833", "20")], left_after(whole, first), takes_all=True)

    assert (first.total_amount_cents, second.total_amount_cents) == (8_200, 8_199)
    assert second.precise_taxes_amount_cents == Decimal("1366.2")


def test_credit_note_of_single_minor_units_stops_at_the_taxes_of_the_invoice() -> None:
    """10 at 50 % are 15: five notes of 1 take a whole tax each, after that no tax is left to give back."""
    left = InvoiceRemainder(10, 5)
    totals = []
    for number in range(10):
        note = credit_note_amounts([part("1", "50")], left, takes_all=number == 9)
        left = left_after(left, note)
        totals.append(note.total_amount_cents)

    assert totals == [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]


def test_credit_note_with_two_taxes_rounds_each_alone_and_their_sum_once() -> None:
    """10.05 at 10 % and 5 %: 1.005 and 0.5025 are 1.01 and 0.50 alone, 1.51 together."""
    note = credit_note_amounts([part("1005", "10", "5")], UNTOUCHED, takes_all=False)

    assert [applied.amount_cents for applied in note.applied_taxes] == [101, 50]
    assert (note.taxes_amount_cents, note.taxes_rate) == (151, Decimal(15))


def test_credit_note_over_differently_taxed_fees_shows_the_average_rate() -> None:
    """100.00 at 20 % and 300.00 untaxed are taxed at 5 % on average, on a base of 100.00."""
    note = credit_note_amounts([part("10000", "20"), part("30000")], UNTOUCHED, takes_all=False)

    assert (note.taxes_rate, note.taxes_amount_cents) == (Decimal(5), 2_000)
    assert [applied.fees_amount_cents for applied in note.applied_taxes] == [10_000]


@pytest.mark.parametrize(
    ("amount", "created", "estimated"),
    [
        ("7142.85714", (7143, 1429, 8572), (7143, 1428, 8571)),
        ("3571.42857", (3571, 714, 4285), (3571, 714, 4285)),
        ("1000", (1000, 200, 1200), (1000, 200, 1200)),
    ],
)
def test_credit_note_estimate_loses_on_its_taxes_what_a_note_gains(
    amount: str, created: tuple[int, int, int], estimated: tuple[int, int, int]
) -> None:
    """71.42857… at 20 % is 85.71 rounded at once, but 71.43 and 14.29 rounded apart."""
    note = credit_note_amounts([part(amount, "20")], UNTOUCHED, takes_all=False)

    for figures, wanted in ((note, created), (estimated_amounts(note), estimated)):
        assert (
            figures.sub_total_excluding_taxes_amount_cents,
            figures.taxes_amount_cents,
            figures.total_amount_cents,
        ) == wanted


def test_coupons_of_part_of_a_free_fee_are_nothing() -> None:
    """A fee of 0 has no parts for coupons to fall on."""
    assert coupons_of_part(Decimal(0), 0, Decimal(0)) == 0


@pytest.mark.parametrize(("amount", "cut"), [("2570.571428", "2570.57142"), ("0.000009", "0.00000"), ("7", "7")])
def test_cut_item_drops_what_lies_behind_five_decimals(amount: str, cut: str) -> None:
    """Cut, not rounded."""
    assert cut_item(Decimal(amount)) == Decimal(cut)


@given(
    amounts=st.lists(st.integers(1, 10**7), min_size=1, max_size=8),
    rates=st.lists(st.decimals("0", "100", places=2), min_size=1, max_size=3, unique=True),
    cuts=st.lists(st.decimals("0", "1", places=3), max_size=6),
)
def test_credit_notes_of_an_invoice_together_give_back_the_invoice(
    amounts: list[int], rates: list[Decimal], cuts: list[Decimal]
) -> None:
    """However the fees are split over notes of whole minor units, the notes add up, and none is negative."""
    taxes = tuple(Tax(code=f"tax_{rate}", rate=rate) for rate in rates)
    invoice = tax_invoice([TaxableFee(amount, Decimal(0), taxes) for amount in amounts])
    left = InvoiceRemainder(invoice.sub_total_excluding_taxes_amount_cents, invoice.taxes_amount_cents)
    rest = list(amounts)
    totals = []
    for share in [*cuts, Decimal(1)]:
        taken = [int(round_half_up(each * share)) for each in rest]
        rest = [each - part_of for each, part_of in zip(rest, taken, strict=True)]
        note = credit_note_amounts(
            [CreditedPart(Decimal(each), taxes) for each in taken], left, takes_all=not any(rest)
        )
        left = left_after(left, note)
        totals.append(note.total_amount_cents)

    assert sum(totals) == invoice.sub_total_including_taxes_amount_cents
    assert min(totals) >= 0


@given(
    fee_cents=st.integers(1, 10**6),
    rate=st.decimals("0", "100", places=2),
    shares=st.lists(st.decimals("0", "1", places=7), min_size=1, max_size=12),
)
def test_credit_notes_of_fractions_never_give_back_more_than_the_invoice(
    fee_cents: int, rate: Decimal, shares: list[Decimal]
) -> None:
    """Automatic notes hold fractions of minor units; their roundings never add up to more than was billed."""
    taxes = (Tax(code="vat", rate=rate),)
    invoice = tax_invoice([TaxableFee(fee_cents, Decimal(0), taxes)])
    left = InvoiceRemainder(invoice.sub_total_excluding_taxes_amount_cents, invoice.taxes_amount_cents)
    rest = Decimal(fee_cents)
    for share in shares:
        item = cut_item(rest * share)
        rest -= item
        note = credit_note_amounts([CreditedPart(item, taxes)], left, takes_all=False)
        left = left_after(left, note)

        assert note.total_amount_cents >= 0
        assert min(left.sub_total_excluding_taxes_cents, left.taxes_cents) >= 0

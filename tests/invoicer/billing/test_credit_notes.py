"""Notes over invoices, and what later invoices take from them. Amounts are worked out by hand."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from invoicer.billing.draft_refresh import finalize_draft
from invoicer.db import CreditNote
from invoicer.db.session import transaction
from schemas.errors import InputError
from tests.invoicer.billing.give_back import give_back, told_credits, told_notes
from tests.invoicer.billing.scenario import Scenario, utc

FIRST = "MIL-0001-001-001"


def paid_in_arrears(scenario: Scenario, **customer: Any) -> None:
    """100.00 a month, and calls at 0.10, all at 20 %."""
    with scenario.catalog() as catalog:
        catalog.customer(**customer)
        plan = catalog.plan(amount_cents=10_000)
        plan.taxes = [catalog.tax("vat", "20")]
        catalog.charge(plan, catalog.metric("calls"))
    scenario.subscribe(subscription_at=utc("2026-01-01"))


def test_issue_credit_note_over_an_invoice_counts_its_notes_without_gaps(scenario: Scenario) -> None:
    """30.00 of 100.00 with 6.00 tax, then the whole rest: 84.00."""
    paid_in_arrears(scenario)
    scenario.move_to("2026-02-01")

    note = give_back(scenario, FIRST, "3000")
    give_back(scenario, FIRST, "7000")

    assert told_notes(scenario) == [
        f"{FIRST}-CN001: 3000 + 600 = 3600, 3600 available",
        f"{FIRST}-CN002: 7000 + 1400 = 8400, 8400 available",
    ]
    assert (note.issuing_date.isoformat(), note.reason, note.credit_amount_cents) == ("2026-02-01", "other", 3600)
    [applied] = note.applied_taxes
    assert (applied.tax_code, applied.base_amount_cents, applied.amount_cents) == ("vat", 3000, 600)


def test_issue_credit_note_in_fractions_keeps_five_decimals_of_the_item(scenario: Scenario) -> None:
    """20 of 28 days of 100.00, cut behind the fifth decimal; rounded apart they are 71.43 and 14.29."""
    paid_in_arrears(scenario)
    scenario.move_to("2026-02-01")

    [item] = give_back(scenario, FIRST, "7142.857142857").items

    assert (item.amount_cents, str(item.precise_amount_cents)) == (7143, "7142.85714")
    assert told_notes(scenario) == [f"{FIRST}-CN001: 7143 + 1429 = 8572, 8572 available"]


@pytest.mark.parametrize(
    ("amounts", "code"),
    [
        (("7000.5",), "higher_than_remaining_fee_amount"),
        (("7001",), "higher_than_remaining_fee_amount"),
        (("-1",), "invalid_value"),
    ],
)
def test_issue_credit_note_over_more_than_remains_is_refused(
    scenario: Scenario, amounts: tuple[str, ...], code: str
) -> None:
    """30.00 of 100.00 is given back already: 70.00 is left, and half a cent more would round to 70.01."""
    paid_in_arrears(scenario)
    scenario.move_to("2026-02-01")
    give_back(scenario, FIRST, "3000")

    with pytest.raises(InputError) as refused:
        give_back(scenario, FIRST, *amounts)

    assert refused.value.details == {"amount_cents": [code]}
    assert len(told_notes(scenario)) == 1


@pytest.mark.parametrize("amounts", [(), ("0.2",)])
def test_issue_credit_note_over_nothing_is_refused(scenario: Scenario, amounts: tuple[str, ...]) -> None:
    """A note comes to at least one minor unit."""
    paid_in_arrears(scenario)
    scenario.move_to("2026-02-01")

    with pytest.raises(InputError) as refused:
        give_back(scenario, FIRST, *amounts)

    assert refused.value.details == {"base": ["total_amount_must_be_positive"]}


def test_credit_note_is_taken_by_the_next_invoices_until_it_is_consumed(scenario: Scenario) -> None:
    """120.00 given back of January: February takes all of it and is paid, the 30.00 of usage go into March."""
    paid_in_arrears(scenario)
    scenario.usage.send("acme-1", "calls", utc("2026-01-05"), times=250)
    scenario.move_to("2026-02-01")
    give_back(scenario, FIRST, "10000", "2500")
    scenario.move_to("2026-04-01")

    january, february, march = scenario.invoices()
    assert (january.total_amount_cents, january.credit_notes_amount_cents) == (15_000, 0)
    assert (february.credit_notes_amount_cents, february.total_amount_cents) == (12_000, 0)
    assert (february.payment_status, february.payment_overdue_at) == ("succeeded", None)
    assert (march.credit_notes_amount_cents, march.total_amount_cents) == (3_000, 9_000)
    assert march.payment_status == "pending"
    assert told_credits(scenario) == [
        f"MIL-0001-001-002 < {FIRST}-CN001: 12000",
        f"MIL-0001-001-003 < {FIRST}-CN001: 3000",
    ]
    assert told_notes(scenario) == [f"{FIRST}-CN001: 12500 + 2500 = 15000, 0 consumed"]


def test_credit_notes_are_taken_oldest_first(scenario: Scenario) -> None:
    """36.00 of the first and 24.00 of the second are taken whole, of the third what is missing to 120.00."""
    paid_in_arrears(scenario)
    scenario.move_to("2026-02-01")
    for day, amount in (("02", "3000"), ("03", "2000"), ("04", "5000")):
        scenario.move_to(f"2026-02-{day}")
        give_back(scenario, FIRST, amount)
    scenario.move_to("2026-03-01")

    assert told_credits(scenario) == [
        f"MIL-0001-001-002 < {FIRST}-CN001: 3600",
        f"MIL-0001-001-002 < {FIRST}-CN002: 2400",
        f"MIL-0001-001-002 < {FIRST}-CN003: 6000",
    ]


def test_credit_note_of_another_customer_or_currency_is_left_alone(scenario: Scenario) -> None:
    """Globex and a subscription in EUR owe what they owed."""
    paid_in_arrears(scenario)
    with scenario.catalog() as catalog:
        catalog.plan(code="europe", currency="EUR", amount_cents=500)
    scenario.subscribe(external_customer_id="globex", external_id="globex-1", plan_code="europe")
    scenario.subscribe(external_id="acme-eur", plan_code="europe")
    scenario.move_to("2026-02-01")
    dollars = next(invoice for invoice in scenario.invoices() if invoice.currency == "USD")
    give_back(scenario, str(dollars.number), "10000")
    scenario.move_to("2026-03-01")

    taken = {(each.customer_id, each.currency): each.credit_notes_amount_cents for each in scenario.invoices()[3:]}
    assert sorted(taken.values()) == [0, 0, 12_000]
    assert taken[dollars.customer_id, "USD"] == 12_000


def test_draft_shows_no_credit_until_it_is_final(scenario: Scenario) -> None:
    """With a grace period of three days the note is taken on 4 March, not on 1 March."""
    paid_in_arrears(scenario, invoice_grace_period=3)
    scenario.move_to("2026-02-05")
    give_back(scenario, FIRST, "1000")
    scenario.move_to("2026-03-02")
    draft = scenario.invoices()[1]
    assert (draft.status, draft.credit_notes_amount_cents, draft.total_amount_cents) == ("draft", 0, 12_000)

    finalize_draft(scenario.context, draft.id, at=scenario.clock.now())
    assert not finalize_draft(scenario.context, draft.id, at=scenario.clock.now())

    final = scenario.invoices()[1]
    assert (final.credit_notes_amount_cents, final.total_amount_cents) == (1_200, 10_800)
    assert told_credits(scenario) == [f"MIL-0001-001-002 < {FIRST}-CN001: 1200"]


def test_credit_note_over_a_draft_is_refused(scenario: Scenario) -> None:
    """A draft is changed, not given back."""
    paid_in_arrears(scenario, invoice_grace_period=3)
    scenario.move_to("2026-02-01")
    [draft] = scenario.invoices()
    draft.number = "draft"
    with transaction(scenario.context.sessions) as session:
        session.merge(draft)

    with pytest.raises(InputError) as refused:
        give_back(scenario, "draft", "100")

    assert refused.value.details == {"invoice_id": ["not_supported"]}


def test_balance_below_zero_is_refused_by_the_database(scenario: Scenario) -> None:
    """Whatever the code does, a note cannot be spent twice."""
    paid_in_arrears(scenario)
    scenario.move_to("2026-02-01")
    note = give_back(scenario, FIRST, "1000")

    with pytest.raises(IntegrityError), transaction(scenario.context.sessions) as session:
        session.get_one(CreditNote, note.id).balance_amount_cents = -1

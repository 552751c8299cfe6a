"""What ending a subscription paid in advance gives back. Amounts are worked out by hand."""

from typing import Any

import pytest

from invoicer.billing import period_closing
from invoicer.billing.draft_refresh import finalize_draft
from invoicer.billing.subscription_changes import terminate_plan_subscriptions
from invoicer.billing.subscription_input import TerminationCreditNote
from invoicer.db import Plan, Subscription
from invoicer.db.session import transaction
from invoicer.jobs.due_jobs import run_due
from tests.invoicer.billing.give_back import give_back, told_credits, told_notes
from tests.invoicer.billing.scenario import Scenario, utc

FIRST = "MIL-0001-001-001"


def paid_in_advance(scenario: Scenario, amount_cents: int = 5_000, **customer: Any) -> None:
    """A monthly plan in advance, and calls at 0.10, all at 20 %."""
    with scenario.catalog() as catalog:
        catalog.customer(**customer)
        plan = catalog.plan(amount_cents=amount_cents, pay_in_advance=True)
        plan.taxes = [catalog.tax("vat", "20")]
        catalog.charge(plan, catalog.metric("calls"))


@pytest.mark.parametrize(
    ("billing_time", "first_total", "note"),
    [
        ("calendar", 4_500, "3571 + 714 = 4285, 4285 available"),
        ("anniversary", 6_000, "4821 + 964 = 5785, 5785 available"),
    ],
)
def test_termination_on_the_first_day_credits_all_days_but_this_one(
    scenario: Scenario, billing_time: str, first_total: int, note: str
) -> None:
    """50.00 from 8 February 2027: 20 of 28 days to the end of the month, 27 of 28 by anniversary; 20 % tax."""
    paid_in_advance(scenario)
    scenario.move_to("2027-02-08")
    scenario.subscribe(billing_time=billing_time)
    scenario.terminate()
    scenario.move_to("2027-02-08T01:00")

    first, final = scenario.invoices()
    assert (first.total_amount_cents, final.total_amount_cents) == (first_total, 0)
    assert told_notes(scenario) == [f"{FIRST}-CN001: {note}"]


def test_termination_credit_is_taken_by_the_final_invoice(scenario: Scenario) -> None:
    """85.72 are given back of 100.00; the final invoice over 50.00 of calls and 10.00 tax takes 60.00."""
    paid_in_advance(scenario, amount_cents=10_000)
    scenario.move_to("2027-02-08")
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2027-02-08T00:00"), times=500)
    scenario.clock.move_to(utc("2027-02-08T01:00"))
    scenario.terminate()
    scenario.move_to("2027-02-08T02:00")

    _, final = scenario.invoices()
    assert (final.credit_notes_amount_cents, final.total_amount_cents) == (6_000, 0)
    assert final.payment_status == "succeeded"
    assert told_notes(scenario) == [f"{FIRST}-CN001: 7143 + 1429 = 8572, 2572 available"]


def test_termination_by_its_end_credits_in_the_step_that_ends_it(scenario: Scenario) -> None:
    """Ends on 25 February 2027 as agreed: 3 of 28 days of 60.00 are 6.43 and 1.29, taken by 10.00 of calls."""
    paid_in_advance(scenario, amount_cents=6_000)
    scenario.move_to("2027-02-01")
    scenario.subscribe(ending_at=utc("2027-02-25T10:00"))
    scenario.usage.send("acme-1", "calls", utc("2027-02-20"), times=100)
    scenario.move_to("2027-04-01")

    _, final = scenario.invoices()
    assert told_credits(scenario) == [f"MIL-0001-001-002 < {FIRST}-CN001: 772"]
    assert (final.billed_at, final.total_amount_cents) == (utc("2027-02-25T10:00"), 1_200 - 772)
    assert told_notes(scenario) == [f"{FIRST}-CN001: 643 + 129 = 772, 0 consumed"]


def test_crash_of_the_step_that_ends_a_subscription_leaves_no_credit(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written with the step is written again with the next run, once."""
    paid_in_advance(scenario, amount_cents=2_800)
    scenario.move_to("2027-02-01")
    scenario.subscribe(ending_at=utc("2027-02-25T10:00"))
    scenario.clock.move_to(utc("2027-02-25T10:00"))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(period_closing, "apply_step", crash)
        with pytest.raises(KeyboardInterrupt):
            run_due(scenario.context, scenario.clock.now())
    assert told_notes(scenario) == []
    run_due(scenario.context, scenario.clock.now())

    assert told_notes(scenario) == [f"{FIRST}-CN001: 300 + 60 = 360, 360 available"]
    assert [invoice.total_amount_cents for invoice in scenario.invoices()] == [3_360, 0]


def test_termination_that_skips_the_credit_gives_nothing_back(scenario: Scenario) -> None:
    """Neither does one that was told so before and is ended without another word."""
    paid_in_advance(scenario)
    scenario.subscribe()
    scenario.subscribe(external_id="acme-2")
    with transaction(scenario.context.sessions) as session:
        told_so = session.get_one(Subscription, scenario.subscription("acme-2").id)
        told_so.on_termination_credit_note = TerminationCreditNote.SKIP
    scenario.terminate(credit_note=TerminationCreditNote.SKIP)
    scenario.terminate("acme-2")
    scenario.move_to("2026-02-15")

    assert told_notes(scenario) == []


def test_termination_without_final_invoice_still_credits(scenario: Scenario) -> None:
    """31.00 a month ended on 10 January: 21 days are 21.00 and 4.20."""
    paid_in_advance(scenario, amount_cents=3_100)
    scenario.subscribe()
    scenario.move_to("2026-01-10T10:00")
    scenario.terminate(invoice="skip")
    scenario.move_to("2026-02-15")

    assert len(scenario.invoices()) == 1
    assert told_notes(scenario) == [f"{FIRST}-CN001: 2100 + 420 = 2520, 2520 available"]


def test_termination_of_all_subscriptions_of_a_plan_credits_each(scenario: Scenario) -> None:
    """A plan is deleted: 21 of 31 days of both."""
    paid_in_advance(scenario, amount_cents=3_100)
    scenario.subscribe()
    scenario.subscribe(external_id="acme-2")
    scenario.move_to("2026-01-10")
    with transaction(scenario.context.sessions) as session:
        plan = session.get_one(Plan, scenario.subscription().plan_id)
        terminate_plan_subscriptions(session, plan, scenario.clock.now())

    assert [line.split(": ")[1] for line in told_notes(scenario)] == ["2100 + 420 = 2520, 2520 available"] * 2


def test_termination_on_the_last_day_has_nothing_to_credit(scenario: Scenario) -> None:
    """The day of the end is used up, and on the 31st no other is left."""
    paid_in_advance(scenario)
    scenario.subscribe()
    scenario.move_to("2026-01-31T08:00")
    scenario.terminate()

    assert told_notes(scenario) == []


def test_termination_in_arrears_or_in_a_trial_has_nothing_to_credit(scenario: Scenario) -> None:
    """Nothing was paid for the days to come."""
    with scenario.catalog() as catalog:
        catalog.plan()
        catalog.plan(code="tried", pay_in_advance=True, trial_period=20)
    scenario.subscribe()
    scenario.subscribe(external_id="acme-2", plan_code="tried")
    scenario.move_to("2026-01-10")
    scenario.terminate()
    scenario.terminate("acme-2")
    scenario.move_to("2026-03-01")

    assert told_notes(scenario) == []


def test_termination_after_a_note_over_the_fee_credits_what_is_left(scenario: Scenario) -> None:
    """21.00 of 31.00 are unused, 15.00 were given back already: 6.00 and 1.20 are left."""
    paid_in_advance(scenario, amount_cents=3_100)
    scenario.subscribe()
    give_back(scenario, FIRST, "1500")
    scenario.move_to("2026-01-10")
    scenario.terminate()

    assert told_notes(scenario) == [
        f"{FIRST}-CN001: 1500 + 300 = 1800, 1800 available",
        f"{FIRST}-CN002: 600 + 120 = 720, 720 available",
    ]


def test_termination_on_a_raised_price_credits_the_price_that_was_billed(scenario: Scenario) -> None:
    """The plan went from 31.00 to 62.00 after it was billed: 21 days are worth 21.00."""
    paid_in_advance(scenario, amount_cents=3_100)
    scenario.subscribe()
    with transaction(scenario.context.sessions) as session:
        session.get_one(Plan, scenario.subscription().plan_id).amount_cents = 6_200
    scenario.move_to("2026-01-10")
    scenario.terminate()

    assert told_notes(scenario) == [f"{FIRST}-CN001: 2100 + 420 = 2520, 2520 available"]


def test_termination_while_the_invoice_is_a_draft_credits_when_it_is_final(scenario: Scenario) -> None:
    """Billed on 1 February with a grace period of five days, ended on the 3rd: 25 of 28 days, on the 6th."""
    paid_in_advance(scenario, amount_cents=2_800, invoice_grace_period=5)
    scenario.subscribe(subscription_at=utc("2026-01-01"))
    scenario.move_to("2026-02-03T09:00")
    scenario.terminate()
    assert told_notes(scenario) == []
    scenario.move_to("2026-03-20")

    lines = told_notes(scenario)
    assert [line.split(": ")[1] for line in lines] == ["2500 + 500 = 3000, 3000 available"]


def test_draft_made_final_twice_credits_an_ended_subscription_once(scenario: Scenario) -> None:
    """The second invoicer finds it final."""
    paid_in_advance(scenario, amount_cents=2_800, invoice_grace_period=5)
    scenario.subscribe(subscription_at=utc("2026-01-01"))
    scenario.move_to("2026-02-03T09:00")
    scenario.terminate()
    draft = next(each for each in scenario.invoices() if each.fees and each.status == "draft")

    made_final = [finalize_draft(scenario.context, draft.id, at=scenario.clock.now()) for _ in range(2)]

    assert made_final == [True, False]
    assert len(told_notes(scenario)) == 1


def test_termination_before_the_due_invoice_in_advance_credits_when_it_is_made(scenario: Scenario) -> None:
    """The scheduler slept over 1 February: February is billed as of that day, and 27 of 28 days given back."""
    paid_in_advance(scenario, amount_cents=2_800)
    scenario.subscribe()
    scenario.clock.move_to(utc("2026-02-01T00:15"))
    scenario.terminate()
    assert told_notes(scenario) == []
    scenario.move_to("2026-02-01T00:16")

    assert told_notes(scenario) == ["MIL-0001-001-002-CN001: 2700 + 540 = 3240, 3240 available"]


def test_termination_counts_days_of_the_customer(scenario: Scenario) -> None:
    """In New York it is still 9 January when it is 3 o'clock of the 10th in UTC: 22 of 31 days."""
    paid_in_advance(scenario, amount_cents=3_100, timezone="America/New_York")
    scenario.subscribe(subscription_at=utc("2026-01-01T12:00"))
    scenario.move_to("2026-01-10T03:00")
    scenario.terminate()

    [line] = told_notes(scenario)
    assert line == f"{FIRST}-CN001: 2200 + 440 = 2640, 2640 available"

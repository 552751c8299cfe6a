"""A period whose events are stored twice is not billed before it is repaired."""

import pytest

from invoicer.jobs.due_jobs import run_due
from schemas.errors import InvariantViolation, TransientError
from schemas.reconciliation import AuditScope
from tests.invoicer.billing.scenario import Scenario, utc
from tests.invoicer.fakes import FakeAuditor

EXPECTED = ["MIL-0001-001-001 2026-02-01: subscription=12000 charge=100 | 0 | 12100"]


def billed_calls(scenario: Scenario, *, grace_days: int = 0) -> None:
    """Ten calls used in January; the clock passes 1 February unobserved."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
        catalog.customer(invoice_grace_period=grace_days)
    scenario.subscribe(subscription_at="2026-01-01T00:00:00Z")
    scenario.usage.send("acme-1", "calls", utc("2026-01-20"), times=10)
    scenario.clock.move_to(utc("2026-02-03"))


def test_period_with_duplicates_is_repaired_and_then_billed(scenario: Scenario, auditor: FakeAuditor) -> None:
    """Ten calls stored twice are twenty before the repair and ten on the invoice."""
    billed_calls(scenario)
    scenario.usage.sent.extend(scenario.usage.sent[:])

    def repair(_scope: AuditScope) -> None:
        del scenario.usage.sent[10:]

    auditor.repair = repair
    run_due(scenario.context, utc("2026-02-03"))
    assert scenario.told() == EXPECTED
    [scope] = auditor.scopes
    assert scope.external_subscription_id == "acme-1"
    assert (scope.period.start, scope.period.end) == (utc("2026-01-01"), utc("2026-02-01"))


def test_period_that_somebody_else_repairs_stays_due(scenario: Scenario, auditor: FakeAuditor) -> None:
    """Nothing is written until the auditor can say that all is well; then the same invoice is made."""
    billed_calls(scenario)
    auditor.error = TransientError("reconciler", "another process repairs")
    with pytest.raises(TransientError):
        run_due(scenario.context, utc("2026-02-03"))
    assert scenario.invoices() == []
    auditor.error = None
    run_due(scenario.context, utc("2026-02-03"))
    assert scenario.told() == EXPECTED


def test_period_that_cannot_be_repaired_parks_its_subscription(scenario: Scenario, auditor: FakeAuditor) -> None:
    """Better no invoice than a wrong one: it waits for somebody, and says why."""
    billed_calls(scenario)
    auditor.error = InvariantViolation("events are stored twice and cannot be repaired")
    run_due(scenario.context, utc("2026-02-03"))
    assert scenario.invoices() == []
    assert scenario.subscription().parked_reason == "events are stored twice and cannot be repaired"


def test_draft_is_proven_again_before_it_is_final(scenario: Scenario, auditor: FakeAuditor) -> None:
    """A twin that landed in the days of grace is removed before the final amounts are read."""
    billed_calls(scenario, grace_days=2)
    run_due(scenario.context, utc("2026-02-02"))
    assert [invoice.status for invoice in scenario.invoices()] == ["draft"]
    scenario.usage.sent.extend(scenario.usage.sent[:])
    auditor.repair = lambda _scope: scenario.usage.sent.__delitem__(slice(10, None))
    run_due(scenario.context, utc("2026-02-03"))
    assert [invoice.fees_amount_cents for invoice in scenario.invoices()] == [12_100]
    assert [invoice.status for invoice in scenario.invoices()] == ["finalized"]


def test_draft_that_cannot_be_repaired_stays_a_draft(scenario: Scenario, auditor: FakeAuditor) -> None:
    """It is held until somebody has looked at it."""
    billed_calls(scenario, grace_days=2)
    run_due(scenario.context, utc("2026-02-02"))
    auditor.error = InvariantViolation("events are stored twice and cannot be repaired")
    run_due(scenario.context, utc("2026-02-03"))
    [invoice] = scenario.invoices()
    assert (invoice.status, invoice.expected_finalization_at) == ("draft", None)

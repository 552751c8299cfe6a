"""A plan that is deleted: what its subscriptions used before is billed as it was measured."""

import pytest
from sqlalchemy import select

from invoicer.billing.subscription_changes import terminate_plan_subscriptions
from invoicer.catalog.metric_input import MetricChanges
from invoicer.catalog.metrics import find_metric, update_metric
from invoicer.catalog.plans import delete_plan
from invoicer.db import Plan
from invoicer.db.session import transaction
from tests.invoicer.billing.scenario import Scenario, utc


def delete_team(scenario: Scenario) -> None:
    """Delete the plan team, as the API does."""
    with transaction(scenario.context.sessions) as session:
        plan = session.scalars(select(Plan).where(Plan.code == "team")).one()
        terminate_plan_subscriptions(session, plan, scenario.clock.now())
        delete_plan(session, plan, scenario.clock.now())


def measure_calls_by_value(scenario: Scenario) -> None:
    """Ask for calls to be summed by value instead of being counted."""
    with transaction(scenario.context.sessions) as session:
        metric = find_metric(session, scenario.organization.id, "calls")
        changes = MetricChanges.model_validate({"aggregation_type": "sum_agg", "field_name": "value"})
        update_metric(session, metric, changes, scenario.clock.now())


@pytest.mark.parametrize("grace_days", [0, 3])
def test_metric_keeps_its_measure_until_a_deleted_plan_is_billed(scenario: Scenario, grace_days: int) -> None:
    """Ten calls at 0.10 are 1.00, be it on the final invoice to come or on a draft; as a sum of fives, 5.00."""
    with scenario.catalog() as catalog:
        catalog.customer(invoice_grace_period=grace_days)
        catalog.charge(catalog.plan(amount_cents=0), catalog.metric("calls"))
    scenario.subscribe()
    scenario.usage.send("acme-1", "calls", utc("2026-01-10"), 5, times=10)
    scenario.move_to("2026-01-20")
    delete_team(scenario)
    if grace_days:
        scenario.move_to("2026-01-21")
    measure_calls_by_value(scenario)
    scenario.move_to("2026-01-25")
    assert [fee.amount_cents for invoice in scenario.invoices() for fee in invoice.fees] == [0, 100]
    measure_calls_by_value(scenario)
    with transaction(scenario.context.sessions, reads_only=True) as session:
        assert find_metric(session, scenario.organization.id, "calls").aggregation_type == "sum_agg"

"""One story on PostgreSQL, where locks, decimals and JSON are another database's."""

from dataclasses import replace
from decimal import Decimal

import pytest

from invoicer.db import Base
from invoicer.db.session import open_engine, session_factory
from tests.invoicer.billing.give_back import told_notes
from tests.invoicer.billing.make_catalog import make_organization_row
from tests.invoicer.billing.scenario import Scenario, utc


@pytest.mark.cluster
def test_story_on_postgresql_is_billed_as_on_sqlite(scenario: Scenario, database_url: str) -> None:
    """In advance, usage by group, a draft that is refreshed, a termination, an overdue mark, 12.5 % tax."""
    engine = open_engine(database_url)
    Base.metadata.create_all(engine)
    context = replace(scenario.context, sessions=session_factory(engine))
    story = replace(scenario, context=context, organization=make_organization_row(context))
    with story.catalog() as catalog:
        plan = catalog.plan(pay_in_advance=True, trial_period=Decimal("1.5"))
        plan.taxes = [catalog.tax("sales", "12.5")]
        properties = {"amount": "0.123456789", "pricing_group_keys": ["team"]}
        catalog.charge(plan, catalog.metric("calls"), properties=properties, min_amount_cents=500)
        catalog.customer(invoice_grace_period=2)
    story.subscribe()
    story.usage.send("acme-1", "calls", utc("2026-01-20"), times=7, team="red")
    story.move_to("2026-02-01")
    story.usage.send("acme-1", "calls", utc("2026-01-21"), times=1)
    story.move_to("2026-02-10T12:00")
    story.terminate()
    story.move_to("2026-03-01")
    assert story.told() == [
        # The trial ends as 3 January begins: 29 of 31 days of 120.00 are 112.26, taxed 14.03.
        "MIL-0001-001-001 2026-01-05: subscription=11226 | 1403 | 12629",
        # 7 calls and 1 call, 86 and 12; the minimum of 5.00 for all 31 days lacks 402; with the plan 125.00.
        "MIL-0001-001-002 2026-02-03: subscription=12000 charge=86 charge=12 charge=402 | 1563 | 14063",
        # 10 of 28 days of the minimum, 2.01, taken from what the termination gave back.
        "MIL-0001-001-003 2026-02-12: charge=0 charge=179 | 22 | 0",
    ]
    # 18 of 28 days of 120.00 are 77.14, taxed 9.64 (86.79 at once).
    assert told_notes(story) == ["MIL-0001-001-002-CN001: 7714 + 964 = 8678, 8477 available"]
    assert [invoice.payment_overdue for invoice in story.invoices()] == [True, True, False]
    assert story.invoices()[1].fees[1].precise_unit_amount == Decimal("0.123456789")
    engine.dispose()

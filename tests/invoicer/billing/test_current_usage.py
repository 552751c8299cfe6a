"""Current usage and the next invoice are one calculation over two ranges of time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from invoicer.billing.billing_facts import load_account, load_facts, select_subscriptions
from invoicer.billing.current_usage import PeriodUsage, UsageSelection, read_current_usage
from invoicer.db import Subscription
from invoicer.db.session import transaction
from tests.invoicer.billing.make_catalog import Catalog
from tests.invoicer.billing.scenario import Scenario, utc

TIERS = [
    {"from_value": 0, "to_value": 40, "per_unit_amount": "1.5", "flat_amount": "2"},
    {"from_value": 41, "to_value": None, "per_unit_amount": "0.75", "flat_amount": "1"},
]


@dataclass(frozen=True)
class Kind:
    """A way of charging: a metric and a charge on it, and the range of its values."""

    aggregation: str
    model: str
    properties: dict[str, Any]
    metric: dict[str, Any]
    charge: dict[str, Any]
    values: tuple[int, int] = (1, 9)


KINDS = {
    "count by filter and group": Kind(
        "count_agg",
        "standard",
        {"amount": "0.3", "pricing_group_keys": ["team"]},
        {"filters": {"zone": ["eu", "us"]}},
        {"filters": [({"zone": ["eu"]}, {"amount": "0.7"})]},
    ),
    "graduated sum": Kind("sum_agg", "graduated", {"graduated_ranges": TIERS}, {}, {}),
    "volume maximum": Kind("max_agg", "volume", {"volume_ranges": TIERS}, {}, {}),
    "package of the latest": Kind(
        "latest_agg", "package", {"amount": "3", "package_size": 2, "free_units": 1}, {}, {}
    ),
    "unique with removals": Kind("unique_count_agg", "standard", {"amount": "2"}, {}, {}, (-1, 1)),
    "recurring sum": Kind("sum_agg", "standard", {"amount": "2"}, {"recurring": True}, {}, (-2, 5)),
    "prorated sum": Kind(
        "sum_agg", "graduated", {"graduated_ranges": TIERS}, {"recurring": True}, {"prorated": True}, (1, 5)
    ),
    "prorated unique": Kind(
        "unique_count_agg", "standard", {"amount": "31"}, {"recurring": True}, {"prorated": True}, (-1, 1)
    ),
    "weighted storage": Kind(
        "weighted_sum_agg",
        "standard",
        {"amount": "0.1"},
        {"recurring": True, "weighted_interval": "seconds"},
        {},
    ),
    "percentage with free units": Kind(
        "sum_agg",
        "percentage",
        {"rate": "2.5", "fixed_amount": "0.1", "free_units_per_total_aggregation": "12"},
        {},
        {},
    ),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_current_usage_just_before_the_end_is_what_the_invoice_says(scenario: Scenario, kind: Kind) -> None:
    """Second month of a customer in New York: every line of the usage is a fee of the same units and amount."""
    with scenario.catalog() as catalog:
        add_charge(catalog, kind)
    scenario.subscribe(billing_time="anniversary")
    send_random_events(scenario, kind)
    end = utc("2026-03-01T05:00")
    scenario.move_to("2026-02-10")
    scenario.clock.move_to(end - timedelta(microseconds=1))
    usage = read_usage_now(scenario)
    scenario.move_to("2026-03-01T05:00")
    fees = [fee for fee in scenario.invoices()[-1].fees if fee.fee_type == "charge"]
    shown = [
        (line.grouped_by, line.units, line.events_count, line.amount_cents)
        for line in usage.charges[0].lines
        if line.units or line.amount_cents or line.events_count
    ]
    assert shown == [(fee.grouped_by, fee.units, fee.events_count, fee.amount_cents) for fee in fees]
    assert shown
    assert usage.amount_cents == sum(fee.amount_cents for fee in fees)


def add_charge(catalog: Catalog, kind: Kind) -> None:
    """A customer in New York and the plan team with the one charge."""
    catalog.customer(timezone="America/New_York")
    metric = catalog.metric("used", kind.aggregation, **kind.metric)
    catalog.charge(catalog.plan(), metric, kind.model, properties=kind.properties, **kind.charge)


def send_random_events(scenario: Scenario, kind: Kind) -> None:
    """Sixty events over the first two months, of few identities, zones and teams."""
    chance = Random(7)
    choose: Callable[[list[str]], str] = chance.choice
    for minute in sorted(chance.randrange(58 * 24 * 60) for _ in range(60)):
        lowest, highest = kind.values
        value = chance.choice([each for each in range(lowest, highest + 1) if each])
        at = utc("2026-01-02") + timedelta(minutes=minute)
        scenario.usage.send(
            "acme-1",
            "used",
            at,
            value,
            identity=choose(["ann", "bob", "cy"]),
            zone=choose(["eu", "us", "asia"]),
            team=choose(["red", "blue", ""]),
        )


def read_usage_now(scenario: Scenario) -> PeriodUsage:
    """The current usage of acme-1."""
    context = scenario.context
    with transaction(context.sessions, reads_only=True) as session:
        found = select_subscriptions().where(Subscription.external_id == "acme-1")
        subscription = session.scalars(found).unique().one()
        account = load_account(session, subscription.customer_id)
        [facts] = load_facts(session, [subscription])
    return read_current_usage(context.usage, account, facts, UsageSelection(), context.clock.now())

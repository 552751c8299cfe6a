"""What is due next with a subscription, read off its row."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from invoicer.billing.due_steps import DueStep, StepKind, next_step, subscription_terms
from invoicer.billing.lifecycle import apply_step, terminate
from invoicer.db import Plan, Subscription
from tests.invoicer.billing.scenario import utc

START = utc("2026-01-10T09:00")


def make_subscription(status: str = "active", trial: str | None = None, **changes: Any) -> Subscription:
    """A calendar subscription to a monthly plan, started on 10 January at 09:00."""
    is_started = status != "pending"
    values: dict[str, Any] = {
        "status": status,
        "billing_time": "calendar",
        "subscription_at": START,
        "started_at": START if is_started else None,
        "activated_at": START if is_started else None,
        "billed_until": START if is_started else None,
        "on_termination_invoice": "generate",
        "plan": Plan(
            interval="monthly",
            pay_in_advance=False,
            bill_charges_monthly=None,
            trial_period=None if trial is None else Decimal(trial),
        ),
    }
    return Subscription(**(values | changes))


def step_of(subscription: Subscription, zone: str = "UTC") -> DueStep | None:
    """The step due next, days being days of `zone`."""
    return next_step(
        subscription, subscription_terms(subscription, trial_started_at=None, timezone=ZoneInfo(zone))
    )


@pytest.mark.parametrize(
    ("changes", "zone", "kind", "at"),
    [
        ({"status": "pending"}, "UTC", StepKind.ACTIVATE, utc("2026-01-10")),
        ({"status": "pending"}, "Asia/Tokyo", StepKind.ACTIVATE, utc("2026-01-09T15:00")),
        ({}, "UTC", StepKind.BILL, utc("2026-02-01")),
        ({}, "America/New_York", StepKind.BILL, utc("2026-02-01T05:00")),
        ({"billed_until": utc("2026-02-01")}, "UTC", StepKind.BILL, utc("2026-03-01")),
        ({"billed_until": utc("2026-02-01")}, "America/New_York", StepKind.BILL, utc("2026-03-01T05:00")),
        ({"trial": "3"}, "UTC", StepKind.END_TRIAL, utc("2026-01-13")),
        ({"trial": "22"}, "UTC", StepKind.BILL, utc("2026-02-01")),
        ({"trial": "3", "trial_ended_at": utc("2026-01-13T09:00")}, "UTC", StepKind.BILL, utc("2026-02-01")),
        ({"ending_at": utc("2026-01-20T10:00")}, "UTC", StepKind.END, utc("2026-01-20T10:00")),
        ({"ending_at": utc("2026-02-01")}, "UTC", StepKind.END, utc("2026-02-01")),
        ({"ending_at": utc("2026-02-01T10:00")}, "UTC", StepKind.BILL, utc("2026-02-01")),
    ],
)
def test_next_step_is_the_earliest_thing_due(
    changes: dict[str, Any], zone: str, kind: StepKind, at: datetime
) -> None:
    """Starts and trials fall on local days; an end at the billing instant bills the period itself."""
    assert step_of(make_subscription(**changes), zone) == DueStep(kind, at)


@pytest.mark.parametrize("status", ["terminated", "canceled"])
def test_next_step_of_what_is_over_is_none(status: str) -> None:
    """A terminated subscription that is not due is closed."""
    assert step_of(make_subscription(status, terminated_at=utc("2026-01-20"), due_at=None)) is None


def test_terminated_subscription_serves_its_billing_days_before_it_closes() -> None:
    """Ended on 2 March with two months unserved: February's day, March's day, then the end."""
    subscription = make_subscription()
    terms = subscription_terms(subscription, trial_started_at=None, timezone=ZoneInfo("UTC"))
    terminate(subscription, terms, at=utc("2026-03-02"), now=utc("2026-03-02"))
    steps = []
    while (step := step_of(subscription)) is not None:
        steps.append(step)
        apply_step(subscription, terms, step, utc("2026-03-02"))
    assert steps == [
        DueStep(StepKind.BILL, utc("2026-02-01")),
        DueStep(StepKind.BILL, utc("2026-03-01")),
        DueStep(StepKind.CLOSE, utc("2026-03-02")),
    ]
    assert subscription.due_at is None


def test_subscription_ended_before_its_hour_of_start_ends_as_it_starts() -> None:
    """Active since midnight, started at 09:00, ended at 08:00: no time at all was used."""
    subscription = make_subscription()
    terms = subscription_terms(subscription, trial_started_at=None, timezone=ZoneInfo("UTC"))
    terminate(subscription, terms, at=utc("2026-01-10T08:00"), now=utc("2026-01-10T08:00"))
    assert (subscription.terminated_at, subscription.due_at) == (START, START)

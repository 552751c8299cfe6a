"""Figures observed in Lago, one boundary or one amount at a time."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from invoicer.billing.billing_days import interval_before
from invoicer.billing.local_days import day_start, local_day
from invoicer.billing.periods import (
    charges_duration_days,
    charges_period,
    interval_in_progress,
    subscription_duration_days,
    subscription_period,
)
from invoicer.billing.proration import subscription_fee, unused_fee
from invoicer.billing.subscription_terms import SubscriptionTerms
from schemas.time_text import iso_seconds
from tests.invoicer.billing.make_terms import at, terms_from, vectors


def _previous_beginning(terms: SubscriptionTerms, billing_at: datetime, current: bool) -> datetime:
    if current:
        return interval_in_progress(terms, billing_at).start
    first, _ = interval_before(terms, local_day(billing_at, terms.timezone))
    return day_start(first, terms.timezone)


_SHOWN: Mapping[str, Callable[[SubscriptionTerms, datetime, bool], object]] = {
    "from_datetime": lambda terms, on, now: iso_seconds(subscription_period(terms, on, current=now).start),
    "to_datetime": lambda terms, on, now: iso_seconds(subscription_period(terms, on, current=now).display_end),
    "charges_from_datetime": lambda terms, on, now: iso_seconds(charges_period(terms, on, current=now).start),
    "next_end_of_period": lambda terms, on, _: iso_seconds(interval_in_progress(terms, on).display_end),
    "previous_beginning_of_period": lambda terms, on, now: iso_seconds(_previous_beginning(terms, on, now)),
    "period_duration_days": lambda terms, on, now: subscription_duration_days(terms, on, current=now),
    "charges_duration_in_days": lambda terms, on, now: charges_duration_days(terms, on, current=now),
}


@pytest.mark.parametrize("vector", vectors("periods.json"))
def test_period_vector_gives_the_observed_boundary(vector: dict[str, Any]) -> None:
    """Boundaries of periods are those Lago shows."""
    given = vector["input"]
    current = given.get("current_usage", False) or given.get("current_period", False)
    shown = {
        name: _SHOWN[name](terms_from(given), at(given["billing_at"]), current) for name in vector["expected"]
    }
    assert shown == vector["expected"]


@pytest.mark.parametrize("vector", vectors("subscription_fees.json"))
def test_subscription_fee_vector_gives_the_observed_amount(vector: dict[str, Any]) -> None:
    """Days billed, days of the interval and cents are those Lago bills."""
    terms, expected = terms_from(vector["terms"]), vector["expected"]
    period = subscription_period(
        terms, at(vector["billing_at"]), periodic_invoice_issued=vector.get("periodic_invoice_issued", False)
    )
    fee = subscription_fee(
        terms,
        vector["plan_amount_cents"],
        period,
        has_previous_subscription=vector.get("has_previous_subscription", False),
        ended_by_upgrade=vector.get("ended_by_upgrade", False),
    )
    assert (fee.amount_cents, fee.days, fee.period_days) == (
        expected["amount_cents"],
        expected["days"],
        expected["period_days"],
    )
    if "precise_amount_cents" in expected:
        # The observed figures went through binary floats: they hold to 13 decimals.
        assert abs(fee.precise_amount_cents - Decimal(expected["precise_amount_cents"])) < Decimal("1e-13")


@pytest.mark.parametrize("vector", vectors("unused_fees.json"))
def test_unused_fee_vector_gives_the_observed_credit(vector: dict[str, Any]) -> None:
    """What a termination gives back of a fee paid in advance is what Lago credits, before tax."""
    terms = terms_from(vector["terms"])
    assert terms.terminated_at is not None
    credit = unused_fee(
        terms,
        vector["plan_amount_cents"],
        terms.terminated_at,
        ended_by_upgrade=vector.get("ended_by_upgrade", False),
        fee_amount_cents=vector["fee_amount_cents"],
        credited_cents=0,
    )
    assert {
        "amount_cents": credit.amount_cents,
        "days": credit.days,
        "period_days": credit.period_days,
    } == vector["expected"]

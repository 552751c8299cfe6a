"""Subscription terms and vectors for the tests of billing periods."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from invoicer.billing.subscription_terms import BillingTime, Interval, SubscriptionTerms

SUBSCRIBED_AT = datetime(2021, 2, 2, tzinfo=UTC)


def at(text: str) -> datetime:
    """An aware instant from ISO text."""
    return datetime.fromisoformat(text)


def make_terms(**changes: Any) -> SubscriptionTerms:
    """A monthly calendar plan in arrears, running in UTC since 2 February 2021."""
    terms = SubscriptionTerms(
        interval=Interval.monthly,
        billing_time=BillingTime.calendar,
        pay_in_advance=False,
        bill_charges_monthly=False,
        subscription_at=SUBSCRIBED_AT,
        started_at=SUBSCRIBED_AT,
        terminated_at=None,
        timezone=ZoneInfo("UTC"),
    )
    return replace(terms, **changes)


def terms_from(fields: Mapping[str, Any]) -> SubscriptionTerms:
    """Terms from a vector's text fields; a start and an anchor that is not given is the other of the two."""
    subscription_at = at(fields.get("subscription_at") or fields["started_at"])
    terminated_at = fields.get("terminated_at")
    return SubscriptionTerms(
        interval=Interval(fields["interval"]),
        billing_time=BillingTime(fields["billing_time"]),
        pay_in_advance=fields["pay_in_advance"],
        bill_charges_monthly=fields.get("bill_charges_monthly", False),
        subscription_at=subscription_at,
        started_at=at(fields["started_at"]) if "started_at" in fields else subscription_at,
        terminated_at=at(terminated_at) if terminated_at else None,
        timezone=ZoneInfo(fields.get("timezone", "UTC")),
        trial_period_days=Decimal(fields.get("trial_period_days", 0)),
    )


def vectors(file_name: str) -> list[Any]:
    """The rows of a vector file as named pytest parameters."""
    rows = json.loads((Path(__file__).parent / "vectors" / file_name).read_text("utf-8"))
    return [pytest.param(row, id=row["name"]) for row in rows]

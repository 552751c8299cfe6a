"""What of a subscription and its plan decides when and for which time it is billed."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from invoicer.billing.local_days import local_day


class Interval(StrEnum):
    """How often a plan's fee is due."""

    weekly = "weekly"
    monthly = "monthly"
    quarterly = "quarterly"
    semiannual = "semiannual"
    yearly = "yearly"


class BillingTime(StrEnum):
    """Where intervals begin: with the calendar, or on anniversaries of `subscription_at`."""

    calendar = "calendar"
    anniversary = "anniversary"


MONTHLY_CHARGE_INTERVALS = frozenset({Interval.yearly, Interval.semiannual})
"""Intervals long enough that a plan may bill its usage charges every month."""


@dataclass(frozen=True)
class SubscriptionTerms:
    """The billing terms of one subscription.

    `subscription_at`   anchor of anniversaries; an upgraded subscription inherits it from the one before.
    `started_at`        first instant of this very subscription.
    `terminated_at`     first instant no longer part of it; None while it runs.
    `timezone`          the customer's applicable timezone.
    `trial_started_at`  first start among the customer's subscriptions with this external id; None means
                        `started_at`.

    Raises: ValueError for a naive instant, a termination before the start, a negative trial.
    Source: Lago billing periods, vocabulary.
    """

    interval: Interval
    billing_time: BillingTime
    pay_in_advance: bool
    bill_charges_monthly: bool
    subscription_at: datetime
    started_at: datetime
    terminated_at: datetime | None
    timezone: ZoneInfo
    trial_period_days: Decimal = Decimal(0)
    trial_started_at: datetime | None = None

    def __post_init__(self) -> None:
        for instant in (self.subscription_at, self.started_at, self.terminated_at, self.trial_started_at):
            if instant is not None and instant.tzinfo is None:
                raise ValueError(f"naive instant {instant} in subscription terms")
        if self.terminated_at is not None and self.terminated_at < self.started_at:
            raise ValueError(f"terminated at {self.terminated_at}, before the start at {self.started_at}")
        if self.trial_period_days < 0:
            raise ValueError(f"a trial of {self.trial_period_days} days")

    @property
    def charges_interval(self) -> Interval:
        """The interval of usage charges: the plan's own, or a month where charges are billed monthly."""
        if self.bill_charges_monthly and self.interval in MONTHLY_CHARGE_INTERVALS:
            return Interval.monthly
        return self.interval

    @property
    def started_on(self) -> date:
        """The local day of the start."""
        return local_day(self.started_at, self.timezone)

    def ended_at(self, billing_at: datetime) -> datetime | None:
        """When the subscription ended, as far as a billing run at `billing_at` is concerned."""
        if self.terminated_at is None or self.terminated_at > billing_at:
            return None
        return self.terminated_at

"""Trials, and which invoices carry the subscription fee."""

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from invoicer.billing.fee_timing import bills_subscription_fee
from invoicer.billing.subscription_terms import BillingTime, Interval
from invoicer.billing.trial import is_in_trial, trial_end
from tests.invoicer.billing.make_terms import at, make_terms

YEARLY = {"interval": Interval.yearly, "bill_charges_monthly": True}
ADVANCE = {"pay_in_advance": True}


def test_trial_without_days_never_ends_nor_lasts() -> None:
    """A plan without a trial is billed from its first instant."""
    assert trial_end(make_terms()) is None
    assert not is_in_trial(make_terms(), at("2021-02-02T00:00:00Z"))


@pytest.mark.parametrize(
    ("days", "trial_started_at", "ends"),
    [
        ("10", None, "2024-03-15T12:12:00Z"),
        ("0.5", None, "2024-03-06T00:12:00Z"),
        ("10", "2024-03-01T00:00:00Z", "2024-03-11T00:00:00Z"),
    ],
)
def test_trial_ends_its_days_after_the_first_start(days: str, trial_started_at: str | None, ends: str) -> None:
    """The trial counts 24-hour days from the first start under the external id."""
    terms = make_terms(
        started_at=at("2024-03-05T12:12:00Z"),
        trial_period_days=Decimal(days),
        trial_started_at=at(trial_started_at) if trial_started_at else None,
    )
    assert trial_end(terms) == at(ends)


@pytest.mark.parametrize(
    ("moment", "in_trial"),
    [("2024-03-15T03:59:59Z", True), ("2024-03-15T04:00:00Z", False), ("2024-03-16T00:00:00Z", False)],
)
def test_trial_is_over_from_the_local_midnight_of_its_last_day(moment: str, in_trial: bool) -> None:
    """An hourly run at any hour of the trial's last day finds the trial ended."""
    terms = make_terms(
        timezone=ZoneInfo("America/New_York"),
        started_at=at("2024-03-05T12:12:00Z"),
        trial_period_days=Decimal(10),
    )
    assert is_in_trial(terms, at(moment)) is in_trial


@pytest.mark.parametrize(
    ("changes", "billing_at", "fee_already_billed", "bills"),
    [
        ({}, "2022-03-01", True, True),
        ({"interval": Interval.quarterly, "bill_charges_monthly": True}, "2022-04-01", True, True),
        (YEARLY, "2022-03-01", False, False),
        (YEARLY, "2022-01-01", False, True),
        (YEARLY | {"interval": Interval.semiannual}, "2022-07-01", True, True),
        (YEARLY | {"interval": Interval.semiannual}, "2022-08-01", True, False),
        (YEARLY | {"billing_time": BillingTime.anniversary}, "2022-02-02", False, True),
        (YEARLY | {"billing_time": BillingTime.anniversary}, "2022-03-02", True, False),
        (YEARLY | ADVANCE, "2022-01-01", True, True),
        (YEARLY | ADVANCE, "2022-02-01", True, False),
        (YEARLY | ADVANCE, "2021-02-02", False, True),
        (YEARLY | ADVANCE, "2021-05-17", False, True),
    ],
)
def test_subscription_fee_is_billed_in_the_first_month_of_the_plan_interval(
    changes: dict[str, Any], billing_at: str, fee_already_billed: bool, bills: bool
) -> None:
    """Monthly invoices of a long plan carry the fee once an interval; in advance also when none was billed yet."""
    terms = make_terms(**changes)
    assert (
        bills_subscription_fee(
            terms,
            at(f"{billing_at}T00:00:00Z"),
            created_at=terms.started_at,
            fee_already_billed=fee_already_billed,
        )
        is bills
    )


@pytest.mark.parametrize(
    ("advance", "billing_at", "bills"),
    [
        (True, "2022-04-01", False),
        (True, "2023-01-01", True),
        (False, "2022-04-01", False),
        (False, "2023-01-01", True),
    ],
)
def test_subscription_fee_of_a_backdated_year_is_not_made_up_for(
    advance: bool, billing_at: str, bills: bool
) -> None:
    """Entered in March 2022 with a start in February 2021: no fee before the next interval begins."""
    terms = make_terms(**YEARLY, pay_in_advance=advance)
    billed = bills_subscription_fee(
        terms,
        at(f"{billing_at}T00:00:00Z"),
        created_at=at("2022-03-15T09:00:00Z"),
        fee_already_billed=False,
    )
    assert billed is bills


def test_subscription_fee_in_arrears_of_a_year_entered_after_its_end_is_not_billed() -> None:
    """Entered on the billing day itself: the year that had passed by then stays unbilled."""
    billed = bills_subscription_fee(
        make_terms(**YEARLY),
        at("2022-01-01T10:00:00Z"),
        created_at=at("2022-01-01T09:00:00Z"),
        fee_already_billed=False,
    )
    assert not billed


@pytest.mark.parametrize(("advance", "bills"), [(False, True), (True, False)])
@pytest.mark.parametrize("interval", list(Interval))
def test_subscription_fee_at_termination_is_billed_in_arrears_only(
    interval: Interval, advance: bool, bills: bool
) -> None:
    """What was paid ahead is not billed again when the subscription ends."""
    terms = make_terms(
        interval=interval,
        bill_charges_monthly=True,
        pay_in_advance=advance,
        terminated_at=at("2022-05-17T10:00:00Z"),
    )
    billed = bills_subscription_fee(
        terms, at("2022-05-17T10:00:00Z"), created_at=terms.started_at, fee_already_billed=True
    )
    assert billed is bills


@pytest.mark.parametrize(
    ("billing_at", "bills"),
    [("2024-03-05T12:12:00Z", False), ("2024-04-01T00:00:00Z", False), ("2024-04-19T00:30:00Z", True)],
)
@pytest.mark.parametrize("advance", [False, True])
def test_subscription_fee_is_not_billed_before_the_trial_ends(advance: bool, billing_at: str, bills: bool) -> None:
    """45 days from 5 March: neither the start nor 1 April carries the fee, 19 April does."""
    terms = make_terms(
        pay_in_advance=advance, started_at=at("2024-03-05T12:12:00Z"), trial_period_days=Decimal(45)
    )
    billed = bills_subscription_fee(terms, at(billing_at), created_at=terms.started_at, fee_already_billed=False)
    assert billed is bills

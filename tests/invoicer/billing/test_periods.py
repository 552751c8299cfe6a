"""Periods of subscription fees and of usage charges."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from invoicer.billing.periods import (
    Period,
    PeriodEnd,
    charges_duration_days,
    charges_period,
    interval_in_progress,
    subscription_duration_days,
    subscription_period,
)
from invoicer.billing.subscription_terms import BillingTime, Interval
from schemas.period import TimeRange
from tests.invoicer.billing.make_terms import at, make_terms

NEW_YORK = ZoneInfo("America/New_York")
PARIS = ZoneInfo("Europe/Paris")


def whole_days(start: str, end: str) -> Period:
    return Period(at(start), at(end))


def until(start: str, end: str) -> Period:
    return Period(at(start), at(end), PeriodEnd.instant)


@pytest.mark.parametrize(
    ("changes", "fee", "charges"),
    [
        ({}, ("2022-03-01", "2022-04-01"), ("2022-03-01", "2022-04-01")),
        ({"pay_in_advance": True}, ("2022-04-01", "2022-05-01"), ("2022-03-01", "2022-04-01")),
        ({"interval": Interval.quarterly}, ("2022-01-01", "2022-04-01"), ("2022-01-01", "2022-04-01")),
        (
            {"interval": Interval.yearly, "bill_charges_monthly": True, "pay_in_advance": True},
            ("2022-01-01", "2023-01-01"),
            ("2022-03-01", "2022-04-01"),
        ),
        (
            {"interval": Interval.semiannual, "bill_charges_monthly": True},
            ("2021-07-01", "2022-01-01"),
            ("2022-03-01", "2022-04-01"),
        ),
        (
            {"interval": Interval.quarterly, "bill_charges_monthly": True},
            ("2022-01-01", "2022-04-01"),
            ("2022-01-01", "2022-04-01"),
        ),
        (
            {"billing_time": BillingTime.anniversary},
            ("2022-02-02", "2022-03-02"),
            ("2022-02-02", "2022-03-02"),
        ),
    ],
)
def test_periods_billed_on_1_april(
    changes: dict[str, Any], fee: tuple[str, str], charges: tuple[str, str]
) -> None:
    """Fees are billed behind or ahead as the plan says, usage always behind, monthly where the plan says so."""
    terms, run = make_terms(**changes), at("2022-04-01T00:00:00Z")
    assert subscription_period(terms, run) == whole_days(*(f"{day}T00:00:00Z" for day in fee))
    assert charges_period(terms, run) == whole_days(*(f"{day}T00:00:00Z" for day in charges))


@pytest.mark.parametrize("pay_in_advance", [False, True])
def test_periods_in_progress_contain_the_moment(pay_in_advance: bool) -> None:
    """Current usage looks at the interval around now, whenever the plan is paid."""
    terms, now = make_terms(pay_in_advance=pay_in_advance), at("2022-04-17T10:00:00Z")
    april = whole_days("2022-04-01T00:00:00Z", "2022-05-01T00:00:00Z")
    assert subscription_period(terms, now, current=True) == april
    assert charges_period(terms, now, current=True) == april
    assert interval_in_progress(terms, now) == april


def test_period_in_progress_of_a_subscription_to_come_is_that_of_its_start() -> None:
    """A subscription that has not begun shows the period it will begin with."""
    terms = make_terms(started_at=at("2022-06-10T09:00:00Z"))
    assert charges_period(terms, at("2022-04-17T10:00:00Z"), current=True) == whole_days(
        "2022-06-10T09:00:00Z", "2022-07-01T00:00:00Z"
    )
    assert charges_duration_days(terms, at("2022-04-17T10:00:00Z"), current=True) == 30


def test_first_period_fee_begins_with_the_day_and_usage_with_the_instant_of_the_start() -> None:
    """The day of the start is charged whole; usage before the start's exact instant is not."""
    terms = make_terms(timezone=NEW_YORK, started_at=at("2022-03-20T15:30:00.250Z"))
    run = at("2022-04-01T04:00:00Z")
    assert subscription_period(terms, run) == whole_days("2022-03-20T04:00:00Z", "2022-04-01T04:00:00Z")
    assert charges_period(terms, run) == whole_days("2022-03-20T15:30:00.250Z", "2022-04-01T04:00:00Z")
    assert (subscription_duration_days(terms, run), charges_duration_days(terms, run)) == (31, 31)


@pytest.mark.parametrize("started_at", ["2022-04-01T00:00:00Z", "2022-04-01T08:00:00Z"])
def test_period_that_ends_before_the_start_has_no_usage(started_at: str) -> None:
    """Arrears of an interval before the start: the end moves up to the start, and is shown as it is."""
    terms = make_terms(started_at=at(started_at))
    charges = charges_period(terms, at("2022-04-01T12:00:00Z"))
    assert charges == until(started_at, started_at)
    assert charges.display_end == at(started_at)
    assert subscription_period(terms, at("2022-04-01T12:00:00Z")) == until("2022-04-01T00:00:00Z", started_at)


@pytest.mark.parametrize("pay_in_advance", [False, True])
@pytest.mark.parametrize("billing_at", ["2022-04-17T10:00:00Z", "2022-04-17T10:00:01Z", "2022-05-03T00:00:00Z"])
def test_termination_inside_a_period_ends_it_there(pay_in_advance: bool, billing_at: str) -> None:
    """The terminating invoice bills the interval the termination lies in, on whatever later day it is made."""
    terms = make_terms(pay_in_advance=pay_in_advance, terminated_at=at("2022-04-17T10:00:00Z"))
    april = until("2022-04-01T00:00:00Z", "2022-04-17T10:00:00Z")
    assert subscription_period(terms, at(billing_at)) == april
    assert charges_period(terms, at(billing_at)) == april
    assert charges_duration_days(terms, at(billing_at)) == 30


def test_termination_still_to_come_changes_nothing() -> None:
    """A run before the termination bills as if there were none."""
    terms = make_terms(terminated_at=at("2022-04-17T10:00:00Z"))
    assert charges_period(terms, at("2022-04-01T00:00:00Z")) == whole_days(
        "2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("issued", "expected"),
    [
        (False, whole_days("2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z")),
        (True, until("2022-04-01T00:00:00Z", "2022-04-01T10:00:00Z")),
    ],
)
def test_termination_on_a_billing_day_bills_the_completed_period_or_the_day(
    issued: bool, expected: Period
) -> None:
    """Without its periodic invoice the completed period is billed whole; with it, only the day."""
    terms, run = make_terms(terminated_at=at("2022-04-01T10:00:00Z")), at("2022-04-01T10:00:00Z")
    assert subscription_period(terms, run, periodic_invoice_issued=issued) == expected
    assert charges_period(terms, run, periodic_invoice_issued=issued) == expected


def test_termination_as_a_billing_day_begins_bills_the_completed_period_to_its_boundary() -> None:
    """Ended on the stroke of midnight, March is billed and shown as a periodic invoice would."""
    terms = make_terms(terminated_at=at("2022-04-01T00:00:00Z"))
    period = charges_period(terms, at("2022-04-01T00:00:00Z"))
    assert period == whole_days("2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z")
    assert period.display_end == at("2022-03-31T23:59:59Z")


def test_charges_of_a_day_billed_already_after_a_change_of_timezone_are_empty() -> None:
    """A termination before the end billed under the old timezone leaves nothing to bill, and no negative time."""
    terms = make_terms(terminated_at=at("2022-04-01T02:00:00Z"))
    period = charges_period(
        terms,
        at("2022-04-01T02:00:00Z"),
        periodic_invoice_issued=True,
        previous_charges_end=at("2022-04-01T04:00:00Z"),
    )
    assert period == until("2022-04-01T02:00:00Z", "2022-04-01T02:00:00Z")


def test_termination_on_the_day_of_the_start_bills_that_day() -> None:
    """An anniversary start is no billing day: a termination on it finds no completed period."""
    started_at = at("2022-04-05T08:00:00Z")
    terms = make_terms(
        billing_time=BillingTime.anniversary,
        subscription_at=started_at,
        started_at=started_at,
        terminated_at=at("2022-04-05T10:00:00Z"),
    )
    assert charges_period(terms, at("2022-04-05T10:00:00Z")) == until(
        "2022-04-05T08:00:00Z", "2022-04-05T10:00:00Z"
    )


def test_termination_on_a_monthly_billing_day_of_a_year_completes_the_month_only() -> None:
    """Monthly charges bill March whole; the yearly fee in arrears runs on to the termination."""
    terms = make_terms(
        interval=Interval.yearly, bill_charges_monthly=True, terminated_at=at("2022-04-01T10:00:00Z")
    )
    run = at("2022-04-01T10:00:00Z")
    assert charges_period(terms, run) == whole_days("2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z")
    assert subscription_period(terms, run) == until("2022-01-01T00:00:00Z", "2022-04-01T10:00:00Z")
    assert (subscription_duration_days(terms, run), charges_duration_days(terms, run)) == (365, 31)


@pytest.mark.parametrize(
    ("zone", "previous_end", "start"),
    [
        ("America/New_York", "2022-02-28T23:00:00Z", "2022-02-28T23:00:00Z"),
        ("Europe/Paris", "2022-03-01T05:00:00Z", "2022-03-01T05:00:00Z"),
        ("Pacific/Kiritimati", "2022-03-01T12:00:00Z", "2022-03-01T12:00:00Z"),
        ("America/New_York", "2022-03-02T05:00:00Z", "2022-03-02T05:00:00Z"),
        ("UTC", "2022-03-01T00:00:00Z", "2022-03-01T00:00:00Z"),
        ("UTC", "2022-02-01T00:00:00Z", "2022-03-01T00:00:00Z"),
    ],
)
def test_charges_after_a_change_of_timezone_begin_where_the_last_ended(
    zone: str, previous_end: str, start: str
) -> None:
    """A start after the end billed before moves to it within 26 hours, one that lies before it always does."""
    terms = make_terms(timezone=ZoneInfo(zone))
    period = charges_period(terms, at("2022-04-02T00:00:00Z"), previous_charges_end=at(previous_end))
    assert period.start == at(start)
    assert charges_duration_days(terms, at("2022-04-02T00:00:00Z")) == 31


@pytest.mark.parametrize(
    ("previous_end", "start"),
    [
        ("2022-03-02T01:00:00Z", "2022-03-01T00:00:00Z"),
        ("2022-03-02T02:00:00Z", "2022-03-02T02:00:00Z"),
        ("2022-05-01T00:00:00Z", "2022-04-01T00:00:00Z"),
        ("2022-02-01T00:00:00Z", "2022-03-01T00:00:00Z"),
    ],
)
def test_fee_in_arrears_begins_behind_a_period_that_came_again(previous_end: str, start: str) -> None:
    """From 26 hours of overlap on the fee of March begins where the last one ended, at the latest with April."""
    period = subscription_period(make_terms(), at("2022-04-02T00:00:00Z"), previous_fee_end=at(previous_end))
    assert (period.start, period.end) == (at(start), at("2022-04-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("period", "shown"),
    [
        (whole_days("2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z"), "2022-03-31T23:59:59Z"),
        (whole_days("2022-02-28T23:00:00Z", "2022-03-31T22:00:00Z"), "2022-03-31T21:59:59Z"),
        (until("2022-03-01T00:00:00Z", "2022-03-09T10:00:00.499999Z"), "2022-03-09T10:00:00Z"),
        (until("2022-03-01T00:00:00Z", "2022-03-09T10:00:00.500000Z"), "2022-03-09T10:00:01Z"),
        (until("2022-03-01T00:00:00Z", "2022-03-09T00:00:00Z"), "2022-03-09T00:00:00Z"),
    ],
)
def test_display_end_is_the_last_second_or_the_instant(period: Period, shown: str) -> None:
    """A day boundary is shown as the second before it, a termination as it is, to the second."""
    assert period.display_end == at(shown)


def test_time_range_of_a_period_is_the_same_stretch() -> None:
    """Usage is asked for over exactly the period."""
    march = whole_days("2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z")
    assert march.time_range == TimeRange(at("2022-03-01T00:00:00Z"), at("2022-04-01T00:00:00Z"))


def test_period_that_ends_before_it_starts_is_refused() -> None:
    """No period runs backwards."""
    with pytest.raises(ValueError, match="ends before that"):
        until("2022-03-02T00:00:00Z", "2022-03-01T00:00:00Z")


def test_period_of_naive_instants_is_refused() -> None:
    """An instant without a zone is no instant."""
    with pytest.raises(ValueError, match="naive"):
        Period(datetime(2022, 3, 1), datetime(2022, 4, 1))  # noqa: DTZ001 – the naive instant is the point


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"started_at": datetime(2022, 3, 1)}, "naive"),  # noqa: DTZ001 – the naive instant is the point
        ({"terminated_at": at("2021-02-01T23:59:59Z")}, "before the start"),
        ({"trial_period_days": -1}, "trial"),
    ],
)
def test_terms_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    """Terms that no subscription can have stop where they are built."""
    with pytest.raises(ValueError, match=message):
        make_terms(**changes)


def test_last_instant_of_a_period_lies_in_it_and_its_end_does_not() -> None:
    """Two consecutive Paris months share one instant, at which only the later has begun."""
    terms = make_terms(timezone=PARIS)
    march = charges_period(terms, at("2022-03-31T22:00:00Z"))
    april = charges_period(terms, at("2022-04-30T22:00:00Z"))
    assert march.end == april.start == at("2022-03-31T22:00:00Z")
    assert charges_period(terms, march.end - timedelta(microseconds=1), current=True) == march
    assert charges_period(terms, march.end, current=True) == april

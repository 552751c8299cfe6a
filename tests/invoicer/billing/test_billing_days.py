"""Days on which a subscription is billed, and the instants at which they begin."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invoicer.billing.billing_days import is_billing_day, next_billing_at
from invoicer.billing.fee_timing import bills_subscription_fee
from invoicer.billing.local_days import day_start, local_day
from invoicer.billing.periods import Period, charges_period, subscription_period
from invoicer.billing.subscription_terms import BillingTime, Interval, SubscriptionTerms
from tests.invoicer.billing.make_terms import at, make_terms

ZONES = st.sampled_from(
    [
        "UTC",
        "America/New_York",
        "Europe/Paris",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "America/Havana",
        "America/St_Johns",
        "Australia/Lord_Howe",
    ]
).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 – hypothesis wants naive bounds and adds the zone
TERMS = st.builds(
    lambda interval, billing_time, advance, monthly, zone, starts_at, inherits_days: make_terms(
        interval=interval,
        billing_time=billing_time,
        pay_in_advance=advance,
        bill_charges_monthly=monthly,
        timezone=zone,
        started_at=starts_at,
        subscription_at=starts_at - timedelta(days=inherits_days),
    ),
    st.sampled_from(Interval),
    st.sampled_from(BillingTime),
    st.booleans(),
    st.booleans(),
    ZONES,
    INSTANTS,
    st.integers(0, 900),
)


@pytest.mark.parametrize(
    ("interval", "billing_time", "monthly", "days"),
    [
        ("weekly", "calendar", False, ["2022-01-03", "2022-01-10"]),
        ("monthly", "calendar", False, ["2022-02-01", "2022-03-01"]),
        ("quarterly", "calendar", False, ["2022-04-01", "2022-07-01"]),
        ("quarterly", "calendar", True, ["2022-04-01", "2022-07-01"]),
        ("semiannual", "calendar", False, ["2022-07-01", "2023-01-01"]),
        ("semiannual", "calendar", True, ["2022-02-01", "2022-03-01"]),
        ("yearly", "calendar", False, ["2023-01-01", "2024-01-01"]),
        ("yearly", "calendar", True, ["2022-02-01", "2022-03-01"]),
        ("weekly", "anniversary", False, ["2022-01-05", "2022-01-12"]),
        ("monthly", "anniversary", False, ["2022-01-29", "2022-02-28", "2022-03-29"]),
        ("quarterly", "anniversary", False, ["2022-02-28", "2022-05-29", "2022-08-29"]),
        ("semiannual", "anniversary", False, ["2022-02-28", "2022-08-29"]),
        ("semiannual", "anniversary", True, ["2022-01-29", "2022-02-28"]),
        ("yearly", "anniversary", False, ["2022-02-28", "2023-02-28", "2024-02-29"]),
        ("yearly", "anniversary", True, ["2022-01-29", "2022-02-28"]),
    ],
)
def test_billing_days_follow_interval_and_billing_time(
    interval: str, billing_time: str, monthly: bool, days: list[str]
) -> None:
    """The first billing days after New Year 2022, anchored on 29 February 2020 (weekly: on a Wednesday)."""
    anchor = at("2020-02-29T08:00:00Z") if interval != "weekly" else at("2020-03-04T08:00:00Z")
    terms = make_terms(
        interval=Interval(interval),
        billing_time=BillingTime(billing_time),
        bill_charges_monthly=monthly,
        subscription_at=anchor,
        started_at=anchor,
    )
    seen: list[str] = []
    day = date(2022, 1, 1)
    while len(seen) < len(days):
        day += timedelta(days=1)
        if is_billing_day(terms, day):
            seen.append(day.isoformat())
    assert seen == days


def test_billing_day_on_the_day_of_the_start_is_not_billed() -> None:
    """A subscription is never billed by the periodic run on the day it starts, nor before."""
    terms = make_terms(started_at=at("2022-03-01T00:00:00Z"))
    assert [is_billing_day(terms, day) for day in (date(2022, 2, 1), date(2022, 3, 1), date(2022, 4, 1))] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("zone", "after", "billing_at"),
    [
        ("UTC", "2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z"),
        ("UTC", "2022-03-31T23:59:59Z", "2022-04-01T00:00:00Z"),
        ("UTC", "2019-01-01T00:00:00Z", "2021-03-01T00:00:00Z"),
        ("America/New_York", "2022-03-01T04:59:59Z", "2022-03-01T05:00:00Z"),
        ("America/New_York", "2022-03-01T05:00:00Z", "2022-04-01T04:00:00Z"),
        ("Asia/Kolkata", "2022-03-01T00:00:00Z", "2022-03-31T18:30:00Z"),
        ("Asia/Kathmandu", "2022-02-28T18:14:59Z", "2022-02-28T18:15:00Z"),
    ],
)
def test_next_billing_at_is_the_next_local_midnight_that_bills(zone: str, after: str, billing_at: str) -> None:
    """The answer is the UTC instant at which the next first of a month begins where the customer lives."""
    terms = make_terms(timezone=ZoneInfo(zone), started_at=at("2021-02-02T12:00:00Z"))
    assert next_billing_at(terms, at(after)) == at(billing_at)


@pytest.mark.parametrize(
    ("zone", "day", "starts_at"),
    [
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"),
        ("America/Havana", "2022-11-06", "2022-11-06T04:00:00Z"),
        ("America/St_Johns", "2010-11-07", "2010-11-07T02:30:00Z"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
    ],
)
def test_day_start_at_a_clock_change_is_the_first_instant_of_the_day(zone: str, day: str, starts_at: str) -> None:
    """A skipped midnight gives the instant of the change, a doubled one the first, a left-out day the next."""
    assert day_start(date.fromisoformat(day), ZoneInfo(zone)) == at(starts_at)


def test_local_day_after_clocks_fell_back_over_midnight_is_still_the_new_day() -> None:
    """In St John's 2010 the clock showed 7 November for a minute, then 6 November again: the 7th had begun."""
    zone = ZoneInfo("America/St_Johns")
    assert local_day(at("2010-11-07T02:45:00Z"), zone) == date(2010, 11, 7)
    assert at("2010-11-07T02:45:00Z").astimezone(zone).date() == date(2010, 11, 6)


def test_billing_day_that_the_zone_left_out_is_billed_the_day_after() -> None:
    """Samoa had no 30 December 2011: what is due on the 30th is billed on the 31st, once."""
    started_at = at("2011-09-30T12:00:00Z")
    terms = make_terms(
        timezone=ZoneInfo("Pacific/Apia"),
        billing_time=BillingTime.anniversary,
        started_at=started_at,
        subscription_at=started_at,
    )
    billing_at = next_billing_at(terms, at("2011-12-29T10:00:00Z"))
    assert billing_at == at("2011-12-30T10:00:00Z")
    assert local_day(billing_at, terms.timezone) == date(2011, 12, 31)
    assert is_billing_day(terms, date(2011, 12, 31))
    assert subscription_period(terms, billing_at).end == billing_at
    assert next_billing_at(terms, billing_at) == at("2012-01-29T10:00:00Z")


@settings(max_examples=150, deadline=None)
@given(terms=TERMS)
def test_consecutive_billing_days_bill_all_usage_once(terms: SubscriptionTerms) -> None:
    """Charges periods of consecutive billing days tile the time from the start: no hole, no overlap."""
    covered_to = terms.started_at
    billing_at = terms.started_at
    for _ in range(30):
        billing_at = next_billing_at(terms, billing_at)
        period = charges_period(terms, billing_at)
        assert is_billing_day(terms, local_day(billing_at, terms.timezone))
        assert period.start == covered_to
        assert period.end == billing_at
        covered_to = period.end


@settings(max_examples=150, deadline=None)
@given(terms=TERMS)
def test_runs_that_bill_the_subscription_fee_bill_every_interval_once(terms: SubscriptionTerms) -> None:
    """Fee periods meet end to start from the day of the start on: arrears behind the run, advance ahead of it."""
    runs = [terms.started_at]
    for _ in range(30):
        runs.append(next_billing_at(terms, runs[-1]))
    periods: list[Period] = []
    for run in runs if terms.pay_in_advance else runs[1:]:
        if bills_subscription_fee(terms, run, created_at=terms.started_at, fee_already_billed=bool(periods)):
            periods.append(subscription_period(terms, run))
    assert len(periods) >= 2
    assert periods[0].start == day_start(terms.started_on, terms.timezone)
    assert all(earlier.end == later.start for earlier, later in pairwise(periods))

"""Days billed, and what they are worth."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.billing.local_days import day_start
from invoicer.billing.periods import Period, PeriodEnd, subscription_period
from invoicer.billing.proration import billed_days, prorate, subscription_fee, unused_days, unused_fee
from invoicer.billing.subscription_terms import BillingTime, Interval
from tests.invoicer.billing.make_terms import at, make_terms

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Paris",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
]


@pytest.mark.parametrize(
    ("zone", "start", "end", "ends_at", "days"),
    [
        ("UTC", "2022-03-01T00:00:00Z", "2022-04-01T00:00:00Z", "day_boundary", 31),
        ("UTC", "2022-03-01T00:00:00Z", "2022-03-02T00:00:00Z", "day_boundary", 1),
        ("UTC", "2022-03-01T00:00:00Z", "2022-03-02T00:00:00Z", "instant", 2),
        ("UTC", "2022-03-01T00:00:00Z", "2022-03-01T23:59:59.999999Z", "instant", 1),
        ("UTC", "2022-03-01T00:00:00Z", "2022-03-01T00:00:00Z", "instant", 1),
        ("UTC", "2022-03-01T12:00:00Z", "2022-03-03T11:59:59Z", "instant", 2),
        ("UTC", "2022-03-01T12:00:00Z", "2022-03-03T12:00:01Z", "instant", 3),
        ("Europe/Paris", "2022-03-26T23:00:00Z", "2022-03-27T22:00:00Z", "day_boundary", 1),
        ("Europe/Paris", "2022-10-29T22:00:00Z", "2022-10-30T23:00:00Z", "day_boundary", 1),
        ("Europe/Paris", "2022-10-29T22:00:00Z", "2022-10-30T22:30:00Z", "instant", 1),
        ("America/New_York", "2022-03-01T05:00:00Z", "2022-04-01T04:00:00Z", "day_boundary", 31),
        ("America/New_York", "2022-11-01T04:00:00Z", "2022-12-01T05:00:00Z", "day_boundary", 30),
        ("America/Sao_Paulo", "2018-11-01T03:00:00Z", "2018-11-04T03:00:00Z", "day_boundary", 3),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-12-01T02:00:00Z", "day_boundary", 27),
    ],
)
def test_billed_days_count_begun_days_of_the_wall_clock(
    zone: str, start: str, end: str, ends_at: str, days: int
) -> None:
    """A begun day counts whole, a clock change counts nothing, a termination at midnight has begun its day."""
    assert billed_days(Period(at(start), at(end), PeriodEnd(ends_at)), ZoneInfo(zone)) == days


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    first=st.dates(date(2005, 1, 1), date(2030, 1, 1)),
    pieces=st.lists(st.integers(1, 90), min_size=1, max_size=6),
)
def test_billed_days_of_pieces_sum_to_the_days_of_the_whole(
    zone: ZoneInfo, first: date, pieces: list[int]
) -> None:
    """Cutting a stretch of days anywhere neither adds nor loses a day."""
    cuts = [first]
    for days in pieces:
        cuts.append(cuts[-1] + timedelta(days=days))
    instants = [day_start(day, zone) for day in cuts]
    counted = [billed_days(Period(start, end), zone) for start, end in pairwise(instants)]
    assert counted == pieces
    assert billed_days(Period(instants[0], instants[-1]), zone) == sum(pieces)


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    interval=st.sampled_from(Interval),
    billing_time=st.sampled_from(BillingTime),
    terminated_at=st.datetimes(datetime(2022, 1, 2), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 – hypothesis wants naive bounds and adds the zone
    by_upgrade=st.booleans(),
)
def test_termination_splits_an_interval_into_billed_and_unused_days(
    zone: ZoneInfo, interval: Interval, billing_time: BillingTime, terminated_at: datetime, by_upgrade: bool
) -> None:
    """What arrears bill up to a termination and what advance gives back make up the interval, day by day.

    From the second local day of 2022 on, in every zone: the first calendar year, 2021, is a partial one.
    """
    terms = make_terms(interval=interval, billing_time=billing_time, timezone=zone, terminated_at=terminated_at)
    period = subscription_period(terms, terminated_at, periodic_invoice_issued=True)
    fee = subscription_fee(terms, 10_000, period, has_previous_subscription=False, ended_by_upgrade=by_upgrade)
    assert fee.days + unused_days(terms, terminated_at, ended_by_upgrade=by_upgrade) == fee.period_days


@pytest.mark.parametrize(
    ("amount_cents", "days", "period_days", "rounded", "precise"),
    [
        (1000, 31, 31, 1000, "1000"),
        (1000, 0, 31, 0, "0"),
        (0, 17, 31, 0, "0"),
        (1, 1, 2, 1, "0.5"),
        (3, 1, 2, 2, "1.5"),
        (5, 1, 2, 3, "2.5"),
        (100, 1, 3, 33, "33.333333333333333333333333333333333333333333333333"),
        (10**18 + 1, 1, 2, 5 * 10**17 + 1, "500000000000000000.5"),
    ],
)
def test_prorate_rounds_half_up_once(
    amount_cents: int, days: int, period_days: int, rounded: int, precise: str
) -> None:
    """Half a cent goes up; the precise amount keeps what rounding drops."""
    amount = prorate(amount_cents, days, period_days)
    assert (amount.amount_cents, amount.precise_amount_cents) == (rounded, Decimal(precise))
    assert (amount.days, amount.period_days) == (days, period_days)


@pytest.mark.parametrize(
    ("changes", "billing_at", "has_previous", "days", "cents"),
    [
        ({"pay_in_advance": True, "billing_time": BillingTime.anniversary}, "2024-03-08", False, 31, 3100),
        ({"pay_in_advance": True, "billing_time": BillingTime.anniversary}, "2024-03-08", True, 28, 2800),
        ({"billing_time": BillingTime.anniversary}, "2024-04-05", False, 28, 2800),
        ({"pay_in_advance": True}, "2024-03-08", False, 24, 2400),
    ],
)
def test_first_period_is_whole_only_for_a_first_anniversary_subscription_in_advance(
    changes: dict[str, Any], billing_at: str, has_previous: bool, days: int, cents: int
) -> None:
    """Anchored on 5 March, started on the 8th, a plan of 3100 for 31 days."""
    terms = make_terms(
        subscription_at=at("2024-03-05T00:00:00Z"), started_at=at("2024-03-08T10:00:00Z"), **changes
    )
    period = subscription_period(terms, at(f"{billing_at}T12:00:00Z"))
    fee = subscription_fee(terms, 3100, period, has_previous_subscription=has_previous, ended_by_upgrade=False)
    assert (fee.days, fee.period_days, fee.amount_cents) == (days, 31, cents)


def test_anniversary_in_advance_with_a_trial_pays_the_days_after_it() -> None:
    """The first anniversary period is not whole when a trial reaches into it."""
    start = at("2024-03-05T00:00:00Z")
    terms = make_terms(
        pay_in_advance=True,
        billing_time=BillingTime.anniversary,
        subscription_at=start,
        started_at=start,
        trial_period_days=Decimal(10),
    )
    period = subscription_period(terms, at("2024-03-15T00:00:00Z"))
    fee = subscription_fee(terms, 3100, period, has_previous_subscription=False, ended_by_upgrade=False)
    assert (fee.days, fee.amount_cents) == (21, 2100)


@pytest.mark.parametrize(("trial_days", "days"), [(0, 31), (1, 30), (30, 1), (31, 0), (32, 0)])
def test_trial_of_days_leaves_the_rest_of_the_month(trial_days: int, days: int) -> None:
    """A trial frees its days, up to the whole period."""
    terms = make_terms(started_at=at("2024-03-01T00:00:00Z"), trial_period_days=Decimal(trial_days))
    period = subscription_period(terms, at("2024-04-01T00:00:00Z"))
    fee = subscription_fee(terms, 3100, period, has_previous_subscription=False, ended_by_upgrade=False)
    assert (fee.days, fee.amount_cents) == (days, days * 100)


def test_started_in_the_past_in_advance_pays_the_next_period_whole() -> None:
    """A backdated plan in advance owes nothing for time gone by and all of the interval a run begins."""
    terms = make_terms(pay_in_advance=True, started_at=at("2022-01-20T00:00:00Z"))
    period = subscription_period(terms, at("2022-04-01T00:00:00Z"))
    fee = subscription_fee(terms, 3000, period, has_previous_subscription=False, ended_by_upgrade=False)
    assert (fee.amount_cents, fee.days, fee.period_days) == (3000, 30, 30)


@pytest.mark.parametrize(
    ("issued", "days", "period_days"),
    [(False, 31, 31), (True, 0, 30)],
)
def test_upgrade_on_a_billing_day_leaves_that_day_to_the_new_plan(
    issued: bool, days: int, period_days: int
) -> None:
    """The completed March is owed whole, also by an upgrade; the upgrade's own day is not owed at all."""
    terms = make_terms(terminated_at=at("2022-04-01T10:00:00Z"))
    period = subscription_period(terms, at("2022-04-01T10:00:01Z"), periodic_invoice_issued=issued)
    fee = subscription_fee(terms, 3100, period, has_previous_subscription=False, ended_by_upgrade=True)
    assert (fee.days, fee.period_days) == (days, period_days)


def test_whole_interval_with_a_day_the_zone_left_out_is_billed_whole() -> None:
    """Samoa's December 2011 had 30 days: the plan's amount is owed for all of it."""
    terms = make_terms(timezone=ZoneInfo("Pacific/Apia"), started_at=at("2011-06-01T00:00:00Z"))
    period = subscription_period(terms, day_start(date(2012, 1, 1), terms.timezone))
    fee = subscription_fee(terms, 3100, period, has_previous_subscription=False, ended_by_upgrade=False)
    assert (fee.amount_cents, fee.days, fee.period_days) == (3100, 31, 31)


@pytest.mark.parametrize(
    ("fee_amount_cents", "credited_cents", "cents"),
    [(3000, 0, 2000), (1500, 0, 1500), (3000, 500, 1500), (3000, 2000, 0), (3000, 2500, 0), (0, 0, 0)],
)
def test_unused_fee_is_bounded_by_the_fee_and_by_what_was_credited(
    fee_amount_cents: int, credited_cents: int, cents: int
) -> None:
    """20 of April's 30 days at 100 a day: never more than the fee, never the same cent twice."""
    credit = unused_fee(
        make_terms(pay_in_advance=True),
        3000,
        at("2022-04-10T10:00:00Z"),
        ended_by_upgrade=False,
        fee_amount_cents=fee_amount_cents,
        credited_cents=credited_cents,
    )
    assert (credit.amount_cents, credit.precise_amount_cents, credit.days) == (cents, Decimal(cents), 20)

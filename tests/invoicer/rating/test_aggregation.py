"""Folds from events to units beyond the recorded figures."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal, localcontext
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.aggregation import (
    ChargePeriod,
    RoundingFunction,
    count_units,
    counted_running_totals,
    latest_units,
    max_units,
    round_units,
    round_usage,
    running_totals,
    sum_precise_total_amount_cents,
    sum_units,
    unique_count_units,
    weighted_sum_units,
)
from invoicer.rating.arithmetic import exact_arithmetic
from invoicer.rating.usage import CountedRunningTotals, Usage, UsageEvent
from tests.invoicer.rating.figures import events_a_minute_apart, make_event, make_period

AUGUST = make_period()
values = st.decimals(-(10**18), 10**18, places=6)
moments = st.integers(0, 31 * 86_400 * 10**6 - 1).map(
    lambda offset: datetime(2023, 8, 1, tzinfo=UTC) + timedelta(microseconds=offset)
)
event_lists = st.lists(
    st.builds(
        UsageEvent,
        timestamp=moments,
        value=values,
        identity=st.sampled_from(["a", "b", "c", None]),
        operation=st.sampled_from(["add", "remove"]),
    ),
    unique_by=lambda event: event.timestamp,
    max_size=12,
)


@given(event_lists, st.randoms(use_true_random=False))
def test_folds_any_permutation_give_the_same_units(events, random) -> None:  # type: ignore[no-untyped-def]
    """The order in which events are handed over changes no unit."""
    shuffled = random.sample(events, len(events))

    for fold in (sum_units, max_units, latest_units, unique_count_units, count_units):
        assert fold(shuffled) == fold(events)
    assert weighted_sum_units(shuffled, AUGUST) == weighted_sum_units(events, AUGUST)


@given(event_lists, st.integers(0, 12))
def test_sum_units_any_split_adds_up(events: list[UsageEvent], cut: int) -> None:
    """The sums of two batches make the sum of the whole."""
    assert sum_units(events[:cut]) + sum_units(events[cut:]) == sum_units(events)


@given(event_lists, moments)
def test_weighted_sum_period_cut_in_two_adds_up(events: list[UsageEvent], middle: datetime) -> None:
    """Carrying the level over a cut weighs the same as not cutting, to the last decimal kept."""
    if middle == AUGUST.start:
        middle += timedelta(microseconds=1)
    first = replace(AUGUST, end=middle)
    second = replace(AUGUST, start=middle)

    before = weighted_sum_units([event for event in events if event.timestamp < middle], first)
    after = weighted_sum_units(
        [event for event in events if event.timestamp >= middle], second, before.total_aggregated_units
    )
    whole = weighted_sum_units(events, AUGUST)

    with exact_arithmetic():
        difference = before.units + after.units - whole.units
    assert 0 <= difference <= Decimal("1E-20")
    assert after.total_aggregated_units == whole.total_aggregated_units


def test_weighted_sum_level_held_to_the_end_counts_the_last_microsecond() -> None:
    """The end of the period itself closes the last segment."""
    event = make_event("2023-08-31T23:59:59.999999Z", "2678400000000")

    assert weighted_sum_units([event], AUGUST).units == 1


def test_weighted_sum_terminated_period_weighs_by_the_whole_period() -> None:
    """A level of 31 held for one day of a 31 day period is one unit."""
    one_day = make_period(end="2023-08-02T00:00:00Z")

    assert weighted_sum_units([], one_day, Decimal(31)).units == 1


def test_weighted_sum_over_a_clock_change_counts_real_seconds() -> None:
    """Times of one local zone are compared as instants: 25 hours lie in that October day."""
    london = ZoneInfo("Europe/London")
    start = datetime(2023, 10, 28, 23, tzinfo=UTC)
    day = ChargePeriod(start, datetime(2023, 10, 30, tzinfo=london), 1, london)
    event = UsageEvent(datetime(2023, 10, 29, tzinfo=london), Decimal(24))

    assert weighted_sum_units([event], day).units == 25


@pytest.mark.parametrize("timestamp", ["2023-07-31T23:59:59.999999Z", "2023-09-01T00:00:00Z"])
def test_weighted_sum_event_outside_the_period_is_refused(timestamp: str) -> None:
    """An event before the start or at the end belongs to another period."""
    with pytest.raises(ValueError, match="inside its period"):
        weighted_sum_units([make_event(timestamp)], AUGUST)


def test_charge_period_local_or_empty_bounds_are_refused() -> None:
    """Bounds are UTC and in order, and the whole period has days."""
    start, end = datetime(2023, 8, 1, tzinfo=UTC), datetime(2023, 9, 1, tzinfo=UTC)
    local = timezone(timedelta(hours=2))
    utc = ZoneInfo("UTC")
    for bounds in ((start.replace(tzinfo=local), end), (start.replace(tzinfo=None), end)):
        with pytest.raises(ValueError, match="aware UTC"):
            ChargePeriod(*bounds, duration_days=31, timezone=utc)
    with pytest.raises(ValueError, match="positive length"):
        ChargePeriod(end, start, duration_days=31, timezone=utc)
    with pytest.raises(ValueError, match="positive length"):
        ChargePeriod(start, end, duration_days=0, timezone=utc)


def test_latest_same_instant_takes_the_one_ingested_last() -> None:
    """Of two events of one instant the later one in ingestion order is the latest."""
    assert latest_units([make_event(value="3"), make_event(value="7")]) == 7
    assert latest_units([make_event(value="7"), make_event(value="3")]) == 3


@pytest.mark.parametrize(("last", "units"), [([], 0), (["5", "-1"], 0), (["-1", "5"], 5), (["0"], 0)])
def test_latest_none_or_negative_gives_zero(last: list[str], units: int) -> None:
    """Without events, or with a negative last value, there are no units."""
    assert latest_units(events_a_minute_apart(last)) == units


def test_max_only_negative_values_gives_the_greatest() -> None:
    """The zero of no events is no lower bound for events."""
    assert max_units(events_a_minute_apart(["-5", "-2"])) == -2
    assert max_units([]) == 0


def test_sum_huge_values_is_exact_in_a_narrow_context() -> None:
    """The caller's precision does not cut a sum of 10^18 and 10^-18."""
    events = events_a_minute_apart(["1000000000000000000", "0.000000000000000001"])
    with localcontext(Context(prec=5)):
        total = sum_units(events)

    assert total == Decimal("1000000000000000000.000000000000000001")


def test_unique_count_missing_identity_is_an_identity() -> None:
    """Events without the property count as one identity of their own."""
    events = [make_event(identity=None), make_event(identity=None), make_event(identity="a")]

    assert unique_count_units(events) == 2


def test_unique_count_unknown_operation_is_refused() -> None:
    """An operation that is neither add nor remove is not guessed at."""
    with pytest.raises(ValueError, match="toggle"):
        unique_count_units([make_event(identity="a", operation="toggle")])


def test_sum_precise_total_amount_absent_counts_zero() -> None:
    """An event without an amount of its own adds nothing."""
    events = [make_event(precise_total_amount_cents=Decimal("12.5")), make_event()]

    assert sum_precise_total_amount_cents(events) == Decimal("12.5")


@pytest.mark.parametrize(
    ("free_events", "free_amount", "totals"),
    [
        (None, None, []),
        (None, "0", []),
        (2, None, [12, 24]),
        (9, None, [12, 24, 36, 48]),
        (None, "24", [12, 24, 36]),
        (None, "23.9", [12, 24]),
        (None, "100", [12, 24, 36, 48]),
        (1, "30", [12]),
    ],
)
def test_running_totals_free_rules_bound_the_list(
    free_events: int | None, free_amount: str | None, totals: list[int]
) -> None:
    """Free events win over a free amount, which includes the event that carries the total past it."""
    assert running_totals(
        [Decimal(12)] * 4,
        free_units_per_events=free_events,
        free_units_per_total_aggregation=Decimal(free_amount) if free_amount else None,
    ) == tuple(totals)


def test_counted_running_totals_billion_events_stay_a_number() -> None:
    """A count lists 1 to n without holding the list."""
    totals = counted_running_totals(
        Decimal(10**9), free_units_per_events=None, free_units_per_total_aggregation=Decimal("1000.5")
    )

    assert (len(totals), totals[0], totals[-1]) == (10**9, Decimal(1), Decimal(10**9))
    assert totals[1:3] == (Decimal(2), Decimal(3))
    assert totals.count_below(Decimal("1000.5")) == 1000


def test_counted_running_totals_nothing_free_are_empty() -> None:
    """Without a free rule there is nothing to list."""
    totals = counted_running_totals(Decimal(4), free_units_per_events=None, free_units_per_total_aggregation=None)

    assert list(totals) == []


@given(st.integers(0, 30), st.decimals(0, 40, places=1))
def test_count_below_any_limit_agrees_with_counting(length: int, limit: Decimal) -> None:
    """The closed form agrees with looking at every total."""
    totals = CountedRunningTotals(length)

    assert totals.count_below(limit) == sum(1 for total in totals if total < limit)


@pytest.mark.parametrize(
    ("units", "function", "precision", "expected"),
    [
        ("2.5", RoundingFunction.ROUND, None, "3"),
        ("-2.5", RoundingFunction.ROUND, 0, "-3"),
        ("-2.5", RoundingFunction.CEIL, 0, "-2"),
        ("-2.5", RoundingFunction.FLOOR, 0, "-3"),
        ("123.456", RoundingFunction.CEIL, -2, "200"),
        ("0", RoundingFunction.CEIL, 2, "0"),
        ("123.456", None, 2, "123.456"),
    ],
)
def test_round_units_table_follows_the_function(
    units: str, function: RoundingFunction | None, precision: int | None, expected: str
) -> None:
    """Halves go away from zero, ceil and floor to the infinities, no function changes nothing."""
    assert round_units(Decimal(units), function, precision) == Decimal(expected)


def test_round_usage_rounds_priced_and_full_units() -> None:
    """Both figures of a prorated usage are rounded, its events are not."""
    usage = replace(
        Usage.of(Decimal("1.21")), full_units=Decimal("3.4"), prorated_events=((Decimal("3.4"), Decimal("1.21")),)
    )

    rounded = round_usage(usage, RoundingFunction.CEIL, 0)

    assert (rounded.units, rounded.full_units) == (Decimal(2), Decimal(4))
    assert rounded.prorated_events == usage.prorated_events

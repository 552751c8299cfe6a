"""Recurring units charged by the day beyond the recorded figures."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.arithmetic import exact_arithmetic, round_up
from invoicer.rating.proration import ProratedUnits, prorated_sum_units, prorated_unique_count_units
from invoicer.rating.usage import UsageEvent
from tests.invoicer.rating.figures import make_event, make_period

AUGUST = make_period()


def seat(timestamp: str, operation: str = "add", identity: str = "seat_1") -> UsageEvent:
    return make_event(timestamp, operation=operation, identity=identity)


def days_charged(*events: UsageEvent) -> Decimal:
    """The days of August the events are charged for."""
    prorated = prorated_unique_count_units(events, AUGUST)
    with exact_arithmetic():
        days = sum((each for _, each in prorated.prorated_events), Decimal(0)) * 31
    return days.quantize(Decimal(1))


def test_prorated_sum_event_on_the_last_local_day_counts_one_day() -> None:
    """Days are those of the customer's calendar: 23:30 UTC is already the next day in Paris."""
    paris = make_period("2023-07-31T22:00:00Z", "2023-08-31T22:00:00Z", timezone="Europe/Paris")

    late = prorated_sum_units([make_event("2023-08-30T23:30:00Z", "31")], paris)
    earlier = prorated_sum_units([make_event("2023-08-30T21:30:00Z", "31")], paris)

    assert (late.units, earlier.units) == (Decimal(1), Decimal(2))


def test_prorated_sum_no_usage_is_zero() -> None:
    """Nothing carried and no event is nothing."""
    assert prorated_sum_units([], AUGUST) == ProratedUnits(Decimal(0), Decimal(0), ())


def test_prorated_sum_carried_units_come_first() -> None:
    """The carried value leads the events, with the days billed."""
    prorated = prorated_sum_units(
        [make_event("2023-08-31T00:00:00Z", "-2")], AUGUST, carried_units=Decimal(4), carried_days=31
    )

    assert [full for full, _ in prorated.prorated_events] == [4, -2]
    assert prorated.prorated_events[0] == (Decimal(4), Decimal(4))
    assert (prorated.full_units, prorated.units) == (Decimal(2), Decimal("3.93549"))


@pytest.mark.parametrize("timestamp", ["2023-07-31T23:59:59Z", "2023-09-01T00:00:00Z"])
def test_prorated_sum_event_outside_the_period_is_refused(timestamp: str) -> None:
    """Earlier units are carried, later ones belong to the next period."""
    with pytest.raises(ValueError, match="inside its period"):
        prorated_sum_units([make_event(timestamp)], AUGUST)


@pytest.mark.parametrize(
    ("events", "days"),
    [
        ([seat("2023-08-01T00:00:00Z")], 31),
        ([seat("2023-08-31T23:59:59Z")], 1),
        ([seat("2023-08-10T00:00:00Z"), seat("2023-08-12T00:00:00Z")], 22),
        ([seat("2023-08-10T00:00:00Z"), seat("2023-08-10T12:00:00Z", "remove")], 1),
        ([seat("2023-08-10T00:00:00Z", "remove")], 0),
        ([seat("2023-06-10T00:00:00Z"), seat("2023-07-10T00:00:00Z", "remove")], 0),
        ([seat("2023-06-10T00:00:00Z"), seat("2023-07-31T23:59:59.999999Z", "remove")], 0),
        ([seat("2023-06-10T00:00:00Z"), seat("2023-08-01T00:00:00Z", "remove")], 1),
        ([seat("2023-06-10T00:00:00Z"), seat("2023-08-31T12:00:00Z", "remove")], 31),
    ],
)
def test_prorated_unique_count_table_charges_active_days(events: list[UsageEvent], days: int) -> None:
    """Add day and remove day both count, repeats and removes of nothing do not, history ends at the start."""
    assert days_charged(*events) == days


def test_prorated_unique_count_back_on_the_same_day_charges_the_day_once() -> None:
    """A remove and an add of one identity on one day do not double it, on any later day they resume."""
    same_day = [
        seat("2023-08-01T08:00:00Z"),
        seat("2023-08-10T08:00:00Z", "remove"),
        seat("2023-08-10T09:00:00Z"),
    ]
    next_day = [*same_day[:2], seat("2023-08-11T09:00:00Z")]
    day_between = [*same_day[:2], seat("2023-08-12T09:00:00Z")]

    assert [days_charged(*events) for events in (same_day, next_day, day_between)] == [31, 31, 30]


def test_prorated_unique_count_identities_are_charged_apart() -> None:
    """The same day's remove of one seat and add of another charge both for that day."""
    events = [
        seat("2023-06-10T00:00:00Z", identity="seat_1"),
        seat("2023-08-10T08:00:00Z", "remove", "seat_1"),
        seat("2023-08-10T09:00:00Z", "add", "seat_2"),
    ]

    assert days_charged(*events) == 10 + 22
    assert prorated_unique_count_units(events, AUGUST).full_units == 1


def test_prorated_unique_count_event_after_the_end_is_refused() -> None:
    """An event of the next period is not counted in this one."""
    with pytest.raises(ValueError, match="before the end"):
        prorated_unique_count_units([seat("2023-09-01T00:00:00Z")], AUGUST)


seats = st.lists(
    st.builds(
        lambda day, hour, operation, identity: seat(f"2023-08-{day:02d}T{hour:02d}:00:00Z", operation, identity),
        st.integers(1, 31),
        st.integers(0, 23),
        st.sampled_from(["add", "remove"]),
        st.sampled_from(["seat_1", "seat_2"]),
    ),
    max_size=10,
)


@given(seats)
def test_prorated_unique_count_any_events_charges_the_days_somebody_was_active(
    events: list[UsageEvent],
) -> None:
    """The days charged are the calendar days on which the identity was active at any moment."""
    active_days: set[tuple[str | None, int]] = set()
    for identity in {event.identity for event in events}:
        own = sorted((event for event in events if event.identity == identity), key=lambda each: each.timestamp)
        added_on: int | None = None
        for event in own:
            if event.operation == "add":
                added_on = event.timestamp.day if added_on is None else added_on
            elif added_on is not None:
                active_days |= {(identity, day) for day in range(added_on, event.timestamp.day + 1)}
                added_on = None
        if added_on is not None:
            active_days |= {(identity, day) for day in range(added_on, 32)}

    prorated = prorated_unique_count_units(events, AUGUST)

    with exact_arithmetic():
        assert prorated.units * 31 >= len(active_days)
    assert prorated.units == round_up(Decimal(len(active_days)) / 31, 5)
    assert days_charged(*events) == len(active_days)

"""Totals that are added up event by event."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from invoicer.billing.recount import RecountingReader, level_of
from schemas.metrics import AggregationType, MetricDefinition
from schemas.period import TimeRange
from schemas.usage import UsageRow, UsageScope

MARCH, APRIL, MAY = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))
METRIC = MetricDefinition(
    id="m", organization_id="o", code="c", aggregation_type=AggregationType.SUM, field_name="n"
)


def make_row(value: str, at: datetime = APRIL, group: tuple[str | None, ...] = (), identity: str = "") -> UsageRow:
    """An event that is worth `value`."""
    return UsageRow(group, at, "t", Decimal(value), identity, Decimal("0.5"), at, at)


def scope(start: datetime | None, end: datetime) -> UsageScope:
    """Everything from `start` to before `end`."""
    return UsageScope("o", "acme-1", METRIC, TimeRange(start, end))


def test_totals_of_a_period_leave_out_what_lies_around_it() -> None:
    """March and the first of May are outside of April; without a start, March is in."""
    reader = RecountingReader([make_row("1", MARCH), make_row("2"), make_row("4", MAY)])
    assert [each.sum for each in reader.totals(scope(APRIL, MAY))] == [2]
    assert [each.sum for each in reader.totals(scope(None, MAY))] == [3]


def test_totals_give_every_aggregate_of_each_group() -> None:
    """Two groups; an identity that is added twice and removed once is gone."""
    rows = [
        make_row("1", group=("red",), identity="u1"),
        make_row("1", group=("red",), identity="u1"),
        make_row("-1", group=("red",), identity="u1"),
        make_row("2.5", group=(None,), identity="u2"),
    ]
    red, none = RecountingReader(rows).totals(scope(APRIL, MAY))
    assert (red.group, red.sum, red.events_count, red.unique_count, red.removals) == (
        ("red",),
        Decimal(1),
        3,
        0,
        1,
    )
    assert red.precise_total_amount_cents == Decimal("1.5")
    assert (none.group, none.max, none.latest, none.unique_count) == ((None,), Decimal("2.5"), Decimal("2.5"), 1)


def test_level_of_each_aggregation_by_hand() -> None:
    """What five events leave behind."""
    rows = [make_row(value, identity=f"u{n}") for n, value in enumerate(("5", "-1", "3", "3", "2"))]
    levels = {aggregation.value: level_of(aggregation, rows) for aggregation in AggregationType}
    assert levels == {
        "count_agg": 5,
        "sum_agg": 12,
        "max_agg": 5,
        "latest_agg": 2,
        "unique_count_agg": 4,
        "weighted_sum_agg": 12,
    }


@given(st.lists(st.decimals(-(10**17), 10**17, places=18), max_size=20), st.integers(0, 20))
def test_level_of_a_sum_is_that_of_its_parts(values: list[Decimal], cut: int) -> None:
    """Whatever is carried and whatever is new add up, to the last digit."""
    rows = [make_row(format(value, "f")) for value in values]
    carried, new = (level_of(AggregationType.SUM, part) for part in (rows[:cut], rows[cut:]))
    assert Fraction(level_of(AggregationType.SUM, rows)) == Fraction(carried) + Fraction(new)

"""An event that was stored twice is found, and all but its first row are removed."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from aggregator.clickhouse import ClickHouse, ProjectionNotUsed, Row
from aggregator.usage import ClickHouseUsageReader
from schemas.errors import InvariantViolation
from schemas.events import Event
from schemas.metrics import MetricDefinition
from schemas.period import TimeRange
from schemas.reconciliation import AuditScope
from schemas.usage import UsageScope
from tests.aggregator.copies import InterposedClickHouse, Zombie, reconciler_of
from tests.aggregator.stream import Stream, at

JULY, AUGUST, SEPTEMBER = (f"2026-0{month}-13T12:00:00Z" for month in (7, 8, 9))
JULY_TO_SEPTEMBER = TimeRange(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
JUST_AUGUST = TimeRange(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))
SUB, NEIGHBOUR = "sub-1", "sub-2"


@pytest.fixture(autouse=True)
def _few_parts(embedded_clickhouse: ClickHouse) -> None:
    """Start with an empty table: a DELETE gives every part a new name, 0.1 s each."""
    embedded_clickhouse.command("TRUNCATE TABLE events")


@pytest.fixture
def metric(stream: Stream) -> MetricDefinition:
    """A sum of units."""
    return stream.metric()


@pytest.fixture
def zombie(embedded_clickhouse: ClickHouse, stream: Stream, metric: MetricDefinition) -> Zombie:
    """A worker that inserts what it likes, in the stream's partition."""
    return Zombie(embedded_clickhouse, metric, stream.partition)


def three_months(stream: Stream, subscription: str = SUB) -> list[Event]:
    """An event of 1, 2 and 4 units in July, August and September."""
    return [
        stream.event(f"t{units}", str(units), timestamp_us=at(month), subscription=subscription)
        for units, month in ((1, JULY), (2, AUGUST), (4, SEPTEMBER))
    ]


def units(clickhouse: ClickHouse, metric: MetricDefinition, period: TimeRange = JULY_TO_SEPTEMBER) -> Decimal:
    """What would be billed."""
    scope = UsageScope(metric.organization_id, SUB, metric, period)
    return sum((each.sum for each in ClickHouseUsageReader(clickhouse).totals(scope)), Decimal(0))


def insert_at_other_offsets(zombie: Zombie, events: Sequence[Event]) -> int:
    zombie.insert(*events, offset=7)
    return 3


def insert_the_same_positions(zombie: Zombie, events: Sequence[Event]) -> int:
    zombie.insert_late(*events, offset=0)
    return 3


def insert_three_copies(zombie: Zombie, events: Sequence[Event]) -> int:
    zombie.insert_late(*events[:2], offset=0)
    zombie.insert(events[0], events[0], events[1], offset=8)
    return 5


def insert_other_contents(zombie: Zombie, events: Sequence[Event]) -> int:
    """The same identity with other units, in another month and under another code: what a conflict would be."""
    moved = zombie_event(events[0], timestamp_us=at(AUGUST), ingested_at_us=events[0].ingested_at_us + 1)
    recoded = zombie_event(events[1], code="other_code", ingested_at_us=events[1].ingested_at_us + 1)
    zombie.insert(moved, recoded, offset=9)
    return 2


def zombie_event(event: Event, **changes: object) -> Event:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return Event(**(fields | changes))


@pytest.mark.parametrize(
    "insert", [insert_at_other_offsets, insert_the_same_positions, insert_three_copies, insert_other_contents]
)
def test_check_of_duplicates_leaves_the_first_accepted_alone(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie, metric: MetricDefinition, insert: object
) -> None:
    """Totals, rows and projection are again what they were; a neighbour and a second check change nothing."""
    events = three_months(stream)
    stream.count(*events)
    stream.count(*three_months(stream, NEIGHBOUR))
    before = zombie.stored()
    surplus = insert(zombie, events)  # type: ignore[operator]  # one of the functions above
    assert units(embedded_clickhouse, metric) != 7 or insert is insert_other_contents
    reconciler = reconciler_of(embedded_clickhouse)

    result = reconciler.check(stream.organization_id)

    assert (result.checked_events, result.duplicates_found) == (6 + surplus, surplus)
    assert (result.duplicates_removed, result.projection_difference) == (surplus, 0)
    assert zombie.stored() == before
    assert units(embedded_clickhouse, metric) == 7
    assert zombie.hourly_units(SUB) == zombie.hourly_units(NEIGHBOUR) == 7
    again = reconciler.check(stream.organization_id)
    assert (again.checked_events, again.duplicates_found, again.difference) == (6, 0, 0)
    report = reconciler.report(stream.organization_id)
    assert (report.duplicates_found_total, report.duplicates_removed_total) == (surplus, surplus)
    assert zombie.stored() == before


def test_check_keeps_the_row_that_was_accepted_first(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie
) -> None:
    """The time of acceptance decides, then the position; not what was inserted first."""
    late, early = (stream.event("t", "1", ingested_at_us=at(AUGUST) + later) for later in (5, 0))
    zombie.insert(late, offset=1)
    zombie.insert(early, offset=4)
    zombie.insert(early, offset=3)
    reconciler_of(embedded_clickhouse).check(stream.organization_id)
    assert zombie.stored() == [(SUB, "t", 3, 0)]


def test_look_checks_what_is_new_and_tells_prometheus(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie, metric: MetricDefinition
) -> None:
    """A twin is gone after the next look; looks without anything new find nothing."""
    registry = CollectorRegistry()
    reconciler = reconciler_of(embedded_clickhouse, registry)

    def look() -> None:
        while reconciler.look():
            pass

    events = three_months(stream)
    stream.count(*events)
    look()
    clean = reconciler.report(stream.organization_id)
    assert (clean.last and clean.last.checked_events, clean.difference) == (3, 0)
    before = registry.get_sample_value("millrace_reconcile_repaired_total")
    zombie.insert_late(*events[1:], offset=0)
    look()
    assert units(embedded_clickhouse, metric) == 7
    repaired = registry.get_sample_value("millrace_reconcile_repaired_total")
    assert (repaired or 0) - (before or 0) == 2
    assert registry.get_sample_value("millrace_reconcile_difference") == 0
    look()
    report = reconciler.report(stream.organization_id)
    assert report.last is not None
    assert (report.last.duplicates_found, report.duplicates_found_total) == (0, 2)
    last_run = registry.get_sample_value("millrace_reconcile_last_run_timestamp_seconds")
    assert last_run == pytest.approx(report.last.at.timestamp())


def test_check_of_many_subscriptions_goes_chunk_by_chunk(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie
) -> None:
    """450 subscriptions are three chunks; twins in the first and the last are found, odd names included."""
    names = [f"sub {number:03} 'x\\" for number in range(450)]
    zombie.insert(*[stream.event("t", subscription=name) for name in names], offset=0)
    for name in (names[0], names[-1]):
        zombie.insert(stream.event("t", subscription=name), offset=1)
    result = reconciler_of(embedded_clickhouse).check(stream.organization_id)
    assert (result.checked_events, result.duplicates_found, result.duplicates_removed) == (452, 2, 2)
    assert len(zombie.stored()) == 450


def test_check_of_an_organization_without_events_finds_nothing(embedded_clickhouse: ClickHouse) -> None:
    """There is nothing to differ."""
    result = reconciler_of(embedded_clickhouse).check(f"org-{uuid4().hex}")
    assert (result.checked_events, result.difference) == (0, 0)


def test_repair_with_parts_merged_in_between_removes_no_other_row(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie
) -> None:
    """The places that were read are gone when the DELETE comes: it finds nothing, and the next round repairs."""
    events = [stream.event(f"t{n}", timestamp_us=at("2003-05-13T12:00:00Z")) for n in range(4)]
    zombie.insert(*events, offset=0)
    zombie.insert_late(*events, offset=0)
    deletes = []

    def merge_first() -> bool:
        deletes.append(1)
        if len(deletes) == 1:
            embedded_clickhouse.command(
                "OPTIMIZE TABLE events PARTITION ID '200305' FINAL SETTINGS alter_sync = 2"
            )
        return True

    result = reconciler_of(InterposedClickHouse(embedded_clickhouse, before_delete=merge_first)).check(
        stream.organization_id
    )
    assert len(deletes) == 2
    assert (result.duplicates_found, result.duplicates_removed) == (4, 4)
    assert zombie.stored() == [(SUB, f"t{n}", 0, n) for n in range(4)]


def test_repair_never_shows_fewer_events_than_there_are(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie
) -> None:
    """Whoever reads during a repair finds each event at least once."""
    events = three_months(stream)
    zombie.insert(*events, offset=0)
    zombie.insert_late(*events, offset=0)
    seen: set[int] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add(len({transaction for _, transaction, *_ in zombie.stored()}))

    reader = threading.Thread(target=read)
    reader.start()
    reconciler_of(embedded_clickhouse).check(stream.organization_id)
    stop.set()
    reader.join()
    assert seen == {3}
    assert len(zombie.stored()) == 3


def test_verify_repairs_the_period_it_is_asked_for(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie, metric: MetricDefinition
) -> None:
    """A twin outside of the period costs nothing; one inside is removed before it returns."""
    events = three_months(stream)
    stream.count(*events)
    zombie.insert_late(events[0], offset=0)
    deletes = []

    def count_delete() -> bool:
        deletes.append(1)
        return True

    reconciler = reconciler_of(InterposedClickHouse(embedded_clickhouse, before_delete=count_delete))
    august = AuditScope(stream.organization_id, SUB, JUST_AUGUST)
    reconciler.verify([august])
    assert (len(deletes), units(embedded_clickhouse, metric)) == (0, Decimal(8))
    july = AuditScope(stream.organization_id, SUB, TimeRange(None, JUST_AUGUST.start or JUST_AUGUST.end))
    reconciler.verify([july])
    assert (len(deletes), units(embedded_clickhouse, metric)) == (1, Decimal(7))
    assert reconciler.report(stream.organization_id).duplicates_removed_total == 1


def test_verify_of_many_scopes_asks_once_a_period_and_counts_each(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie
) -> None:
    """Two subscriptions, one of them with a twin, and one that sent nothing: a question for each period."""
    events = three_months(stream)
    stream.count(*events, *three_months(stream, NEIGHBOUR))
    counts: list[str] = []

    def note(sql: str, rows: Sequence[Row]) -> Sequence[Row]:
        if "uniqExact(event_id)" in sql:
            counts.append(sql)
        return rows

    scopes = [
        AuditScope(stream.organization_id, name, period)
        for period in (JULY_TO_SEPTEMBER, JUST_AUGUST)
        for name in (SUB, NEIGHBOUR, "silent")
    ]
    reconciler = reconciler_of(InterposedClickHouse(embedded_clickhouse, change=note))
    assert reconciler.verify([]) == {}
    assert list(reconciler.verify([*scopes, *scopes]).values()) == [3, 3, 0, 1, 1, 0]
    assert len(counts) == 2
    zombie.insert_late(events[1], offset=0)
    proven = reconciler.verify(scopes)
    assert [proven[scope] for scope in scopes] == [3, 3, 0, 1, 1, 0]
    assert len(zombie.stored()) == 6


def test_verify_of_more_scopes_than_one_query_takes_finds_the_twin_behind_them(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie
) -> None:
    """450 subscriptions with odd names are three questions; the last subscription's twin is removed."""
    names = [f"sub {number:03} 'x\\" for number in range(450)]
    zombie.insert(*[stream.event("t", subscription=name) for name in names], offset=0)
    zombie.insert(stream.event("t", subscription=names[-1]), offset=1)
    scopes = [AuditScope(stream.organization_id, name, JUST_AUGUST) for name in names]
    assert reconciler_of(embedded_clickhouse).verify(scopes) == dict.fromkeys(scopes, 1)
    assert len(zombie.stored()) == 450


def test_verify_that_cannot_repair_refuses_the_period(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie
) -> None:
    """Better no invoice than a wrong one; the report says how much is unsettled."""
    events = three_months(stream)
    zombie.insert(*events, offset=0)
    zombie.insert(*events, offset=1)
    reconciler = reconciler_of(InterposedClickHouse(embedded_clickhouse, before_delete=lambda: False))
    with pytest.raises(InvariantViolation, match="stored twice"):
        reconciler.verify([AuditScope(stream.organization_id, SUB, JUST_AUGUST)])
    result = reconciler.check(stream.organization_id)
    assert (result.duplicates_found, result.duplicates_removed, result.difference) == (3, 0, 3)
    assert reconciler.report(stream.organization_id).difference == 3
    assert reconciler_of(embedded_clickhouse).check(stream.organization_id).difference == 0


def test_query_that_insists_on_a_projection_in_vain_says_so(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """A transaction id is in no projection."""
    stream.count(*three_months(stream))
    with pytest.raises(ProjectionNotUsed):
        embedded_clickhouse.rows(
            "SELECT transaction_id, max(timestamp) FROM events GROUP BY transaction_id"
            " SETTINGS optimize_use_projections = 1, force_optimize_projection = 1"
        )


def test_check_of_rows_too_few_for_the_projection_finds_no_difference(
    embedded_clickhouse: ClickHouse, stream: Stream
) -> None:
    """Where ClickHouse refuses the projection there is nothing to compare; the events are checked all the same."""
    stream.count(*three_months(stream))

    def refuse(sql: str, rows: Sequence[Row]) -> Sequence[Row]:
        if "force_optimize_projection" in sql:
            raise ProjectionNotUsed("7 marks are not better than 5")
        return rows

    result = reconciler_of(InterposedClickHouse(embedded_clickhouse, change=refuse)).check(stream.organization_id)
    assert (result.projection_difference, result.duplicates_found) == (0, 0)
    assert result.checked_events == 3


@pytest.mark.parametrize(("lies", "expected"), [(1, 0), (100, 1)])
def test_check_counts_a_projection_that_differs_and_keeps_differing(
    embedded_clickhouse: ClickHouse, stream: Stream, zombie: Zombie, lies: int, expected: int
) -> None:
    """A row that arrives between the two queries is no difference; a total that stays wrong is one."""
    stream.count(*three_months(stream))
    told: list[int] = []

    def lie(sql: str, rows: Sequence[Row]) -> Sequence[Row]:
        if "force_optimize_projection" not in sql or len(told) >= lies:
            return rows
        told.append(1)
        return [(*row[:4], row[4] + 1, *row[5:]) if row[3] == 202608 else row for row in rows]

    registry = CollectorRegistry()
    reconciler = reconciler_of(InterposedClickHouse(embedded_clickhouse, change=lie), registry)
    assert reconciler.check(stream.organization_id).projection_difference == expected
    assert registry.get_sample_value("millrace_reconcile_difference") == expected


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    copies=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
    )  # which event, at which offset, and whether by itself
)
def test_check_after_any_copies_leaves_each_event_once(
    embedded_clickhouse: ClickHouse, stream: Stream, metric: MetricDefinition, copies: list[tuple[int, int, bool]]
) -> None:
    """However often and wherever events were written again, one row of each stays and the totals are exact."""
    organization_id = stream.organization_id = f"org-{uuid4().hex[:12]}"
    own = stream.metric()
    zombie = Zombie(embedded_clickhouse, own, stream.partition)
    events = [stream.event(f"t{n}", str(2**n), timestamp_us=at((JULY, AUGUST)[n % 2])) for n in range(6)]
    zombie.insert(*events, offset=0)
    for number, offset, alone in copies:
        (zombie.insert_late if alone else zombie.insert)(events[number], events[0], offset=offset)
    result = reconciler_of(embedded_clickhouse).check(organization_id)
    assert result.difference == 0
    assert result.duplicates_found == result.checked_events - 6
    assert sorted(transaction for _, transaction, *_ in zombie.stored()) == [f"t{n}" for n in range(6)]
    assert units(embedded_clickhouse, own) == zombie.hourly_units(SUB) == 63

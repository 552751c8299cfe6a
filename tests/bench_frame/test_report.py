"""What the benchmark says of its figures."""

import json
from datetime import UTC, datetime

import pytest

from tests.bench.closing_rate import flatness
from tests.bench.measurement import Bound, Comparison, Figure, Measurement, Target
from tests.bench.report import Run, format_value, render_json, render_markdown, rows

AT_LEAST = Target(Bound.AT_LEAST, 60_000, aim=100_000)


def make_run(*figures: Figure, is_quick: bool = False) -> Run:
    """A run of one measurement."""
    return Run(
        began_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        command="make bench",
        is_quick=is_quick,
        machine={
            "processor": "a processor",
            "cores": "2",
            "memory": "8 GiB",
            "system": "Linux 6",
            "Python": "CPython 3.11.7",
        },
        versions={"Apache Kafka": "4.4.0"},
        measurements=[Measurement("ingest_batches", "ingest", "How it was.", figures, {"ingest": 1.25})],
    )


@pytest.mark.parametrize(
    ("target", "value", "is_met"),
    [
        (AT_LEAST, 60_000, True),
        (AT_LEAST, 59_999.9, False),
        (Target(Bound.AT_MOST, 2), 2, True),
        (Target(Bound.AT_MOST, 2), 2.1, False),
        (Target(Bound.BELOW, 100), 99.9, True),
        (Target(Bound.BELOW, 100), 100, False),
    ],
)
def test_target_is_met_on_its_side_of_the_limit(target: Target, value: float, is_met: bool) -> None:
    """ "At least" and "at most" take the limit in, "below" does not."""
    assert Figure("a figure", value, "", target).is_met is is_met


def test_row_of_a_missed_target_says_so() -> None:
    """Whoever reads the table must see it."""
    figure = Figure("events acknowledged", 40_000.4, "events/s", AT_LEAST)
    [row] = rows(make_run(figure).measurements[0])
    assert row.cells == (
        "ingest: events acknowledged",
        "40,000 events/s",
        "≥ 60,000 events/s, aim 100,000",
        "MISSED",
        "",
    )
    assert row.is_met is False


def test_row_of_a_comparison_shows_how_many_times_as_fast_we_are() -> None:
    """Below its figure, in the same unit."""
    comparison = Comparison("a plain insert", 80_000, 0.5, Target(Bound.AT_LEAST, 0.6))
    _, row = rows(make_run(Figure("events", 40_000, "events/s", None, (comparison,))).measurements[0])
    assert row.cells == (
        "  vs a plain insert",
        "80,000 events/s",
        "Millrace ≥ 0.6 × this",
        "MISSED",
        "0.50 × as fast",
    )


def test_row_of_what_could_not_be_compared_says_why() -> None:
    """A missing program is no zero."""
    comparison = Comparison("Redis", note="not measured: no redis-server")
    _, row = rows(make_run(Figure("events", 40_000, "events/s", None, (comparison,))).measurements[0])
    assert row.cells == ("  vs Redis", "not measured: no redis-server", "", "", "")


def test_json_holds_machine_versions_and_every_figure() -> None:
    """A program compares runs by it."""
    comparison = Comparison("Redis", 20_000, 3.0)
    document = json.loads(render_json(make_run(Figure("events", 60_000, "events/s", AT_LEAST, (comparison,)))))
    assert document["machine"]["cores"] == "2"
    assert document["versions"] == {"Apache Kafka": "4.4.0"}
    [measurement] = document["measurements"]
    assert measurement["cpu_seconds"] == {"ingest": 1.25}
    [figure] = measurement["figures"]
    assert (figure["value"], figure["met"]) == (60_000, True)
    assert figure["target"] == {"bound": "at_least", "limit": 60_000, "aim": 100_000}
    assert figure["comparisons"][0]["advantage"] == 3.0


def test_markdown_holds_the_table_and_what_its_rows_mean() -> None:
    """The page explains itself: date, machine, command, table, conditions."""
    page = render_markdown(make_run(Figure("events", 60_000, "events/s", AT_LEAST)))
    assert (
        "Measured on 2026-01-02 with `make bench`: a processor, 2 cores, 8 GiB, Linux 6, CPython 3.11.7." in page
    )
    assert "| **ingest: events** | **60,000 events/s** | ≥ 60,000 events/s, aim 100,000 | yes |  |" in page
    assert "**Ingest** (`--only ingest_batches`). How it was." in page
    assert "quick" not in page


def test_markdown_of_a_quick_run_warns() -> None:
    """Its figures must not be quoted."""
    assert "its figures are no results" in render_markdown(make_run(is_quick=True))


@pytest.mark.parametrize(
    ("value", "expected"), [(123_456.7, "123,457 ms"), (12.34, "12.3 ms"), (1.234, "1.23 ms"), (0.0, "0.00 ms")]
)
def test_format_value_shows_three_digits(value: float, expected: str) -> None:
    """More digits would claim more than was measured."""
    assert format_value(value, "ms") == expected


def test_flatness_compares_the_halves_by_their_time() -> None:
    """Equal work at 100 and 300 a second takes as long as twice as much at 150."""
    assert flatness([100.0, 300.0, 75.0, 75.0]) == pytest.approx(0.5)

"""What an event is worth, and the reason where it is worth nothing."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from invoicer.billing.event_measure import Measure, measure
from schemas.events import Position
from schemas.metrics import UNEVALUATED, AggregationType, Evaluation, MetricDefinition
from schemas.usage import PlacedEvent, StoredEvent

NOON = datetime(2026, 3, 16, 12, tzinfo=UTC)


def make_metric(aggregation: AggregationType = AggregationType.SUM, **changes: Any) -> MetricDefinition:
    """A sum of `n`, told apart by region."""
    given = {"field_name": "n", "dimensions": ("region",)} | changes
    return MetricDefinition(id="m", organization_id="o", code="calls", aggregation_type=aggregation, **given)


def make_placed(properties: dict[str, object], evaluation: Evaluation = UNEVALUATED) -> PlacedEvent:
    """A stored event with these properties."""
    event = StoredEvent("id", "o", "acme-1", "t1", "calls", NOON, properties, None, NOON)
    return PlacedEvent(event, Position(0, 0, 0), evaluation, NOON)


@pytest.mark.parametrize(
    ("properties", "value", "reason", "detail"),
    [
        ({"n": "2.50"}, "2.50", None, None),
        ({"n": Decimal("0.1")}, "0.1", None, None),
        ({"m": 1}, None, "property_missing", "n"),
        ({"n": None}, None, "property_missing", "n"),
        ({"n": "many"}, None, "property_not_numeric", "n is 'many'"),
        ({"n": True}, None, "property_not_numeric", "n is 'true'"),
        ({"n": "1" * 19}, None, "value_out_of_range", None),
    ],
)
def test_measure_of_a_sum_tells_why_a_property_is_no_value(
    properties: dict[str, object], value: str | None, reason: str | None, detail: str | None
) -> None:
    """Missing, no number, or a number past the bounds."""
    measured = measure(make_placed(properties), make_metric())
    assert measured.value == (None if value is None else Decimal(value))
    assert measured.reason == reason
    if detail is not None:
        assert measured.detail == detail


def test_measure_without_a_metric_names_that_as_the_reason() -> None:
    """The code has no metric."""
    assert measure(make_placed({"n": 1}), None) == Measure(None, "", {}, "no_metric")


def test_measure_takes_what_was_stored_by_the_metric_as_it_is() -> None:
    """Usage is read from the stored value, so the trace shows that one."""
    metric = make_metric()
    stored = Evaluation(metric.evaluation, Decimal(7), "", {"region": "eu"})
    assert measure(make_placed({"n": 1}, stored), metric) == Measure(Decimal(7), "", {"region": "eu"})


def test_measure_evaluates_anew_what_another_metric_stored() -> None:
    """As the usage query does with rows of an older version."""
    stored = Evaluation("older", Decimal(7), "", {})
    assert measure(make_placed({"n": 1, "region": "eu"}, stored), make_metric()) == Measure(
        Decimal(1), "", {"region": "eu"}
    )


def test_measure_of_a_failing_expression_has_the_code_of_its_dead_letter() -> None:
    """What could not be evaluated when it arrived would be dead; what became so later counts in nothing."""
    metric = make_metric(field_name="n", expression="event.properties.n / event.properties.m")
    assert measure(make_placed({"n": 1, "m": 0}), metric).reason == "expression_failed"


def test_measure_of_a_removal_from_a_unique_count_is_minus_one() -> None:
    """With the identity it removes."""
    measured = measure(
        make_placed({"n": "u1", "operation_type": "remove"}), make_metric(AggregationType.UNIQUE_COUNT)
    )
    assert (measured.value, measured.identity) == (Decimal(-1), "u1")

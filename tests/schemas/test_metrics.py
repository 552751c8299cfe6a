"""What an event is worth under a metric."""

from decimal import Decimal

import msgspec
import pytest

from schemas.errors import PoisonEvent
from schemas.events import Event, make_event
from schemas.metrics import NO_IDENTITY, AggregationType, MetricDefinition, MetricEvaluator, property_text


def a_metric(**changes: object) -> MetricDefinition:
    fields: dict[str, object] = {
        "id": "m1",
        "organization_id": "org",
        "code": "calls",
        "aggregation_type": AggregationType.SUM,
        "field_name": "n",
    }
    return MetricDefinition(**{**fields, **changes})  # type: ignore[arg-type]


def an_event(properties: dict[str, object]) -> Event:
    return make_event(
        organization_id="org",
        external_subscription_id="sub",
        transaction_id="tx",
        code="calls",
        timestamp_us=1_700_000_000_000_000,
        properties_json=msgspec.json.Encoder(decimal_format="number").encode(properties),
        precise_total_amount_cents=None,
        ingested_at_us=1_700_000_000_000_001,
    )


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (5, "5"),
        (Decimal("0.1"), "0.1"),
        ("12.50", "12.50"),
        ("-3", "-3"),
        (Decimal("123456789012345678.123456789012345678"), "123456789012345678.123456789012345678"),
    ],
)
def test_number_or_numeric_text_enters_a_sum_exactly(given: object, value: str) -> None:
    """JSON numbers and numeric strings are both fine, digit for digit."""
    assert MetricEvaluator(a_metric()).evaluate(an_event({"n": given})).value == Decimal(value)


@pytest.mark.parametrize("given", ["abc", "1e5", " 5", "+5", ".5", "", True, None, [1], {"a": 1}])
def test_what_is_no_number_does_not_enter_a_sum(given: object) -> None:
    """It is stored, and neither its value nor the event counts."""
    assert MetricEvaluator(a_metric()).evaluate(an_event({"n": given})).value is None


@pytest.mark.parametrize("given", ["1" + "0" * 18, "0." + "0" * 18 + "1"])
def test_number_past_the_precision_is_poison(given: str) -> None:
    """A number that cannot be kept exactly is reported, not rounded and not dropped."""
    with pytest.raises(PoisonEvent, match="value_out_of_range"):
        MetricEvaluator(a_metric()).evaluate(an_event({"n": given}))


def test_count_needs_no_property() -> None:
    """Every event of the code is worth one."""
    metric = a_metric(aggregation_type=AggregationType.COUNT, field_name=None)
    assert MetricEvaluator(metric).evaluate(an_event({})).value == 1


@pytest.mark.parametrize(
    ("properties", "value", "identity"),
    [
        ({"n": "ada"}, 1, "ada"),
        ({"n": "ada", "operation_type": "add"}, 1, "ada"),
        ({"n": "ada", "operation_type": "remove"}, -1, "ada"),
        ({"n": 7}, 1, "7"),
        ({"n": ""}, 1, ""),
        ({}, 1, NO_IDENTITY),
        ({"n": None}, 1, NO_IDENTITY),
    ],
)
def test_unique_count_takes_the_text_as_identity(properties: dict[str, object], value: int, identity: str) -> None:
    """A missing property is an identity of its own, apart from the empty text."""
    evaluation = MetricEvaluator(a_metric(aggregation_type=AggregationType.UNIQUE_COUNT)).evaluate(
        an_event(properties)
    )
    assert evaluation.value == Decimal(value)
    assert evaluation.identity == identity


def test_expression_takes_the_place_of_the_field() -> None:
    """The expression is computed from the properties as sent, exactly."""
    metric = a_metric(expression="round(event.properties.ms / 1000, 2) * event.properties.gb")
    assert MetricEvaluator(metric).evaluate(an_event({"ms": 1234, "gb": "0.5"})).value == Decimal("0.615")


def test_failing_expression_is_poison() -> None:
    """An event without the property an expression needs cannot be measured."""
    with pytest.raises(PoisonEvent, match="expression_failed"):
        MetricEvaluator(a_metric(expression="event.properties.ms * 2")).evaluate(an_event({}))


def test_dimensions_are_the_declared_properties_as_text() -> None:
    """Only declared keys, as text; a missing or null one is absent, an empty one is there."""
    metric = a_metric(dimensions=("empty", "gone", "region", "tier", "void"))
    evaluation = MetricEvaluator(metric).evaluate(
        an_event({"n": 1, "region": "eu", "tier": 3, "empty": "", "void": None, "other": "x"})
    )
    assert evaluation.dimensions == {"region": "eu", "tier": "3", "empty": ""}


@pytest.mark.parametrize("padding", ["", "x" * 1_000])
def test_dimensions_of_alternating_events_are_each_ones_own(padding: str) -> None:
    """Events take turns, and so do metrics: what is remembered of one never shows at another, long or short."""
    by_region = MetricEvaluator(a_metric(dimensions=("region", "tier")))
    by_zone = MetricEvaluator(a_metric(dimensions=("zone", "tier")))
    sent: list[tuple[dict[str, object], dict[str, str]]] = [
        ({"region": "eu", "tier": 3}, {"region": "eu", "tier": "3"}),
        ({"region": "eu"}, {"region": "eu"}),
        ({"tier": "eu"}, {"tier": "eu"}),
        ({"region": "", "tier": None}, {"region": ""}),
        ({"region": "None"}, {"region": "None"}),
        ({}, {}),
    ]
    for _ in range(2):
        for properties, dimensions in sent:
            event = an_event({**properties, "padding": padding})
            assert by_region.evaluate(event).dimensions == dimensions
            assert by_zone.evaluate(event).dimensions == {k: v for k, v in dimensions.items() if k == "tier"}


def test_dimensions_that_come_again_are_one_map_unless_the_properties_are_long() -> None:
    """What is remembered is bounded: a map of long texts is made anew."""
    evaluator = MetricEvaluator(a_metric(dimensions=("region",)))
    first, again = (evaluator.evaluate(an_event({"region": "eu", "n": n})) for n in (1, 2))
    long, long_again = (evaluator.evaluate(an_event({"region": "x" * 512, "n": n})) for n in (1, 2))
    assert first.dimensions is again.dimensions
    assert long.dimensions == long_again.dimensions
    assert long.dimensions is not long_again.dimensions


def test_evaluation_name_changes_with_whatever_changes_the_value() -> None:
    """Stored rows under another name are evaluated anew when they are read."""
    names = {
        a_metric(**change).evaluation
        for change in (
            {},
            {"id": "m2"},
            {"field_name": "other"},
            {"aggregation_type": AggregationType.MAX},
            {"expression": "1"},
            {"dimensions": ("region",)},
        )
    }
    assert len(names) == 6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None), ("x", "x"), (True, "true"), (False, "false"), (10**20, "1" + "0" * 20),
        (Decimal("1E+3"), "1000"), ([1, Decimal("0.5")], "[1,0.5]"), ({"b": 1, "a": None}, '{"a":null,"b":1}'),
    ],
)  # fmt: skip
def test_property_text_is_how_properties_compare(value: object, text: str | None) -> None:
    """Text as it is, numbers in plain notation, nested values as JSON."""
    assert property_text(value) == text


def test_number_that_would_fill_the_memory_is_poison() -> None:
    """A few bytes on the wire must not become a gigabyte of digits."""
    with pytest.raises(PoisonEvent, match="number_out_of_range"):
        property_text(Decimal("1e999999999"))

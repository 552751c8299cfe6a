"""Billable metrics, and what an event is worth under one: the only place that turns properties into a value."""

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

import msgspec

from schemas.errors import PoisonEvent
from schemas.events import MAX_VALUE_INTEGER_DIGITS, Event, decode_properties, parse_quantity
from schemas.expression import Expression, ExpressionError, parse_expression
from schemas.time_text import epoch_decimal

_WHOLE_BELOW = 10**MAX_VALUE_INTEGER_DIGITS
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_PLAIN_DIGITS_MAX = 400
"""Every binary double fits; `1e999999999`, which takes a gigabyte to write out, does not."""
NO_IDENTITY = "\0"
"""Stands for a missing property where identities are counted; no accepted property can hold a NUL."""
NOT_EVALUATED = ""
"""The evaluation of an event whose code had no metric when it was stored."""
DIMENSIONS_KEPT = 16_384
"""Different dimensions of events that are remembered, 40 MB at most."""
_REMEMBERED_BYTES_MAX = 512
"""Those of events with longer properties are not."""


class AggregationType(StrEnum):
    """How the events of a metric become units."""

    COUNT = "count_agg"
    SUM = "sum_agg"
    MAX = "max_agg"
    LATEST = "latest_agg"
    UNIQUE_COUNT = "unique_count_agg"
    WEIGHTED_SUM = "weighted_sum_agg"


NUMERIC_AGGREGATIONS = frozenset(
    {AggregationType.SUM, AggregationType.MAX, AggregationType.LATEST, AggregationType.WEIGHTED_SUM}
)


class MetricDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What the stream needs to know of a billable metric.

    `dimensions` are the property keys its events are told apart by (filter keys and pricing group keys of all
    its charges), sorted.
    """

    id: str
    organization_id: str
    code: str
    aggregation_type: AggregationType
    field_name: str | None = None
    expression: str | None = None
    recurring: bool = False
    dimensions: tuple[str, ...] = ()

    @property
    def evaluation(self) -> str:
        """Names this way of evaluating an event: stored rows that carry another name are evaluated anew."""
        parts = (self.id, self.aggregation_type, self.field_name, self.expression, self.dimensions)
        return blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


class Evaluation(msgspec.Struct, frozen=True, gc=False):
    """What an event is worth.

    `value`: 1 for a count; ±1 for a unique count (−1 removes); the number of the field otherwise; None when
    the event does not enter the aggregation. `identity`: what a unique count counts, "" elsewhere. `dimensions`
    is shared between events and never written to.
    """

    evaluation: str
    value: Decimal | None
    identity: str
    dimensions: Mapping[str, str]


UNEVALUATED = Evaluation(NOT_EVALUATED, None, "", {})

_ONE = Decimal(1)
_nested_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


class MetricEvaluator:
    """Evaluates events under one metric; built once per metric version, since it parses the expression."""

    def __init__(self, metric: MetricDefinition) -> None:
        self.metric = metric
        self._evaluation = metric.evaluation
        self._expression: Expression | None = parse_expression(metric.expression) if metric.expression else None
        self._dimensions = metric.dimensions
        # Most metrics take a number from one property as it is; the type decides that once, not at every event.
        self.takes_plain_number = self._expression is None and metric.aggregation_type in NUMERIC_AGGREGATIONS
        self._field_name = metric.field_name or ""
        self.reads_properties = bool(metric.dimensions or metric.aggregation_type is not AggregationType.COUNT)
        self._constant = None if self.reads_properties else Evaluation(self._evaluation, _ONE, "", {})

    def evaluate(self, event: Event) -> Evaluation:
        """What `event` is worth under this metric.

        Bounds: |value| < 10^18 with at most 18 decimals.
        Raises: PoisonEvent when the value is a number outside the bounds or the expression fails.
        Source: Lago, which events enter an aggregation.
        """
        if self._constant is not None:
            return self._constant
        properties = decode_properties(event.properties_json)
        texts: tuple[str | None, ...] = ()
        for key in self._dimensions:
            value = properties.get(key)
            texts += (value if type(value) is str else property_text(value),)
        look_up = _known_dimensions if len(event.properties_json) <= _REMEMBERED_BYTES_MAX else _dimensions
        dimensions = look_up(self._dimensions, *texts)
        if self.takes_plain_number:
            return Evaluation(self._evaluation, number_of(properties.get(self._field_name)), "", dimensions)
        quantity, identity = self._value(event, properties)
        return Evaluation(self._evaluation, quantity, identity, dimensions)

    def field_text(self, code: str, timestamp_us: int, properties: Mapping[str, object]) -> str | None:
        """The text of the measured property: the expression's result where there is one, else the property.

        Raises: ExpressionError when the expression cannot be evaluated on these properties.
        """
        if self._expression is not None:
            result = self._expression.evaluate(
                code=code, timestamp=epoch_decimal(timestamp_us), properties=properties
            )
            return property_text(result)
        return property_text(properties.get(self._field_name))

    def _value(self, event: Event, properties: Mapping[str, object]) -> tuple[Decimal | None, str]:
        aggregation = self.metric.aggregation_type
        if aggregation is AggregationType.COUNT:
            return _ONE, ""
        try:
            text = self.field_text(event.code, event.timestamp_us, properties)
        except ExpressionError as error:
            raise PoisonEvent("expression_failed", str(error)) from error
        if aggregation is AggregationType.UNIQUE_COUNT:
            removes = property_text(properties.get("operation_type")) == "remove"
            return (-_ONE if removes else _ONE), (NO_IDENTITY if text is None else text)
        return numeric_value(text), ""


def _dimensions(keys: tuple[str, ...], *texts: str | None) -> Mapping[str, str]:
    dimensions: dict[str, str] = {}
    for key, text in zip(keys, texts):  # noqa: B905 - one text a key; asking for that costs as much as the map
        if text is not None:
            dimensions[key] = text
    return dimensions


# A stream repeats its dimensions: with a map for each event a batch of 50,000 takes 12 MB more, and touching new
# memory costs more than looking a map up.
_known_dimensions = lru_cache(DIMENSIONS_KEPT)(_dimensions)


def number_of(value: object) -> Decimal | None:
    """The number a numeric aggregation takes from a property: that of its text, which few numbers need to become.

    Raises: PoisonEvent, as `property_text` and `numeric_value` do.
    """
    if type(value) is int and -_WHOLE_BELOW < value < _WHOLE_BELOW:
        return Decimal(value)
    return numeric_value(property_text(value))


def numeric_value(text: str | None) -> Decimal | None:
    """The number a numeric aggregation takes from a property's text; None when the event does not count.

    Raises: PoisonEvent for a number past the documented precision, which must not be dropped silently.
    """
    if text is None:
        return None
    value = parse_quantity(text)
    if value is None and _NUMBER.fullmatch(text):
        raise PoisonEvent(
            "value_out_of_range", f"{text[:60]!r} has more than 18 digits before or behind the point"
        )
    return value


def property_text(value: object) -> str | None:
    """A property as text, the form in which properties are compared; None when it is missing or null.

    Raises: PoisonEvent for a number whose plain notation would take more than 400 digits.
    """
    if value is None or isinstance(value, str):
        return value
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            if abs(value.adjusted()) > _PLAIN_DIGITS_MAX:
                raise PoisonEvent("number_out_of_range", f"{value} has too many digits")
            return format(value, "f")
        case _:
            return _nested_encoder.encode(value).decode()

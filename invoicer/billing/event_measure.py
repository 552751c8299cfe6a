"""What an event is worth under its metric, and why it is worth nothing where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import msgspec

from schemas.errors import PoisonEvent
from schemas.events import make_event
from schemas.metrics import Evaluation, MetricDefinition, MetricEvaluator
from schemas.time_text import to_microseconds
from schemas.usage import PlacedEvent, StoredEvent

_DETAIL_CHARS_MAX = 60
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


class Uncounted(StrEnum):
    """Why an event counts in nothing; a value out of bounds has the code of its dead letter instead."""

    NO_METRIC = "no_metric"
    PROPERTY_MISSING = "property_missing"
    PROPERTY_NOT_NUMERIC = "property_not_numeric"
    SUBSCRIPTION_NOT_FOUND = "subscription_not_found"
    OUTSIDE_SUBSCRIPTION = "outside_subscription"
    NO_CHARGE = "no_charge"


@dataclass(frozen=True)
class Measure:
    """What an event is worth. `value` None: it enters no aggregation, for `reason`."""

    value: Decimal | None
    identity: str
    dimensions: Mapping[str, str]
    reason: str | None = None
    detail: str | None = None


def measure(placed: PlacedEvent, metric: MetricDefinition | None) -> Measure:
    """Measure a stored event as its usage is read: by what was stored, or anew where the metric has changed."""
    if metric is None:
        return Measure(None, "", {}, Uncounted.NO_METRIC)
    evaluator = MetricEvaluator(metric)
    try:
        evaluation = placed.evaluation
        if evaluation.evaluation != metric.evaluation:
            evaluation = _evaluate(placed.event, evaluator)
        if evaluation.value is not None:
            return Measure(evaluation.value, evaluation.identity, evaluation.dimensions)
        return _without_value(placed.event, evaluation, evaluator)
    except PoisonEvent as poison:
        return Measure(None, "", {}, poison.code, poison.reason)


def _evaluate(event: StoredEvent, evaluator: MetricEvaluator) -> Evaluation:
    return evaluator.evaluate(
        make_event(
            organization_id=event.organization_id,
            external_subscription_id=event.external_subscription_id,
            transaction_id=event.transaction_id,
            code=event.code,
            timestamp_us=to_microseconds(event.timestamp),
            properties_json=_encoder.encode(event.properties),
            precise_total_amount_cents=event.precise_total_amount_cents,
            ingested_at_us=to_microseconds(event.ingested_at),
        )
    )


def _without_value(event: StoredEvent, evaluation: Evaluation, evaluator: MetricEvaluator) -> Measure:
    text = evaluator.field_text(event.code, to_microseconds(event.timestamp), event.properties)
    name = evaluator.metric.expression or evaluator.metric.field_name or ""
    if text is None:
        return Measure(None, "", evaluation.dimensions, Uncounted.PROPERTY_MISSING, name)
    shown = f"{name} is {text[:_DETAIL_CHARS_MAX]!r}"
    return Measure(None, "", evaluation.dimensions, Uncounted.PROPERTY_NOT_NUMERIC, shown)

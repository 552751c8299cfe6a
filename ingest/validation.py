"""From what was sent to events that can be counted, or to every issue at once. Pure.

Limits of every field: see the constants here, in `ingest.properties` and in `schemas.events`.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from ingest.parsing import IdentifiedEvent
from ingest.properties import Issues, canonical_json, plain_number, with_property
from schemas.errors import PoisonEvent
from schemas.events import MAX_AMOUNT_DECIMALS, MAX_IDENTIFIER_CHARS, Event, make_event, parse_quantity
from schemas.expression import ExpressionError
from schemas.metrics import NUMERIC_AGGREGATIONS, AggregationType, MetricEvaluator, number_of, numeric_value
from schemas.time_text import parse_epoch_seconds

OLDEST_TIMESTAMP_US: Final = 946_684_800_000_000
"""2000-01-01T00:00:00Z: anything older is a clock that was never set, and would open a table partition a month."""
MAX_AHEAD_US: Final = 24 * 3600 * 1_000_000
"""A day ahead of us: time zones and clock skew, not the future."""

Evaluators = Mapping[str, MetricEvaluator]
"""How the events of a request are measured, by code; one that nobody measures yet is not there."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class ValidEvent(msgspec.Struct, frozen=True, gc=False):
    """An event to publish, and its properties as the answer shows them (JSON)."""

    event: Event
    shown_properties: bytes


def validate_event(sent: object, organization_id: str, now_us: int, evaluators: Evaluators) -> ValidEvent | Issues:
    """The event that was sent, or everything that is wrong with it; an explicit null counts as absent.

    Unit:   `now_us` in microseconds since the epoch; it is the reception time.
    Bounds: timestamp in [2000-01-01, now + 24 h]; ids of 1 to 255 characters, no NUL.
    Source: Lago API, events. The code and the subscription need not exist.
    """
    issues: Issues = {}
    if type(sent) is IdentifiedEvent and not sent.has_unusual_identifier():
        named = sent
    else:
        named = _identified(sent, issues)
    timestamp_us = _timestamp(named.timestamp, now_us, issues)
    sent_amount = named.precise_total_amount_cents
    amount = None if sent_amount is None else _amount(sent_amount, issues)
    properties_json = _properties_json(named.properties, issues)
    if issues:
        return issues
    event = make_event(
        organization_id=organization_id,
        external_subscription_id=named.external_subscription_id or "",
        transaction_id=named.transaction_id,
        code=named.code,
        timestamp_us=timestamp_us,
        properties_json=properties_json,
        precise_total_amount_cents=amount,
        # Equal times stand for "sent without a timestamp" in the stream: keep the two cases apart.
        ingested_at_us=now_us + 1 if timestamp_us == now_us else now_us,
    )
    evaluator = evaluators.get(named.code)
    if evaluator is None or evaluator.metric.aggregation_type is AggregationType.COUNT:
        return ValidEvent(event, properties_json)
    return _measured(event, named.properties, evaluator)


def _identified(sent: object, issues: Issues) -> IdentifiedEvent:
    """`sent` with the identifiers it has; what is wrong with them is added to `issues`."""
    fields = msgspec.structs.asdict(sent) if isinstance(sent, IdentifiedEvent) else sent
    if not isinstance(fields, dict):
        issues["event"] = ["value_is_invalid"]
        return IdentifiedEvent("", "")
    subscription = fields.get("external_subscription_id")
    return IdentifiedEvent(
        transaction_id=_identifier(fields.get("transaction_id"), "transaction_id", issues),
        code=_identifier(fields.get("code"), "code", issues),
        external_subscription_id=None
        if subscription is None or subscription == ""
        else _identifier(subscription, "external_subscription_id", issues),
        timestamp=fields.get("timestamp"),
        precise_total_amount_cents=fields.get("precise_total_amount_cents"),
        properties=fields.get("properties"),
    )


def _measured(event: Event, sent_properties: object, evaluator: MetricEvaluator) -> ValidEvent | Issues:
    """Refuses what its metric could never count, so that an accepted event does not end as a dead letter."""
    metric = evaluator.metric
    field = metric.field_name or ""
    properties = sent_properties if isinstance(sent_properties, dict) else {}
    try:
        if evaluator.takes_plain_number:
            number_of(properties.get(field))
            return ValidEvent(event, event.properties_json)
        text = evaluator.field_text(event.code, event.timestamp_us, properties)
        if metric.aggregation_type in NUMERIC_AGGREGATIONS:
            numeric_value(text)
    except ExpressionError as error:
        return {"properties": [str(error)]}
    except PoisonEvent:
        return {f"properties.{field}": ["value_is_out_of_range"]}
    if not metric.expression:
        return ValidEvent(event, event.properties_json)
    return ValidEvent(event, with_property(properties, field, text))


def _identifier(value: object, name: str, issues: Issues) -> str:
    if isinstance(value, str) and 0 < len(value) <= MAX_IDENTIFIER_CHARS and "\0" not in value and value.strip():
        return value
    issues[name] = [_identifier_code(value)]
    return ""


def _identifier_code(value: object) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "value_is_mandatory"
    if isinstance(value, str) and len(value) > MAX_IDENTIFIER_CHARS:
        return "value_is_too_long"
    return "value_is_invalid"


def _timestamp(value: object, now_us: int, issues: Issues) -> int | None:
    """Microseconds since the epoch; None when none was sent (or it is an issue)."""
    if value is None:
        return None
    if type(value) is int:  # whole seconds, what most clients send; a bool is no number
        micros: int | None = value * 1_000_000
    else:
        text = _number_text(value)
        micros = None if text is None else parse_epoch_seconds(text)
    if micros is not None and OLDEST_TIMESTAMP_US <= micros <= now_us + MAX_AHEAD_US:
        return micros
    issues["timestamp"] = ["value_is_out_of_range" if _is_number(value) else "invalid_format"]
    return None


def _amount(value: object, issues: Issues) -> Decimal | None:
    """An amount of 18 digits and 15 decimals at most, as number or as plain text."""
    text = _number_text(value)
    amount = None if text is None else parse_quantity(text, decimals=MAX_AMOUNT_DECIMALS)
    if amount is None:
        code = "value_is_out_of_range" if _is_number(value) else "value_is_invalid"
        issues["precise_total_amount_cents"] = [code]
    return amount


def _is_number(value: object) -> bool:
    """Whether `value` is a number of any size, as JSON number or as text: then only its bounds can be wrong."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _number_text(value: object) -> str | None:
    """A JSON number or a text in plain notation; None for any other type, and for a number without bounds."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    return plain_number(value) if isinstance(value, Decimal) else None


def _properties_json(properties: object, issues: Issues) -> bytes:
    if properties is None:
        return b"{}"
    if not isinstance(properties, dict):
        issues["properties"] = ["value_is_invalid"]
        return b"{}"
    return canonical_json(properties, issues)

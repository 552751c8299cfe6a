"""Tries an expression on an event, so that a metric can be written before events arrive."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from invoicer.catalog.metric_input import ExpressionInput
from schemas.errors import InputError
from schemas.expression import Expression, ExpressionError, InvalidExpression, parse_expression
from schemas.money import decimal_text
from schemas.time_text import epoch_decimal, parse_epoch_seconds, to_microseconds


def evaluate_expression(given: ExpressionInput, now: datetime) -> str:
    """The text of what the expression makes of the event; the event happens `now` unless it says otherwise.

    Raises: InputError.
    Source: Lago expression language, evaluate_expression.
    """
    expression = _parse(given.expression)
    event = given.event
    if not isinstance(event, Mapping):
        raise _invalid_event()
    properties = event.get("properties")
    try:
        value = expression.evaluate(
            code=str(event.get("code") or ""),
            timestamp=_timestamp(event.get("timestamp"), now),
            properties=_exact(properties) if isinstance(properties, Mapping) else {},
        )
    except ExpressionError as error:
        raise _invalid_event() from error
    return decimal_text(value) if isinstance(value, Decimal) else value


def _parse(source: Any) -> Expression:
    if source is None or source == "":
        raise InputError({"expression": ["value_is_mandatory"]})
    try:
        return parse_expression(source if isinstance(source, str) else "")
    except InvalidExpression as error:
        raise InputError({"expression": ["invalid_expression"]}) from error


def _timestamp(value: Any, now: datetime) -> Decimal:
    if value is None or value == "":
        return epoch_decimal(to_microseconds(now))
    microseconds = parse_epoch_seconds(str(value))
    if microseconds is None:
        raise _invalid_event()
    return epoch_decimal(microseconds)


def _exact(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties with decimals for floats: the shortest text of a float is what was sent."""
    return {key: Decimal(str(value)) if isinstance(value, float) else value for key, value in properties.items()}


def _invalid_event() -> InputError:
    return InputError({"event": ["invalid_event"]})

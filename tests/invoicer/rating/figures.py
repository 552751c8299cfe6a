"""Reads the recorded figures beside the tests, and builds the values they talk about."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from invoicer.rating.aggregation import ChargePeriod
from invoicer.rating.usage import UsageEvent

Vector = Mapping[str, Any]
VECTORS = Path(__file__).parent / "vectors"


def load_vectors(name: str) -> list[Any]:
    """The vectors of one file as pytest parameters; numbers with a point are read as decimals."""
    vectors = json.loads((VECTORS / f"{name}.json").read_text(), parse_float=Decimal)
    assert vectors
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def utc(text: str) -> datetime:
    """An aware UTC time from ISO text."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def make_period(
    start: str = "2023-08-01T00:00:00Z",
    end: str = "2023-09-01T00:00:00Z",
    duration_days: int = 31,
    timezone: str = "UTC",
) -> ChargePeriod:
    """August 2023 unless told otherwise."""
    return ChargePeriod(utc(start), utc(end), duration_days, ZoneInfo(timezone))


def period_of(vector_input: Mapping[str, Any]) -> ChargePeriod:
    """The period a vector's input names."""
    return make_period(vector_input["start"], vector_input["end"], vector_input["duration_days"])


def make_event(timestamp: str = "2023-08-10T12:00:00Z", value: str = "1", **changes: Any) -> UsageEvent:
    """One event on 10 August 2023 unless told otherwise."""
    return UsageEvent(timestamp=utc(timestamp), value=Decimal(value), **changes)


def events_of(raw_events: Iterable[Mapping[str, Any]]) -> list[UsageEvent]:
    """The events a vector's input lists."""
    return [make_event(**raw_event) for raw_event in raw_events]


def events_a_minute_apart(values: Iterable[str]) -> list[UsageEvent]:
    """Events with these values, one a minute from 1 August 2023 on."""
    return [
        UsageEvent(datetime(2023, 8, 1, minute // 60, minute % 60, tzinfo=UTC), Decimal(value))
        for minute, value in enumerate(values)
    ]

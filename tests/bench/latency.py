"""Percentiles and schedules. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` of 100 of them do not exceed (nearest rank).

    Bounds: `values` not empty, 0 < percent <= 100.
    """
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


def due_at(started_at: float, number: int, per_second: float) -> float:
    """When request `number`, from 0, of an even schedule is due, on the clock of `started_at` (seconds)."""
    return started_at + number / per_second

"""What a measurement says: figures with their targets, and what they are compared with in the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

Say = Callable[[str], None]
"""Told what is going on, for whoever waits."""


class BenchmarkError(Exception):
    """A measurement that cannot stand: an answer that was no 200, an event that is missing or counted twice."""


class Bound(StrEnum):
    """Which side of its limit a figure must be on; the limit itself is met."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    BELOW = "<"


@dataclass(frozen=True)
class Target:
    """What a figure must reach on a machine with two cores; `aim` is what we would like."""

    bound: Bound
    limit: float
    aim: float | None = None

    def is_met(self, value: float) -> bool:
        match self.bound:
            case Bound.AT_LEAST:
                return value >= self.limit
            case Bound.AT_MOST:
                return value <= self.limit
            case Bound.BELOW:
                return value < self.limit
            case _:
                assert_never(self.bound)


@dataclass(frozen=True)
class Comparison:
    """The same work done another way.

    `advantage` is how many times as fast Millrace was: above 1 it is the faster one. `value` and `advantage` are
    None for what could not be measured here, and `note` says why.
    """

    label: str
    value: float | None = None
    advantage: float | None = None
    target: Target | None = None
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """One measured value, in `unit`."""

    label: str
    value: float
    unit: str
    target: Target | None = None
    comparisons: tuple[Comparison, ...] = ()
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.target is None else self.target.is_met(self.value)


@dataclass(frozen=True)
class Measurement:
    """What one module measured. `conditions` says how, in a sentence or two for the reader of the table.

    `cpu_seconds` are those each process spent during the load that the first figure was taken from.
    """

    name: str
    title: str
    conditions: str
    figures: tuple[Figure, ...]
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)


def faster(ours: float, theirs: float) -> float:
    """How many times as fast we are, of two rates."""
    return ours / theirs


def sooner(ours: float, theirs: float) -> float:
    """How many times as fast we are, of two durations."""
    return theirs / ours

"""The values that come into the rating core: events, and the usage they fold into."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Self, overload

from invoicer.rating.arithmetic import ZERO


class Operation(StrEnum):
    """What an event does to the value it names, for unique counts."""

    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True)
class UsageEvent:
    """One accepted event as the rating core sees it.

    Units:   `value` in the metric's unit; `precise_total_amount_cents` in minor currency units, unrounded.
    Bounds:  `timestamp` is aware UTC; `identity` may be None, which is an identity like any other;
             `operation` is "add" or "remove" (see `Operation`).
    """

    timestamp: datetime
    value: Decimal
    identity: str | None = None
    operation: str = Operation.ADD
    precise_total_amount_cents: Decimal | None = None


@dataclass(frozen=True)
class CountedRunningTotals(Sequence[Decimal]):
    """The running totals 1, 2, …, `length` of a count, without holding them: a count may reach 10^9."""

    length: int

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Decimal: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Decimal, ...]: ...

    def __getitem__(self, index: int | slice) -> Decimal | tuple[Decimal, ...]:
        totals = range(1, self.length + 1)
        if isinstance(index, slice):
            return tuple(Decimal(total) for total in totals[index])
        return Decimal(totals[index])

    def count_below(self, limit: Decimal) -> int:
        """How many totals are strictly below `limit`."""
        below = int(limit) if limit == int(limit) else int(limit) + 1
        return max(0, min(self.length, below - 1))


@dataclass(frozen=True)
class Usage:
    """What one charge is priced on: the units of one bucket in one period.

    Units:   `units` are priced; `full_units` are the same before proration and are the ones shown;
             `total_aggregated_units` is the level at the end of the period (weighted sum), else the units;
             `precise_total_amount_cents` in minor currency units (dynamic model).
    Bounds:  `running_totals`, `event_values` and `prorated_events` (full, prorated) are in timestamp order.
    """

    units: Decimal
    events_count: int
    total_aggregated_units: Decimal
    full_units: Decimal
    running_totals: Sequence[Decimal] = ()
    event_values: tuple[Decimal, ...] = ()
    prorated_events: tuple[tuple[Decimal, Decimal], ...] = ()
    precise_total_amount_cents: Decimal = ZERO

    @classmethod
    def of(cls, units: Decimal, events_count: int = 0) -> Self:
        """Plain usage: nothing prorated, no free units, no amounts carried by the events."""
        return cls(units=units, events_count=events_count, total_aggregated_units=units, full_units=units)

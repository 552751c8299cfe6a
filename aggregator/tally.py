"""Adding up events in Python, exactly: for the few that ClickHouse holds under an older way of evaluating them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact

from schemas.usage import Group, UsageScope, UsageTotals

_EXACT = Context(prec=76, traps=[Inexact])
"""As wide as ClickHouse's Decimal256; a sum that would need rounding raises instead."""
_ZERO = Decimal(0)

OrderKey = tuple[int, int, str]
"""(timestamp, ingested_at, transaction_id): microseconds, microseconds, text; the order of events."""


@dataclass(slots=True)
class Tally:
    """Running aggregates of one group."""

    events_count: int = 0
    sum: Decimal = _ZERO
    max: Decimal | None = None
    latest: tuple[OrderKey, Decimal] | None = None
    identities: set[str] = field(default_factory=set)
    removals: int = 0
    precise_total_amount_cents: Decimal = _ZERO

    def add(self, key: OrderKey, value: Decimal, identity: str, amount: Decimal | None) -> None:
        """Count one event."""
        self.merge(Tally(1, value, value, (key, value), {identity}, int(value < 0), amount or _ZERO))

    def merge(self, other: "Tally") -> None:
        """Count what another tally counted."""
        self.events_count += other.events_count
        self.sum = _EXACT.add(self.sum, other.sum)
        self.max = max((value for value in (self.max, other.max) if value is not None), default=None)
        self.latest = max((item for item in (self.latest, other.latest) if item is not None), default=None)
        self.identities |= other.identities
        self.removals += other.removals
        self.precise_total_amount_cents = _EXACT.add(
            self.precise_total_amount_cents, other.precise_total_amount_cents
        )

    def totals(self, group: Group) -> UsageTotals:
        """The aggregates as they are answered."""
        return UsageTotals(
            group=group,
            events_count=self.events_count,
            sum=self.sum,
            max=self.max,
            latest=None if self.latest is None else self.latest[1],
            unique_count=len(self.identities),
            removals=self.removals,
            precise_total_amount_cents=self.precise_total_amount_cents,
        )


def group_of(scope: UsageScope, dimensions: Mapping[str, str]) -> Group:
    """The group an event falls in; a missing property and "" both give None."""
    return tuple(dimensions.get(key) or None for key in scope.group_by)


def is_in_scope(scope: UsageScope, dimensions: Mapping[str, str]) -> bool:
    """Whether the filters let an event through.

    Source: Lago filters: every key present with a value of the list; a missing property never matches.
    """
    if not _matches(scope.include.items(), dimensions):
        return False
    return not any(_matches(excluded.items(), dimensions) for excluded in scope.exclude)


def _matches(wanted: Iterable[tuple[str, tuple[str, ...]]], dimensions: Mapping[str, str]) -> bool:
    return all(dimensions.get(key) in values for key, values in wanted)

"""What can be asked of the usage store, and what it answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from schemas.metrics import MetricDefinition
from schemas.period import TimeRange


@dataclass(frozen=True)
class UsageScope:
    """The events of one subscription under one metric in a time range, narrowed and grouped by dimensions.

    `include`: every key must be present with one of the values. `exclude`: none of these maps may match in
    full. `group_by`: keys that split the answer; a missing property and "" both land in the group None.
    """

    organization_id: str
    external_subscription_id: str
    metric: MetricDefinition
    period: TimeRange
    include: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    group_by: tuple[str, ...] = ()


Group = tuple[str | None, ...]
"""The values of `UsageScope.group_by`, in its order; () when nothing is grouped."""


@dataclass(frozen=True)
class UsageTotals:
    """The aggregates of one group, exact.

    `events_count` counts the events that enter the aggregation. `max` and `latest` are None without any.
    `unique_count` is the number of distinct identities, right only while `removals` is 0: otherwise the
    operations have to be replayed from the events.
    """

    group: Group
    events_count: int
    sum: Decimal
    max: Decimal | None
    latest: Decimal | None
    unique_count: int
    removals: int
    precise_total_amount_cents: Decimal


@dataclass(frozen=True)
class UsageRow:
    """One counted event. Rows come in the order (timestamp, ingested_at, transaction_id)."""

    group: Group
    timestamp: datetime
    transaction_id: str
    value: Decimal
    identity: str
    precise_total_amount_cents: Decimal | None


class UsageReader(Protocol):
    """Reads exact usage; raises TransientError when the store is away."""

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        """One entry per group that has events; none when there are no events."""
        ...

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        """The counted events behind `totals`, in order."""
        ...


@dataclass(frozen=True)
class StoredEvent:
    """An event as the store keeps it."""

    event_id: str
    organization_id: str
    external_subscription_id: str
    transaction_id: str
    code: str
    timestamp: datetime
    properties: dict[str, object]
    precise_total_amount_cents: Decimal | None
    ingested_at: datetime


@dataclass(frozen=True)
class EventFilter:
    """Narrows a list of events; bounds are inclusive, as the API's are."""

    organization_id: str
    external_subscription_id: str | None = None
    code: str | None = None
    timestamp_from: datetime | None = None
    timestamp_to: datetime | None = None


class EventReader(Protocol):
    """Reads stored events; raises TransientError when the store is away."""

    def find(self, organization_id: str, transaction_id: str) -> StoredEvent | None:
        """The event with that id; the newest one where several subscriptions share the id."""
        ...

    def list(self, wanted: EventFilter, *, limit: int, offset: int) -> tuple[Sequence[StoredEvent], int]:
        """A page, newest timestamp first, and the total count."""
        ...


class WatermarkGate(Protocol):
    """Tells when everything accepted before a moment has been counted."""

    def mark(self) -> Mapping[int, int]:
        """The stream's end now: partition → next offset."""
        ...

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        """Whether everything before `mark` has been counted."""
        ...

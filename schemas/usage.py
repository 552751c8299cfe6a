"""What can be asked of the usage store, and what it answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from schemas.events import Position
from schemas.metrics import Evaluation, MetricDefinition
from schemas.period import TimeRange

LOOK_OVERLAP = timedelta(minutes=5)
"""How far a look at what was stored reaches back behind the one before: a row gets its time as its insert begins
and is seen as it ends, which no client waits for longer than two minutes."""


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


UsageQuestion = tuple[object, ...]
"""Everything of a scope but its subscription, to be compared and hashed."""


def question_of(scope: UsageScope) -> UsageQuestion:
    """What is asked about the subscription: equal for scopes that can be answered together."""
    matches = tuple(tuple(sorted(each.items())) for each in (scope.include, *scope.exclude))
    return scope.organization_id, scope.metric, scope.period, matches, scope.group_by


Group = tuple[str | None, ...]
"""The values of `UsageScope.group_by`, in its order; () when nothing is grouped."""


@dataclass(frozen=True)
class UsageTotals:
    """What a metric of its aggregation type is billed by, of one group, exact.

    `events_count` counts the events that enter the aggregation. Of the rest only the aggregate of the metric's
    own type need be filled: `sum` of both kinds of sum, with `precise_total_amount_cents` of the plain one,
    `max`, `latest`, `unique_count` with `removals`; what is not filled is 0, and of `max` and `latest` None.
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
    """One counted event. Rows come in the order (timestamp, ingested_at, transaction_id).

    `ingested_at` is when it was accepted, `inserted_at` when the store took it, on the store's own clock.
    """

    group: Group
    timestamp: datetime
    transaction_id: str
    value: Decimal
    identity: str
    precise_total_amount_cents: Decimal | None
    ingested_at: datetime
    inserted_at: datetime


class UsageReader(Protocol):
    """Reads exact usage; raises TransientError when the store is away."""

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        """One entry per group that has events; none when there are no events."""
        ...

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        """The counted events behind `totals`, in order."""
        ...


class BatchUsageReader(UsageReader, Protocol):
    """A usage reader that answers many questions at the price of few."""

    def totals_of_many(self, scopes: Sequence[UsageScope]) -> Sequence[Sequence[UsageTotals]]:
        """The `totals` of each scope, in their order; those of one `question_of` are read together."""
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
class PlacedEvent:
    """A stored event with its place in the stream, and what it was worth under the metric of that moment.

    `inserted_at` is when the store took it, on the store's own clock.
    """

    event: StoredEvent
    position: Position
    evaluation: Evaluation
    inserted_at: datetime


@dataclass(frozen=True)
class KeptDeadLetter:
    """An accepted event that can never be counted. `code` is stable, `reason` is for people."""

    external_subscription_id: str
    position: Position
    code: str
    reason: str
    inserted_at: datetime


@dataclass(frozen=True)
class StoredSpan:
    """What was stored for one subscription in a while: the timestamps of the events lie within [first, last]."""

    organization_id: str
    external_subscription_id: str
    first: datetime
    last: datetime


@dataclass(frozen=True)
class ArrivedEvent:
    """A stored event and when the store took it, on the store's own clock."""

    event_id: str
    transaction_id: str
    code: str
    timestamp: datetime
    ingested_at: datetime
    inserted_at: datetime


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

    def places(
        self, organization_id: str, transaction_id: str, external_subscription_id: str | None = None
    ) -> Sequence[PlacedEvent]:
        """Every event with that id, newest timestamp first: one a subscription. Bounded."""
        ...

    def dead_letters(
        self, organization_id: str, transaction_id: str, external_subscription_id: str | None = None
    ) -> Sequence[KeptDeadLetter]:
        """The dead letters of that id that the store keeps, in their order; none where a broker keeps them."""
        ...


class ArrivalReader(Protocol):
    """Reads events in the order in which they were stored; raises TransientError when the store is away."""

    def now(self) -> datetime:
        """The store's own clock, which tells when events were stored."""
        ...

    def spans(self, since: datetime, until: datetime, *, after: tuple[str, str]) -> Sequence[StoredSpan]:
        """The subscriptions that something was stored for in [since, until), the next ones behind `after`.

        In the order of (organization, external subscription id); bounded, none when there are no more.
        """
        ...

    def newest(
        self, organization_id: str, external_subscription_id: str, period: TimeRange, *, limit: int, offset: int
    ) -> Sequence[ArrivedEvent]:
        """The events of a period, under every code, that were stored last, the newest first."""
        ...

    def placed(
        self, organization_id: str, external_subscription_id: str, event_ids: Sequence[str]
    ) -> Sequence[PlacedEvent]:
        """These events, in no order; one that is not there is left out."""
        ...


class WatermarkGate(Protocol):
    """Tells when everything accepted before a moment has been counted."""

    def mark(self) -> Mapping[int, int]:
        """The stream's end now: partition → next offset."""
        ...

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        """Whether everything before `mark` has been counted."""
        ...

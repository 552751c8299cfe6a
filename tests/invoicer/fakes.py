"""Stand-ins for the stores behind the invoicer: they hold what a test puts in and calculate nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schemas.errors import MillraceError, TransientError
from schemas.reconciliation import AuditScope, Reconciliation, ReconciliationReport
from schemas.usage import (
    EventFilter,
    KeptDeadLetter,
    PlacedEvent,
    StoredEvent,
    UsageRow,
    UsageScope,
    UsageTotals,
)


@dataclass
class FakeUsage:
    """Answers the totals and rows it was given per (external subscription, metric code, group keys)."""

    totals_by: dict[tuple[str, str], Sequence[UsageTotals]] = field(default_factory=dict)
    rows_by: dict[tuple[str, str], Sequence[UsageRow]] = field(default_factory=dict)
    scopes: list[UsageScope] = field(default_factory=list)
    is_away: bool = False

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        self._record(scope)
        return self.totals_by.get((scope.external_subscription_id, scope.metric.code), ())

    def totals_of_many(self, scopes: Sequence[UsageScope]) -> Sequence[Sequence[UsageTotals]]:
        return [self.totals(scope) for scope in scopes]

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        self._record(scope)
        yield from self.rows_by.get((scope.external_subscription_id, scope.metric.code), ())

    def _record(self, scope: UsageScope) -> None:
        if self.is_away:
            raise TransientError("clickhouse", "away in this test")
        self.scopes.append(scope)


@dataclass
class FakeEvents:
    """Holds events in a list, newest first; `placed` and `dead` are what a trace finds."""

    stored: list[StoredEvent] = field(default_factory=list)
    placed: list[PlacedEvent] = field(default_factory=list)
    dead: list[tuple[str, KeptDeadLetter]] = field(default_factory=list)

    def find(self, organization_id: str, transaction_id: str) -> StoredEvent | None:
        for event in self.stored:
            if (event.organization_id, event.transaction_id) == (organization_id, transaction_id):
                return event
        return None

    def list(self, wanted: EventFilter, *, limit: int, offset: int) -> tuple[Sequence[StoredEvent], int]:
        owned = [event for event in self.stored if event.organization_id == wanted.organization_id]
        return owned[offset : offset + limit], len(owned)

    def places(
        self, organization_id: str, transaction_id: str, external_subscription_id: str | None = None
    ) -> Sequence[PlacedEvent]:
        return [
            each
            for each in self.placed
            if (each.event.organization_id, each.event.transaction_id) == (organization_id, transaction_id)
            and external_subscription_id in (None, each.event.external_subscription_id)
        ]

    def dead_letters(
        self, organization_id: str, transaction_id: str, external_subscription_id: str | None = None
    ) -> Sequence[KeptDeadLetter]:
        return [
            letter
            for owner, letter in self.dead
            if owner == transaction_id and external_subscription_id in (None, letter.external_subscription_id)
        ]


@dataclass
class FakeGate:
    """Says everything accepted so far has been counted, unless told otherwise."""

    is_open: bool = True

    def mark(self) -> Mapping[int, int]:
        return {0: 0}

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        return self.is_open


@dataclass
class FakeAuditor:
    """Says that every event is stored once, unless it is given an error to raise or a repair to make.

    `stored` tells how many events there are in a scope; none where it does not say. `asked` counts the calls.
    """

    scopes: list[AuditScope] = field(default_factory=list)
    error: MillraceError | None = None
    repair: Callable[[AuditScope], None] | None = None
    stored: dict[AuditScope, int] = field(default_factory=dict)
    checked: dict[str, Reconciliation] = field(default_factory=dict)
    asked: int = 0

    def verify(self, scopes: Sequence[AuditScope]) -> Mapping[AuditScope, int]:
        self.asked += 1
        self.scopes.extend(scopes)
        if self.error is not None:
            raise self.error
        for scope in scopes:
            if self.repair is not None:
                self.repair(scope)
        return {scope: self.stored.get(scope, 0) for scope in scopes}

    def check(self, organization_id: str) -> Reconciliation:
        if self.error is not None:
            raise self.error
        self.checked[organization_id] = Reconciliation(12, 2, 2, 0, datetime(2026, 3, 15, 12, tzinfo=UTC))
        return self.checked[organization_id]

    def report(self, organization_id: str) -> ReconciliationReport:
        check = self.checked.get(organization_id)
        return ReconciliationReport(None, check, 0 if check is None else 2, 0 if check is None else 2)

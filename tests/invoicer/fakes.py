"""Stand-ins for the stores behind the invoicer: they hold what a test puts in and calculate nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.errors import TransientError
from schemas.usage import EventFilter, StoredEvent, UsageRow, UsageScope, UsageTotals


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

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        self._record(scope)
        yield from self.rows_by.get((scope.external_subscription_id, scope.metric.code), ())

    def _record(self, scope: UsageScope) -> None:
        if self.is_away:
            raise TransientError("clickhouse", "away in this test")
        self.scopes.append(scope)


@dataclass
class FakeEvents:
    """Holds events in a list, newest first."""

    stored: list[StoredEvent] = field(default_factory=list)

    def find(self, organization_id: str, transaction_id: str) -> StoredEvent | None:
        for event in self.stored:
            if (event.organization_id, event.transaction_id) == (organization_id, transaction_id):
                return event
        return None

    def list(self, wanted: EventFilter, *, limit: int, offset: int) -> tuple[Sequence[StoredEvent], int]:
        owned = [event for event in self.stored if event.organization_id == wanted.organization_id]
        return owned[offset : offset + limit], len(owned)


@dataclass
class FakeGate:
    """Says everything accepted so far has been counted, unless told otherwise."""

    is_open: bool = True

    def mark(self) -> Mapping[int, int]:
        return {0: 0}

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        return self.is_open

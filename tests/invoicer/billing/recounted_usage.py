"""A usage store that recounts a plain list of events for every question: the oracle of the scenario tests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from schemas.errors import TransientError
from schemas.metrics import AggregationType
from schemas.usage import Group, UsageRow, UsageScope, UsageTotals


@dataclass(frozen=True)
class SentEvent:
    """An event as a test sends it. `value` for numeric metrics, `identity` for unique counts (−1 removes).

    It arrives when it happens unless `arrived_at` is given.
    """

    external_subscription_id: str
    code: str
    timestamp: datetime
    value: Decimal = Decimal(1)
    identity: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    precise_total_amount_cents: Decimal | None = None
    arrived_at: datetime | None = None


@dataclass
class RecountedUsage:
    """Everything sent so far; `questions` counts what was asked of it, `together` how many scopes at once."""

    sent: list[SentEvent] = field(default_factory=list)
    questions: int = 0
    together: list[int] = field(default_factory=list)
    is_away: bool = False

    def send(
        self,
        subscription: str,
        code: str,
        at: datetime,
        value: str | int = 1,
        *,
        times: int = 1,
        identity: str = "",
        amount: str | None = None,
        arrived_at: datetime | None = None,
        **dimensions: str,
    ) -> None:
        """Add `times` equal events."""
        event = SentEvent(
            subscription,
            code,
            at,
            Decimal(value),
            identity,
            dimensions,
            None if amount is None else Decimal(amount),
            arrived_at,
        )
        self.sent.extend([event] * times)

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        groups: dict[Group, list[SentEvent]] = {}
        for event in self._matching(scope):
            groups.setdefault(_group(event, scope), []).append(event)
        return [_totals(group, events) for group, events in groups.items()]

    def totals_of_many(self, scopes: Sequence[UsageScope]) -> Sequence[Sequence[UsageTotals]]:
        self.together.append(len(scopes))
        return [self.totals(scope) for scope in scopes]

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        for position, event in enumerate(self._matching(scope)):
            yield UsageRow(
                group=_group(event, scope),
                timestamp=event.timestamp,
                transaction_id=f"t{position}",
                value=Decimal(1) if scope.metric.aggregation_type is AggregationType.COUNT else event.value,
                identity=event.identity,
                precise_total_amount_cents=event.precise_total_amount_cents,
                ingested_at=event.arrived_at or event.timestamp,
                inserted_at=event.arrived_at or event.timestamp,
            )

    def _matching(self, scope: UsageScope) -> list[SentEvent]:
        self.questions += 1
        if self.is_away:
            raise TransientError("clickhouse", "away in this test")
        matching = [event for event in self.sent if _is_in(event, scope)]
        return sorted(matching, key=lambda event: event.timestamp)


def _is_in(event: SentEvent, scope: UsageScope) -> bool:
    start = scope.period.start
    return (
        event.external_subscription_id == scope.external_subscription_id
        and event.code == scope.metric.code
        and (start is None or start <= event.timestamp)
        and event.timestamp < scope.period.end
        and _matches(event, scope.include)
        and not any(_matches(event, each) for each in scope.exclude)
    )


def _matches(event: SentEvent, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    return all(event.dimensions.get(key) in values for key, values in wanted.items())


def _group(event: SentEvent, scope: UsageScope) -> Group:
    return tuple(event.dimensions.get(key) or None for key in scope.group_by)


def _totals(group: Group, events: Sequence[SentEvent]) -> UsageTotals:
    values = [event.value for event in events]
    return UsageTotals(
        group=group,
        events_count=len(events),
        sum=sum(values, Decimal(0)),
        max=max(values),
        latest=values[-1],
        unique_count=len({event.identity for event in events}),
        removals=sum(1 for value in values if value < 0),
        precise_total_amount_cents=sum(
            (event.precise_total_amount_cents or Decimal(0) for event in events), Decimal(0)
        ),
    )

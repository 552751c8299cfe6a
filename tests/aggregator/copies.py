"""Events that are in the table more often than they should be, written past the index."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from decimal import Decimal

from prometheus_client import CollectorRegistry

from aggregator.clickhouse import ClickHouse, Row
from aggregator.columns import EvaluatedEvent
from aggregator.evaluation import evaluate
from aggregator.event_store import EventStore
from aggregator.observability import ReconcilerMetrics
from aggregator.reconciler import Reconciler
from schemas.events import Event, Position, PositionedEvent
from schemas.metrics import MetricDefinition, MetricEvaluator

LOOKBACK_SECONDS = 600


def reconciler_of(clickhouse: ClickHouse, registry: CollectorRegistry | None = None) -> Reconciler:
    """A reconciler that is alone."""
    observed = ReconcilerMetrics(registry or CollectorRegistry())
    return Reconciler(clickhouse, observed, turn=nullcontext, lookback_seconds=LOOKBACK_SECONDS)


class Zombie:
    """A worker without an index: what it is given is inserted, whatever is there already."""

    def __init__(self, clickhouse: ClickHouse, metric: MetricDefinition, partition: int) -> None:
        self.clickhouse = clickhouse
        self.organization_id = metric.organization_id
        self.partition = partition
        self._store = EventStore(clickhouse)
        self._evaluator = MetricEvaluator(metric)

    def insert(self, *events: Event, offset: int) -> None:
        """Insert events as one record; the same record again is a no-op, as the store's token makes it."""
        self._store.insert(
            [
                EvaluatedEvent(
                    PositionedEvent(Position(self.partition, offset, line), event),
                    evaluate(event, self._evaluator),
                )
                for line, event in enumerate(events)
            ]
        )

    def insert_late(self, *events: Event, offset: int) -> None:
        """Insert the rows of a record again, each by itself: the same positions, cut into other batches."""
        for line, event in enumerate(events):
            positioned = PositionedEvent(Position(self.partition, offset, line), event)
            self._store.insert([EvaluatedEvent(positioned, evaluate(event, self._evaluator))])

    def stored(self) -> list[tuple[str, str, int, int]]:
        """Every row of the organization: subscription, transaction, offset and line, in order."""
        rows = self.clickhouse.rows(
            "SELECT external_subscription_id, transaction_id, kafka_offset, kafka_line FROM events"
            " WHERE organization_id = {organization:String} ORDER BY ALL",
            {"organization": self.organization_id},
        )
        return [(row[0], row[1], int(row[2]), int(row[3])) for row in rows]

    def hourly_units(self, subscription: str) -> Decimal:
        """The units of a subscription, read from the projection."""
        ((units,),) = self.clickhouse.rows(
            "SELECT sum(toDecimal256(value, 18)) FROM events WHERE organization_id = {organization:String}"
            " AND external_subscription_id = {subscription:String} SETTINGS optimize_functions_to_subcolumns = 0,"
            " force_optimize_projection = 1, force_optimize_projection_name = 'usage_hourly'",
            {"organization": self.organization_id, "subscription": subscription},
        )
        return Decimal(units)


class InterposedClickHouse(ClickHouse):
    """The engine of the tests, with something between the reconciler and it."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        before_delete: Callable[[], bool] = lambda: True,
        change: Callable[[str, Sequence[Row]], Sequence[Row]] = lambda _sql, rows: rows,
    ) -> None:
        """`before_delete` says whether a DELETE reaches the engine; `change` replaces the rows of a query."""
        self._clickhouse = clickhouse
        self._before_delete = before_delete
        self._change = change

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> Sequence[Row]:
        return self._change(sql, self._clickhouse.rows(sql, parameters))

    def blocks(self, sql: str, parameters: Mapping[str, object] | None = None) -> Iterator[Sequence[Row]]:
        return self._clickhouse.blocks(sql, parameters)

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        if not sql.startswith("DELETE") or self._before_delete():
            self._clickhouse.command(sql, parameters)

"""A pipeline with its own organization, partition and index, fed by hand."""

import shutil
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from random import SystemRandom

import msgspec
from prometheus_client import CollectorRegistry

from aggregator.evaluation import MetricLookup
from aggregator.index import DedupIndex
from aggregator.observability import AggregatorMetrics
from aggregator.pipeline import Pipeline, PipelineResult, Store
from schemas.catalog import CatalogCache, CatalogSnapshot
from schemas.events import Event, Position, PositionedEvent, make_event
from schemas.metrics import AggregationType, MetricDefinition
from schemas.time_text import parse_iso, to_microseconds

NOON_US = 1_786_622_400_000_000
"""2026-08-13T12:00:00Z."""
SUBSCRIPTION = "sub-1"
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


def at(text: str) -> int:
    """Microseconds of an ISO instant."""
    instant = parse_iso(text)
    assert instant is not None
    return to_microseconds(instant)


class Stream:
    """Positions events one record after another and counts them."""

    def __init__(self, store: Store, index_dir: Path, *, organization_id: str, retention_days: int = 45) -> None:
        self.store = store
        self.organization_id = organization_id
        self.partition = SystemRandom().randrange(1, 2**31)
        self.metrics: dict[str, MetricDefinition] = {}
        self.registry = CollectorRegistry()
        self.waits: list[float] = []
        self.offset = 0
        self.retention_days = retention_days
        self._index_dir = index_dir
        self._version = 0
        self.open()

    def open(self) -> None:
        """Start a pipeline as a new process would: with the index that is on disk."""
        self.index = DedupIndex(self._index_dir, retention_days=self.retention_days)
        self.catalog = CatalogCache(self._load)
        self.registry = CollectorRegistry()
        self.pipeline = Pipeline(
            self.store,
            self.index,
            MetricLookup(self.catalog, refresh_seconds=0.0),
            AggregatorMetrics(self.registry),
            wait=self.waits.append,
        )

    def close(self) -> None:
        self.index.close()

    def lose_index(self) -> None:
        """Delete the index directory and start again."""
        self.close()
        shutil.rmtree(self._index_dir)
        self.open()

    def metric(
        self, aggregation_type: AggregationType = AggregationType.SUM, code: str = "api_calls", **changes: object
    ) -> MetricDefinition:
        """Publish a metric, or change the one of that code."""
        metric = MetricDefinition(
            id=f"metric-{code}",
            organization_id=self.organization_id,
            code=code,
            aggregation_type=aggregation_type,
            field_name=None if aggregation_type is AggregationType.COUNT else "units",
        )
        metric = msgspec.structs.replace(metric, **changes)
        self.metrics[code] = metric
        self._version += 1
        return metric

    def event(
        self,
        transaction_id: str,
        units: object = "1",
        *,
        timestamp_us: int = NOON_US,
        code: str = "api_calls",
        subscription: str = SUBSCRIPTION,
        amount_cents: Decimal | None = None,
        ingested_at_us: int = NOON_US,
        properties: Mapping[str, object] | None = None,
    ) -> Event:
        document = {**({} if units is None else {"units": units}), **(properties or {})}
        return make_event(
            organization_id=self.organization_id,
            external_subscription_id=subscription,
            transaction_id=transaction_id,
            code=code,
            timestamp_us=timestamp_us,
            properties_json=_encoder.encode(document),
            precise_total_amount_cents=amount_cents,
            ingested_at_us=ingested_at_us,
        )

    def positioned(self, events: Sequence[Event], offset: int) -> list[PositionedEvent]:
        return [PositionedEvent(Position(self.partition, offset, n), event) for n, event in enumerate(events)]

    def count(self, *events: Event) -> PipelineResult:
        """Count events as the next record of the partition."""
        self.offset += 1
        return self.pipeline.process(self.positioned(events, self.offset - 1))

    def replay(self, *events: Event, offset: int = 0) -> PipelineResult:
        """Count events as a record that stands somewhere else."""
        return self.pipeline.process(self.positioned(events, offset))

    def _load(self, version: int) -> CatalogSnapshot | None:
        if version == self._version:
            return None
        return CatalogSnapshot(version=self._version, metrics=tuple(self.metrics.values()))

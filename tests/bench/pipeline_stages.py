"""What each stage of counting costs: `python -m tests.bench.pipeline_stages`.

Batches of usage events go through decoding and the pipeline into a ClickHouse of its own process, as a worker of a
cluster sends them. Printed are milliseconds per 50,000 events: `cpu` of this process, `store` the CPU of the
ClickHouse process meanwhile, and `wall`. Wall figures depend on what else the machine does; CPU figures hardly do.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
from prometheus_client import CollectorRegistry

from aggregator.clickhouse import ClickHouse, connect_server, create_tables
from aggregator.columns import EvaluatedEvent, event_columns
from aggregator.decode import Decoded, Record, decode_records
from aggregator.evaluation import MetricLookup
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex
from aggregator.index_entries import Indexed
from aggregator.observability import AggregatorMetrics
from aggregator.pipeline import Pipeline, PreparedBatch
from schemas.catalog import CatalogCache, CatalogSnapshot
from schemas.metrics import AggregationType, MetricDefinition
from schemas.topics import USAGE_EVENTS
from tests.services.clickhouse import EmbeddedClickHouse

ORGANIZATION = "8f0c3b6e-6a8e-4d34-9c1c-3f6f6f2f3a10"
SUBSCRIPTIONS = 1_000
PACK_EVENTS = 200
PARTITIONS = 8
REPORTED_EVENTS = 50_000
RETENTION_DAYS = 45
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
METRIC = MetricDefinition(
    id="5a9fd9a5-6f0c-4a0f-9a2f-0c2b6d0f7a11",
    organization_id=ORGANIZATION,
    code="tokens",
    aggregation_type=AggregationType.SUM,
    field_name="count",
    dimensions=("model",),
)


CREATE_PLAIN = """
CREATE TABLE plain_events
(
    organization_id LowCardinality(String), external_subscription_id String, transaction_id String,
    code LowCardinality(String), timestamp DateTime64(6, 'UTC'), properties String,
    ingested_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree ORDER BY (organization_id, external_subscription_id, code, timestamp)
"""


@dataclass
class Spent:
    """Seconds of one stage, summed up."""

    cpu: float = 0.0
    store: float = 0.0
    wall: float = 0.0


class Stopwatch:
    """Sums up what named stages take; a stage inside another one is counted in both."""

    def __init__(self, store_pid: int) -> None:
        self._store_pid = store_pid
        self.stages: dict[str, Spent] = defaultdict(Spent)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        cpu, store, wall = time.process_time(), self._store_seconds(), time.perf_counter()
        yield
        spent = self.stages[name]
        spent.cpu += time.process_time() - cpu
        spent.store += self._store_seconds() - store
        spent.wall += time.perf_counter() - wall

    def _store_seconds(self) -> float:
        fields = Path(f"/proc/{self._store_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


class TimedIndex(DedupIndex):
    """The index, with a stopwatch on what the pipeline calls."""

    def __init__(self, directory: Path, watch: Stopwatch) -> None:
        super().__init__(directory, retention_days=RETENTION_DAYS)
        self._watch = watch

    def lookup(self, event_ids: Sequence[bytes]) -> dict[bytes, int]:
        with self._watch.stage("index lookup"):
            return super().lookup(event_ids)

    def add(self, entries: Collection[Indexed], checkpoints: Mapping[int, int]) -> None:
        with self._watch.stage("index add"):
            super().add(entries, checkpoints)


class TimedClickHouse(ClickHouse):
    """A ClickHouse, with a stopwatch on what is sent."""

    def __init__(self, clickhouse: ClickHouse, watch: Stopwatch) -> None:
        super().__init__(clickhouse._open_client)
        self._watch = watch

    def insert(self, table: str, rows: pa.Table, settings: Mapping[str, str]) -> None:
        with self._watch.stage("send"):
            super().insert(table, rows, settings)


class TimedStore(EventStore):
    """The store, with a stopwatch on a whole insert and on making its columns, done once more for that."""

    def __init__(self, clickhouse: ClickHouse, watch: Stopwatch) -> None:
        super().__init__(clickhouse)
        self._watch = watch

    def insert(self, rows: Sequence[EvaluatedEvent]) -> None:
        with self._watch.stage("insert"):
            super().insert(rows)
        with self._watch.stage("columns, again"):
            event_columns(rows)


def make_line(random: Random, now_seconds: int, span_seconds: int, subscription: int) -> bytes:
    """A model call with its tokens, as ingest writes it."""
    chance = random.random
    return (
        f'{{"organization_id":"{ORGANIZATION}","external_subscription_id":"subscription-{subscription:04}",'
        f'"transaction_id":"{random.getrandbits(128):032x}","code":"tokens",'
        f'"timestamp":"{now_seconds - 1 - int(chance() * span_seconds)}.{int(chance() * 900_000) + 100_001}",'
        f'"properties":{{"count":{int(chance() * 5_000) + 1},"model":"{random.choice("abc")}"}},'
        f'"ingested_at":"{now_seconds}.123456"}}'
    ).encode()


def make_batches(batches: int, events: int, span_seconds: int, seed: int) -> list[list[Record]]:
    """Batches of records, each a pack of events of the subscriptions of its partition."""
    random, now_seconds = Random(seed), int(time.time())
    result, offset = [], 0
    for _ in range(batches):
        records = []
        for _ in range(events // PACK_EVENTS):
            partition = offset % PARTITIONS
            lines = [
                make_line(
                    random,
                    now_seconds,
                    span_seconds,
                    random.randrange(SUBSCRIPTIONS // PARTITIONS) * PARTITIONS + partition,
                )
                for _ in range(PACK_EVENTS)
            ]
            records.append(Record(USAGE_EVENTS, partition, offset, b"\n".join(lines), now_seconds * 1_000_000))
            offset += 1
        result.append(records)
    return result


def count_batches(batches: Sequence[Sequence[Record]], pipeline: Pipeline, watch: Stopwatch) -> None:
    """Decode and count every batch."""
    for records in batches:
        with watch.stage("decode"):
            decoded: Decoded = decode_records(records)
        with watch.stage("pipeline"):
            pipeline.process(decoded.events)


def count_overlapped(batches: Sequence[Sequence[Record]], pipeline: Pipeline) -> float:
    """Count as a worker does, preparing the next batch beside the storing of one; events per second."""

    def prepare(records: Sequence[Record]) -> PreparedBatch:
        return pipeline.prepare(decode_records(records).events)

    started_at, events = time.perf_counter(), 0
    with ThreadPoolExecutor(1) as preparing:
        waiting = deque(preparing.submit(prepare, records) for records in batches[:2])
        for records in [*batches[2:], (), ()]:
            prepared = waiting.popleft().result()
            waiting.append(preparing.submit(prepare, records))
            pipeline.store(prepared)
            events += len(prepared.batch)
    return events / (time.perf_counter() - started_at)


def insert_plainly(batches: Sequence[Sequence[Record]], clickhouse: ClickHouse) -> float:
    """Insert the same bytes as they are into a table without deduplication and projection; events per second."""
    clickhouse.command(CREATE_PLAIN)
    bodies = [b"\n".join(record.value for record in records) for records in batches]
    started_at = time.perf_counter()
    for body in bodies:
        with clickhouse.client() as client:
            client.raw_insert("plain_events", insert_block=body, fmt="JSONEachRow")
    seconds = time.perf_counter() - started_at
    ((stored,),) = clickhouse.rows("SELECT count() FROM plain_events")
    return float(stored / seconds)


def report(watch: Stopwatch, events: int) -> None:
    """Print the table; what the pipeline does itself is the rest of its parts."""
    stages = dict(watch.stages)
    parts = [stages[name] for name in ("index lookup", "insert", "columns, again", "index add")]
    rest = Spent(
        *(
            getattr(stages["pipeline"], each) - sum(getattr(part, each) for part in parts)
            for each in ("cpu", "store", "wall")
        )
    )
    rows = {
        "decode": stages["decode"],
        "index lookup": stages["index lookup"],
        "sort and evaluate": rest,
        "columns": stages["columns, again"],
        "token": minus(minus(stages["insert"], stages["send"]), stages["columns, again"]),
        "send": stages["send"],
        "index add": stages["index add"],
    }
    print(f"{'ms per 50,000 events':24}{'cpu':>8}{'store':>8}{'wall':>8}")
    for name, spent in [*rows.items(), ("sum", added(rows.values()))]:
        scale = 1_000 * REPORTED_EVENTS / events
        print(f"{name:24}{spent.cpu * scale:8.0f}{spent.store * scale:8.0f}{spent.wall * scale:8.0f}")


def minus(whole: Spent, part: Spent) -> Spent:
    return Spent(whole.cpu - part.cpu, whole.store - part.store, whole.wall - part.wall)


def added(parts: Iterable[Spent]) -> Spent:
    total = Spent()
    for part in parts:
        total = Spent(total.cpu + part.cpu, total.store + part.store, total.wall + part.wall)
    return total


def make_pipeline(store: EventStore, index: DedupIndex) -> Pipeline:
    """A pipeline with the one metric of the events."""
    snapshot = CatalogSnapshot(version=1, metrics=(METRIC,))

    def load(version: int) -> CatalogSnapshot | None:
        return None if version == snapshot.version else snapshot

    lookup = MetricLookup(CatalogCache(load), refresh_seconds=1.0)
    return Pipeline(store, index, lookup, AggregatorMetrics(CollectorRegistry()))


def measure(batches: int, events: int, span_seconds: int) -> None:
    """Count one batch to warm up, then the others with the stopwatch."""
    all_batches = make_batches(2 * batches + 1, events, span_seconds, seed=1)
    first, staged, overlapped = all_batches[:1], all_batches[1 : batches + 1], all_batches[batches + 1 :]
    gc.freeze()
    with EmbeddedClickHouse() as server, tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        clickhouse = connect_server(f"{server.url}/bench")
        create_tables(clickhouse, durable=False)
        watch = Stopwatch(server.process.pid)
        with closing(TimedIndex(Path(folder), watch)) as index:
            pipeline = make_pipeline(TimedStore(TimedClickHouse(clickhouse, watch), watch), index)
            count_batches(first, pipeline, watch)
            watch.stages.clear()
            count_batches(staged, pipeline, watch)
        report(watch, batches * events)
        with closing(DedupIndex(Path(folder), retention_days=RETENTION_DAYS)) as index:
            rate = count_overlapped(overlapped, make_pipeline(EventStore(clickhouse), index))
        ((stored,),) = clickhouse.rows("SELECT count() FROM events")
        if stored != len(all_batches) * events:
            raise SystemExit(f"{stored} events stored of {len(all_batches) * events}")
        plain = insert_plainly(overlapped, clickhouse)
        clickhouse.close()
    print(f"counted as a worker does, without Kafka: {rate:,.0f} events/s")
    print(f"a plain INSERT FORMAT JSONEachRow of the same bytes: {plain:,.0f} events/s, ratio {rate / plain:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pipeline_stages", description=__doc__)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--events", type=int, default=50_000, help="of one batch")
    parser.add_argument("--span-seconds", type=int, default=3_600, help="how far back the events lie")
    options = parser.parse_args()
    measure(options.batches, options.events, options.span_seconds)


if __name__ == "__main__":
    main()

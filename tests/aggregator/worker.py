"""Real aggregator workers on real services, each a process of its own."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from confluent_kafka import Consumer, Producer
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from aggregator.clickhouse import ClickHouse, connect_server
from invoicer.cli import app
from schemas.catalog import CatalogSnapshot, encode_snapshot
from schemas.events import Event, encode_line, encode_pack
from schemas.metrics import MetricDefinition
from schemas.partitioning import partition_key
from schemas.topics import record_headers
from tests.services.millrace import ROOT, millrace_environ
from tests.services.ports import LOOPBACK, free_port
from tests.services.process import ServiceProcess

SETTLE_SECONDS_MAX = 45


@dataclass
class Cluster:
    """A topic, a ClickHouse database and a catalog, with the workers that serve them."""

    bootstrap_servers: str
    clickhouse_url: str
    database_url: str
    topic: str
    folder: Path
    session_seconds: float
    """How long a silent worker keeps its partitions."""
    workers: list[ServiceProcess] = field(default_factory=list)
    status_ports: list[int] = field(default_factory=list)

    @property
    def dead_letter_topic(self) -> str:
        return f"{self.topic}.dead"

    @property
    def group(self) -> str:
        return f"{self.topic}.group"

    def publish(self, *metrics: MetricDefinition) -> None:
        """Publish a catalog as the invoicer does."""
        document = encode_snapshot(CatalogSnapshot(version=1, metrics=metrics))
        engine = create_engine(self.database_url)
        with engine.begin() as connection:
            connection.execute(
                text("CREATE TABLE catalog_snapshot (id integer PRIMARY KEY, version integer, document text)")
            )
            connection.execute(
                text("INSERT INTO catalog_snapshot VALUES (1, 1, :document)"), {"document": document}
            )
        engine.dispose()

    def republish(self, version: int, *metrics: MetricDefinition) -> None:
        """Replace the published catalog."""
        document = encode_snapshot(CatalogSnapshot(version=version, metrics=metrics))
        engine = create_engine(self.database_url)
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE catalog_snapshot SET version = :version, document = :document"),
                {"version": version, "document": document},
            )
        engine.dispose()

    def cli(self, *arguments: str) -> list[str]:
        """The lines that `millrace` prints on this cluster."""
        settings = {
            "MILLRACE_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "MILLRACE_USAGE_EVENTS_TOPIC": self.topic,
            "MILLRACE_DEAD_LETTER_TOPIC": self.dead_letter_topic,
        }
        done = CliRunner().invoke(app, arguments, env={**settings, "COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    def start_worker(
        self,
        number: int | None = None,
        *,
        wait: bool = True,
        program: Sequence[str] = ("aggregator",),
        **settings: object,
    ) -> ServiceProcess:
        """Start a worker; the same number finds the same index directory again.

        `program`: the module to run, and its arguments.
        """
        number = len(self.workers) if number is None else number
        port = free_port()
        environ = millrace_environ(
            {
                "kafka_bootstrap_servers": self.bootstrap_servers,
                "clickhouse_url": self.clickhouse_url,
                "database_url": self.database_url,
                "usage_events_topic": self.topic,
                "dead_letter_topic": self.dead_letter_topic,
                "aggregator_group": self.group,
                "index_dir": self.folder / f"index-{number}",
                "metrics_port": port,
                "flush_seconds_max": 0.1,
                "aggregator_session_seconds": self.session_seconds,
            }
            | settings
        )
        log = self.folder / f"worker-{number}.log"
        worker = ServiceProcess([sys.executable, "-m", *program], log=log, cwd=ROOT, environ=environ)
        self.workers.append(worker)
        self.status_ports.append(port)
        if wait:
            wait_until(lambda: self.health(port)[0] == 200, worker.log_tail)
        return worker

    def health(self, port: int) -> tuple[int, str]:
        """Status and body of a worker's /health; 0 while nothing listens."""
        try:
            response = httpx.get(f"http://{LOOPBACK}:{port}/health", timeout=5)
        except httpx.TransportError:
            return 0, ""
        return response.status_code, response.text

    def produce(self, packs: Iterable[tuple[bytes, bytes]]) -> None:
        """Produce (key, value) records and wait for the broker."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "partitioner": "murmur2_random"})
        for key, value in packs:
            producer.produce(self.topic, value, key=key, headers=record_headers(value.count(b"\n") + 1))
            producer.poll(0)
        assert producer.flush(20) == 0

    def clickhouse(self) -> ClickHouse:
        return connect_server(self.clickhouse_url)

    def dead_letters(self, count: int) -> list[bytes]:
        """The first `count` dead letters."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": f"{self.topic}.reader",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([self.dead_letter_topic])
        found: list[bytes] = []
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                found.append(message.value() or b"")
        consumer.close()
        return found

    def kill(self) -> None:
        """End what still runs; what it had to show has been seen."""
        for worker in self.workers:
            worker.kill()


def packs_of(events: Sequence[Event], size: int) -> list[tuple[bytes, bytes]]:
    """Packs of up to `size` events of one subscription, keyed as ingest keys them."""
    by_key: dict[bytes, list[Event]] = {}
    for event in events:
        by_key.setdefault(partition_key(event.organization_id, event.external_subscription_id), []).append(event)
    return [
        (key, encode_pack(map(encode_line, group[start : start + size])))
        for key, group in by_key.items()
        for start in range(0, len(group), size)
    ]


def wait_until(holds: Callable[[], bool], explain: Callable[[], object]) -> None:
    """Wait until something holds; fail with an explanation when it never does."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)

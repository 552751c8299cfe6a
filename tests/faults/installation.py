"""A Millrace under test as its books see it: its client, its stores, and everything it does by itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from sqlalchemy import Column, Table, select
from typer.testing import CliRunner

from aggregator.clickhouse import ClickHouse, connect_server
from aggregator.kafka import KafkaOffsets
from aggregator.watermark import StreamWatermarkGate
from invoicer.cli.app import app
from invoicer.db import Base
from invoicer.db.session import open_engine
from tests.end_to_end import story
from tests.services.millrace import ClusterInstance, EmbeddedInstance, Instance
from tests.services.ports import LOOPBACK
from tests.services.proxy import TcpProxy

REMADE = frozenset({"id", "created_at", "updated_at", "usage_read_at"})
"""Columns that are new whenever a draft is refreshed; what the others say stays."""
BILLED = ("customers", "fees", "invoices", "organizations", "subscriptions")
"""The tables of what is billed; those that refer to a fee or an invoice belong to them."""
Snapshot = Mapping[str, list[str]]
"""Every row that has to do with money, as text, by table; and the stored events as a digest."""

_DIGEST = "SELECT count(), sum(sipHash64(event_id, kafka_partition, kafka_offset, kafka_line, value)) FROM events"


@dataclass(frozen=True)
class Installation:
    """One Millrace. Both addresses lead past any proxy; `settings` are the variables of its commands."""

    instance: Instance
    clickhouse_url: str
    database_url: str
    settings: Mapping[str, str]

    @property
    def has_broker(self) -> bool:
        return "MILLRACE_KAFKA_BOOTSTRAP_SERVERS" in self.settings

    @contextmanager
    def store(self) -> Iterator[ClickHouse]:
        """Its ClickHouse, asked by the test itself."""
        clickhouse = connect_server(self.clickhouse_url)
        try:
            yield clickhouse
        finally:
            clickhouse.close()

    def through(self, proxy: TcpProxy) -> Instance:
        """The same instance, whose events go by way of a proxy."""
        return Instance(self.instance.api_url, f"http://{LOOPBACK}:{proxy.port}", self.instance.api_key)

    def now(self) -> datetime:
        """What its test clock says."""
        answer = story.unwrap(self.instance.api.get("test_clock"), "test_clock")
        return datetime.fromisoformat(answer["now"])

    def offsets(self) -> KafkaOffsets:
        """How far its stream reaches, and how far the aggregator came; of an installation that has a broker."""
        names = ("KAFKA_BOOTSTRAP_SERVERS", "USAGE_EVENTS_TOPIC", "AGGREGATOR_GROUP")
        return KafkaOffsets(*(self.settings[f"MILLRACE_{name}"] for name in names))

    def wait_until_stream_is_counted(self) -> None:
        """Wait until the aggregator has committed everything that is in the topic now."""
        if self.has_broker:
            gate = StreamWatermarkGate(self.offsets())
            mark = gate.mark()
            story.wait_for(lambda: gate.has_passed(mark), "the end of the stream")

    def do_every_job_again(self) -> None:
        """Do once more whatever Millrace does by itself or can be told to repeat."""
        api = self.instance.api
        now = {"test_clock": {"now": self.now().isoformat().replace("+00:00", "Z")}}
        story.wait_for(lambda: api.put("test_clock", json=now).status_code == httpx.codes.OK, "the due jobs")
        story.unwrap(api.post("reconciliation"), "reconciliation")
        self.command("dead-letters", "replay", *([] if self.has_broker else ["--url", self.instance.api_url]))
        self.wait_until_stream_is_counted()
        for draft in api.get("invoices", params={"status": "draft"}).json()["invoices"]:
            story.unwrap(api.put(f"invoices/{draft['lago_id']}/refresh"), "invoice")

    def command(self, *arguments: str) -> str:
        """What `millrace` prints here."""
        place = [] if self.has_broker else ["--clickhouse-url", self.clickhouse_url]
        done = CliRunner().invoke(app, [*arguments, *place], env={**self.settings, "COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        return done.output

    def snapshot(self) -> Snapshot:
        """What must not change when a job is done again."""
        engine = open_engine(self.database_url)
        with engine.connect() as connection:
            tables = {
                table.name: sorted(str(tuple(row)) for row in connection.execute(select(*_lasting(table))))
                for table in filter(_is_billed, Base.metadata.sorted_tables)
            }
            connection.rollback()
        engine.dispose()
        with self.store() as clickhouse:
            return tables | {"events": [str(row) for row in clickhouse.rows(_DIGEST)]}


def _is_billed(table: Table) -> bool:
    owners = {key.column.table.name for key in table.foreign_keys}
    return table.name in BILLED or bool(owners & {"fees", "invoices"})


def _lasting(table: Table) -> list[Column[Any]]:
    """The columns that stay when a draft is refreshed."""
    return [
        column
        for column in table.columns
        if column.name not in REMADE and not any(key.column.table.name == "fees" for key in column.foreign_keys)
    ]


def embedded_installation(instance: EmbeddedInstance) -> Installation:
    """An embedded instance whose ClickHouse interface may be written to."""
    account = f"default:{instance.clickhouse_password}"
    return Installation(
        instance,
        f"http://{account}@{LOOPBACK}:{instance.clickhouse_port}/millrace",
        f"sqlite:///{instance.data_dir / 'catalog.sqlite'}",
        {"MILLRACE_API_KEY": instance.api_key},
    )


def cluster_installation(cluster: ClusterInstance, clickhouse_url: str, database_url: str) -> Installation:
    """A cluster, with the addresses of its stores past any proxy."""
    settings = {f"MILLRACE_{name.upper()}": str(value) for name, value in cluster.shared.items()}
    return Installation(cluster, clickhouse_url, database_url, settings)

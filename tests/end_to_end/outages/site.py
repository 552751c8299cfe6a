"""One cluster on services of its own, which the stories freeze, cut off, kill and start again."""

import os
import re
import threading
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from urllib.request import urlopen

from tests.end_to_end import story
from tests.services.clickhouse import EmbeddedClickHouse
from tests.services.kafka_source import apache_kafka
from tests.services.millrace import ClusterInstance, MillraceProcess
from tests.services.ports import LOOPBACK
from tests.services.postgres_source import postgres_server
from tests.services.proxy import TcpProxy

CLOCK_START = "2023-11-16T00:00:00Z"
PUBLISH_SECONDS_MAX = 3.0
"""How long ingest waits for Kafka here: an outage shows quickly."""
SESSION_SECONDS = 3.0
"""How long a worker that was ended by an outage keeps its partitions here."""
DATABASE = "outages"
SUPERVISION_SECONDS = 0.1


class OutageSite:
    """The services, a proxy before each of them, and the cluster; entered and left like a file.

    Through their proxies the services can also fall silent, or answer to nobody.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.kafka = apache_kafka(os.environ)
        self.postgres = postgres_server()
        self.clickhouse = EmbeddedClickHouse()
        self.kafka_proxy = TcpProxy(LOOPBACK, self.kafka.port)
        self.clickhouse_proxy = TcpProxy(LOOPBACK, self.clickhouse.port)
        self.postgres_proxy = TcpProxy(LOOPBACK, self.postgres.port)
        self._names = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        enter = self._stack.enter_context
        enter(self.kafka_proxy)
        self.kafka.advertised_port = self.kafka_proxy.port  # else the broker sends its clients past the proxy
        for service in (self.kafka, self.postgres, self.clickhouse, self.clickhouse_proxy, self.postgres_proxy):
            enter(service)
        self.database_url = self.postgres.create_database(DATABASE)
        self.clickhouse_url = f"{self.clickhouse.url}/{DATABASE}"
        self.cluster = enter(
            ClusterInstance(
                kafka=self.kafka.bootstrap_servers,
                database_url=_through(self.postgres_proxy, self.database_url),
                clickhouse_url=_through(self.clickhouse_proxy, self.clickhouse_url),
                topic="outages",
                test_clock=CLOCK_START,
                publish_timeout_seconds=PUBLISH_SECONDS_MAX,
                aggregator_session_seconds=SESSION_SECONDS,
            )
        )

    @property
    def worker(self) -> MillraceProcess:
        """The one aggregator."""
        return self.cluster.workers[0]

    def unused_name(self, stem: str) -> str:
        """A name for the customer, the plan, the metric and the subscription of one story."""
        self._names += 1
        return f"{stem}-{self._names}"

    def now(self) -> datetime:
        """What the test clock says."""
        answer = story.unwrap(self.cluster.api.get("test_clock"), "test_clock")
        return datetime.fromisoformat(answer["now"])

    def stored_rows(self, code: str) -> tuple[int, int]:
        """Rows and different events of a code, asked of ClickHouse itself, past Millrace and the proxy."""
        assert re.fullmatch(r"[a-z0-9-]+", code)
        sql = f"SELECT count(), uniqExact(event_id) FROM {DATABASE}.events WHERE code = '{code}' FORMAT TSV"
        account = f"user={self.clickhouse.user}&password={self.clickhouse.password}"
        with urlopen(f"http://{LOOPBACK}:{self.clickhouse.port}/?{account}", sql.encode(), timeout=10) as answer:
            rows, events = answer.read().split()
        return int(rows), int(events)


class Supervisor:
    """Starts again what has ended, as `restart: unless-stopped` does in compose; entered and left like a file."""

    def __init__(self, *processes: MillraceProcess) -> None:
        self.restarts = 0
        self._processes = processes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(SUPERVISION_SECONDS):
            for each in self._processes:
                if not each.process.is_running:
                    self.restarts += 1
                    each.start(wait=False)


def _through(proxy: TcpProxy, url: str) -> str:
    """The same address by way of the proxy."""
    return url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")

"""The producer when the driver gives up: a fatal error, a full queue. On a driver that fails on demand."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from ingest import kafka_publisher
from ingest.kafka_publisher import KafkaProducer
from ingest.packs import Pack
from schemas.errors import TransientError

pytestmark = pytest.mark.anyio

FATAL = KafkaError(KafkaError._FATAL, "producer fenced", True)
Report = Callable[[KafkaError | None, object], None]


class Driver:
    """Stands in for the driver's producer: reports each record at the next poll, with `error` where it has one."""

    made: list["Driver"]
    first_error: KafkaError | None

    def __init__(self, config: dict[str, object]) -> None:
        self.error = None if Driver.made else Driver.first_error
        self.refusal: Exception | None = None
        self.is_purged = False
        self._reports: list[Report] = []
        self._lock = threading.Lock()
        Driver.made.append(self)

    def produce(self, topic: str, *, on_delivery: Report, **record: object) -> None:
        if self.refusal is not None:
            raise self.refusal
        with self._lock:
            self._reports.append(on_delivery)

    def poll(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.001))
        with self._lock:
            reports, self._reports = self._reports, []
        for report in reports:
            report(self.error, None)

    def flush(self, seconds: float) -> None:
        self.poll(0)

    def purge(self) -> None:
        self.is_purged = True


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Driver]]:
    """The drivers that were made, oldest first."""
    Driver.made, Driver.first_error = [], None
    monkeypatch.setattr(kafka_publisher, "Producer", Driver)
    yield Driver.made
    Driver.made = []


class Deliveries:
    """What was reported of each pack."""

    def __init__(self) -> None:
        self.failures: asyncio.Queue[str | None] = asyncio.Queue()

    def delivered(self, _pack: object, failure: str | None) -> None:
        self.failures.put_nowait(failure)

    async def next(self) -> str | None:
        return await asyncio.wait_for(self.failures.get(), timeout=5)


def make_producer(deliveries: Deliveries) -> KafkaProducer:
    producer = KafkaProducer("127.0.0.1:1", "usage", timeout_seconds=1, delivered=deliveries.delivered)
    producer.start()
    return producer


async def test_producer_is_replaced_after_a_fatal_delivery_error(drivers: list[Driver]) -> None:
    """The pack is reported as failed, and the next one goes through a new driver."""
    Driver.first_error = FATAL
    deliveries = Deliveries()
    producer = make_producer(deliveries)
    producer.send(Pack(0, [b"{}"]))
    assert "fenced" in str(await deliveries.next())
    producer.send(Pack(0, [b"{}"]))
    assert await deliveries.next() is None
    await producer.stop(1)
    assert [driver.is_purged for driver in drivers] == [True, False]


async def test_producer_is_replaced_when_producing_is_fatal(drivers: list[Driver]) -> None:
    """The refused pack is an error to the caller; the next one works."""
    deliveries = Deliveries()
    producer = make_producer(deliveries)
    drivers[0].refusal = KafkaException(FATAL)
    with pytest.raises(TransientError, match="fenced"):
        producer.send(Pack(0, [b"{}"]))
    producer.send(Pack(0, [b"{}"]))
    assert await deliveries.next() is None
    await producer.stop(1)
    assert len(drivers) == 2


@pytest.mark.parametrize(
    "refusal", [BufferError("Local: Queue full"), KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN, "away"))]
)
async def test_refused_pack_is_transient_and_keeps_the_driver(drivers: list[Driver], refusal: Exception) -> None:
    """A full queue passes; nothing has to be replaced for it."""
    deliveries = Deliveries()
    producer = make_producer(deliveries)
    drivers[0].refusal = refusal
    with pytest.raises(TransientError, match="kafka"):
        producer.send(Pack(0, [b"{}"]))
    drivers[0].refusal = None
    producer.send(Pack(0, [b"{}"]))
    assert await deliveries.next() is None
    await producer.stop(1)
    assert len(drivers) == 1


async def test_stopped_producer_reports_what_was_on_its_way_and_refuses_more(drivers: list[Driver]) -> None:
    """Stopping loses no report."""
    deliveries = Deliveries()
    producer = make_producer(deliveries)
    for _ in range(50):
        producer.send(Pack(0, [b"{}"]))
    await producer.stop(1)
    assert [await deliveries.next() for _ in range(50)] == [None] * 50
    with pytest.raises(TransientError):
        producer.send(Pack(0, [b"{}"]))
    assert len(drivers) == 1

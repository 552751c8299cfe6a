"""Packs on a real Kafka: what is written, and what happens while the broker is away."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from ingest import kafka_publisher
from ingest.kafka_publisher import KafkaPublisher
from schemas.errors import TransientError
from schemas.events import Event, Outcome, decode_line, make_event
from schemas.partitioning import partition_key, partition_of
from schemas.settings import Settings
from tests.ingest.builders import NOW_SECONDS, ORGANIZATION
from tests.services.fixtures import MakeTopic, unique_name
from tests.services.kafka import ApacheKafka
from tests.services.kafka_source import Kafka, apache_kafka
from tests.services.ports import LOOPBACK, free_port

pytestmark = [pytest.mark.cluster, pytest.mark.anyio]

CONNECT_SECONDS = 30


@pytest.fixture(scope="module")
def broker() -> Iterator[ApacheKafka]:
    """A broker of this module's own, to freeze and to kill."""
    with apache_kafka(os.environ) as running:
        yield running


def usage_event(number: int, *, subscription: str = "sub-1", size: int = 1) -> Event:
    return make_event(
        organization_id=ORGANIZATION,
        external_subscription_id=subscription,
        transaction_id=f"tx-{number}",
        code="tokens",
        timestamp_us=NOW_SECONDS * 1_000_000,
        properties_json=b'{"value":"' + b"1" * size + b'"}',
        precise_total_amount_cents=None,
        ingested_at_us=NOW_SECONDS * 1_000_000 + 1,
    )


@asynccontextmanager
async def publishing(bootstrap_servers: str, **settings: object) -> AsyncIterator[KafkaPublisher]:
    """A started publisher; `settings` by name."""
    chosen = {
        "kafka_bootstrap_servers": bootstrap_servers,
        "dead_letter_topic": unique_name("dead"),
        "pack_linger_ms": 20,
        **settings,
    }
    publisher = KafkaPublisher(Settings.model_validate(chosen), observe_pack=lambda events: None)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def until_accepted(publisher: KafkaPublisher, event: Event) -> None:
    """Publish `event` again and again, as a caller does that is told to come back."""
    give_up_at = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            assert await publisher.publish([event]) == [Outcome.ACCEPTED]
        except TransientError:
            assert time.monotonic() < give_up_at, "the publisher did not recover"
            await asyncio.sleep(0.1)
        else:
            return


def read_all(bootstrap_servers: str, topic: str, *, partitions: int) -> list[Message]:
    """Every record of the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": unique_name("reader")})
    consumer.list_topics(topic, timeout=10)  # a broker that was just back may not know the partitions yet
    ends = [(p, *consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)) for p in range(partitions)]
    consumer.assign([TopicPartition(topic, p, low) for p, low, _ in ends])
    records: list[Message] = []
    while len(records) < sum(high - low for _, low, high in ends):
        records += consumer.consume(100, timeout=1)
    consumer.close()
    return records


def transaction_ids(records: list[Message]) -> list[str]:
    """The ids of all lines of all packs."""
    return [
        decode_line(line, received_at_us=0).transaction_id
        for record in records
        for line in (record.value() or b"").split(b"\n")
    ]


async def test_publisher_makes_missing_topics_with_their_settings(kafka: Kafka) -> None:
    """The topic gets the partitions of the settings; publishing to it works."""
    topic = unique_name("made")
    async with publishing(
        kafka.bootstrap_servers, usage_events_topic=topic, usage_events_partitions=3
    ) as publisher:
        await until_accepted(publisher, usage_event(1))
        await publisher.check()
    assert len(read_all(kafka.bootstrap_servers, topic, partitions=3)) == 1


async def test_existing_topic_decides_the_partitions(kafka: Kafka, make_topic: MakeTopic) -> None:
    """An event's partition follows from the topic as it is, not as configured; packs read back by line."""
    topic = make_topic("usage", partitions=5)
    events = [usage_event(i, subscription=f"sub-{i % 20}") for i in range(200)]
    async with publishing(
        kafka.bootstrap_servers, usage_events_topic=topic, usage_events_partitions=12
    ) as publisher:
        await until_accepted(publisher, usage_event(1000))
        assert await publisher.publish(events) == [Outcome.ACCEPTED] * 200
    records = read_all(kafka.bootstrap_servers, topic, partitions=5)
    read: list[Event] = []
    for record in records:
        lines = (record.value() or b"").split(b"\n")
        headers = dict(record.headers() or [])
        assert headers["content-type"] == b"application/x-ndjson"
        assert headers["schema-version"] == b"1"
        assert headers["events"] == str(len(lines)).encode()
        for line in lines:
            event = decode_line(line, received_at_us=0)
            key = partition_key(event.organization_id, event.external_subscription_id)
            assert record.partition() == partition_of(key, 5)
            read.append(event)
    expected = [*events, usage_event(1000)]
    assert sorted(read, key=lambda event: event.transaction_id) == sorted(expected, key=lambda e: e.transaction_id)
    assert len(records) == 6  # the first event alone, then one pack a partition


async def test_concurrent_requests_share_packs(kafka: Kafka, make_topic: MakeTopic) -> None:
    """What arrives within the linger travels together, up to the bound of a pack."""
    topic = make_topic("shared")
    async with publishing(
        kafka.bootstrap_servers, usage_events_topic=topic, pack_linger_ms=200, pack_events_max=40
    ) as publisher:
        await until_accepted(publisher, usage_event(1000))
        await asyncio.gather(*(publisher.publish([usage_event(i)]) for i in range(100)))
    sizes = [len((r.value() or b"").split(b"\n")) for r in read_all(kafka.bootstrap_servers, topic, partitions=1)]
    assert sizes == [1, 40, 40, 20]


async def test_large_events_stay_under_the_record_limit(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Packs are bounded by bytes, so a broker nobody tuned takes them."""
    topic = make_topic("large")
    events = [usage_event(i, size=60_000) for i in range(40)]
    async with publishing(kafka.bootstrap_servers, usage_events_topic=topic) as publisher:
        await until_accepted(publisher, usage_event(1000))
        assert await publisher.publish(events) == [Outcome.ACCEPTED] * 40
    records = read_all(kafka.bootstrap_servers, topic, partitions=1)
    assert all(len(record.value() or b"") <= 1_000_000 for record in records)
    assert sorted(transaction_ids(records)) == sorted(f"tx-{i}" for i in [*range(40), 1000])


async def test_line_of_a_pack_is_plain_json(kafka: Kafka, make_topic: MakeTopic) -> None:
    """A third party only has to split lines and read JSON."""
    topic = make_topic("plain")
    async with publishing(kafka.bootstrap_servers, usage_events_topic=topic) as publisher:
        await until_accepted(publisher, usage_event(7))
    [record] = read_all(kafka.bootstrap_servers, topic, partitions=1)
    assert msgspec.json.decode(record.value() or b"") == {
        "organization_id": ORGANIZATION,
        "external_subscription_id": "sub-1",
        "transaction_id": "tx-7",
        "code": "tokens",
        "timestamp": str(NOW_SECONDS),
        "properties": {"value": "1"},
        "ingested_at": f"{NOW_SECONDS}.000001",
    }


async def test_broker_away_at_the_start_is_refused_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process starts, answers that it cannot, and names the reason in its health check."""
    monkeypatch.setattr(kafka_publisher, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(kafka_publisher, "CHECK_SECONDS", 0.5)
    async with publishing(f"{LOOPBACK}:{free_port()}", publish_timeout_seconds=1.0) as publisher:
        began_at = time.monotonic()
        with pytest.raises(TransientError, match="kafka"):
            await publisher.publish([usage_event(1)])
        assert time.monotonic() - began_at < 1
        with pytest.raises(TransientError):
            await publisher.check()


async def test_broker_that_freezes_is_answered_in_time_and_recovers(broker: ApacheKafka) -> None:
    """While the broker hangs, requests fail within the timeout; afterwards they work, with nothing lost."""
    topic = unique_name("frozen")
    async with publishing(
        broker.bootstrap_servers,
        usage_events_topic=topic,
        usage_events_partitions=1,
        publish_timeout_seconds=2.0,
    ) as publisher:
        await until_accepted(publisher, usage_event(1))
        broker.pause()
        try:
            began_at = time.monotonic()
            with pytest.raises(TransientError):
                await publisher.publish([usage_event(2)])
            assert 1.5 < time.monotonic() - began_at < 3
            with pytest.raises(TransientError):
                await publisher.check()
        finally:
            broker.resume()
        await until_accepted(publisher, usage_event(2))
        await publisher.check()
    ids = transaction_ids(read_all(broker.bootstrap_servers, topic, partitions=1))
    assert set(ids) == {"tx-1", "tx-2"}


async def test_broker_killed_and_restarted_keeps_what_was_accepted(broker: ApacheKafka) -> None:
    """Every event that was answered as accepted is in the topic after the crash."""
    topic = unique_name("killed")
    accepted: list[str] = []
    async with publishing(
        broker.bootstrap_servers,
        usage_events_topic=topic,
        usage_events_partitions=1,
        publish_timeout_seconds=2.0,
    ) as publisher:
        await until_accepted(publisher, usage_event(0))

        async def send(number: int) -> None:
            try:
                await publisher.publish([usage_event(number)])
            except TransientError:
                return
            accepted.append(f"tx-{number}")

        sending = [asyncio.create_task(send(number)) for number in range(1, 20)]
        await asyncio.sleep(0.03)
        broker.kill()
        await asyncio.gather(*sending, *(send(number) for number in range(20, 40)))
        await asyncio.to_thread(broker.restart)
        await until_accepted(publisher, usage_event(1000))
    ids = transaction_ids(read_all(broker.bootstrap_servers, topic, partitions=1))
    assert set(accepted) | {"tx-0", "tx-1000"} <= set(ids)
    assert not {f"tx-{number}" for number in range(20, 40)} & set(accepted)

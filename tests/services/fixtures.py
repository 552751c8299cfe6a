"""The services as pytest fixtures: found or started once a run, and named in the run's output."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.services.clickhouse_source import ClickHouse, choose_clickhouse, open_clickhouse
from tests.services.containers import docker_answers
from tests.services.errors import ServiceUnavailable
from tests.services.kafka_source import Kafka, KafkaSource, choose_kafka, find_kafka_means, open_kafka
from tests.services.postgres import find_postgres_programs
from tests.services.postgres_source import Postgres, PostgresMeans, choose_postgres, open_postgres

MakeTopic = Callable[..., str]


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """A Kafka broker, shared by the whole run: give topics and groups unique names (`make_topic`)."""
    with open_kafka(os.environ) as service:
        announce(request.config, f"kafka: {service.source} at {service.bootstrap_servers}")
        yield service


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL server, shared by the whole run: each test works in its own `database_url`."""
    with open_postgres(os.environ) as service:
        announce(request.config, f"postgres: {service.source}")
        yield service


@pytest.fixture(scope="session")
def clickhouse(request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    """A ClickHouse server, shared by the whole run: each test works in its own database."""
    with open_clickhouse(os.environ) as service:
        announce(request.config, f"clickhouse: {service.source} at {service.host}:{service.port}")
        yield service


@pytest.fixture
def make_topic(kafka: Kafka) -> MakeTopic:
    """Return a function that creates a topic of a unique name: `make_topic("usage", partitions=3)`."""

    def create(stem: str = "topic", *, partitions: int = 1) -> str:
        name = unique_name(stem)
        kafka.create_topic(name, partitions=partitions)
        return name

    return create


@pytest.fixture(scope="session")
def session_seconds(kafka: Kafka) -> float:
    """How long a silent worker keeps its partitions: as short as the broker permits."""
    return 6.0 if kafka.source is KafkaSource.ENVIRONMENT else 2.0


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """The SQLAlchemy address of an empty PostgreSQL database that goes away with the test."""
    name = unique_name("test").replace("-", "_")
    yield postgres.create_database(name)
    postgres.drop_database(name)


def unique_name(stem: str) -> str:
    """Return a name that no other test of this or another run uses, as a topic or a group may be called."""
    return f"{stem}-{uuid.uuid4().hex[:12]}"


def pytest_report_header() -> list[str]:
    """Name in the run's header the services it would use, before any of them is started."""
    return describe_services()


def describe_services() -> list[str]:
    """Say for each service which kind this run would use; starts nothing."""
    docker = docker_answers()
    kafka_means = find_kafka_means(os.environ, docker=docker)
    postgres_means = PostgresMeans(docker=docker, programs=find_postgres_programs())
    return [
        f"kafka: {_chosen(lambda: choose_kafka(os.environ, kafka_means))}",
        f"postgres: {_chosen(lambda: choose_postgres(os.environ, postgres_means))}",
        f"clickhouse: {choose_clickhouse(os.environ, docker=docker)}",
    ]


def announce(config: pytest.Config, line: str) -> None:
    """Print one line of the run, past the capture of test output."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        print(line, flush=True)
        return
    with capture.global_and_fixture_disabled():
        print(f"\n{line}", flush=True)


def _chosen(choose: Callable[[], str]) -> str:
    try:
        return str(choose())
    except ServiceUnavailable as error:
        return f"none, and tests that need it will fail: {error}"

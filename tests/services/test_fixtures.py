"""The fixtures hand out services that work, apart from each other."""

from __future__ import annotations

import psycopg
import pytest

from tests.services.fixtures import MakeTopic, describe_services, unique_name
from tests.services.kafka_admin import kafka_admin
from tests.services.kafka_source import Kafka
from tests.services.postgres import as_libpq
from tests.services.postgres_source import Postgres


@pytest.mark.cluster
def test_make_topic_twice_creates_two_topics_with_their_partitions(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Two tests that call their topic the same do not meet."""
    first, second = make_topic("usage", partitions=3), make_topic("usage")
    topics = kafka_admin(kafka.bootstrap_servers).list_topics(timeout=10).topics
    assert first != second
    assert (len(topics[first].partitions), len(topics[second].partitions)) == (3, 1)


@pytest.mark.cluster
@pytest.mark.parametrize("attempt", [1, 2])
def test_database_url_of_each_test_is_empty(database_url: str, attempt: int) -> None:
    """A table of one test is not there for the next."""
    with psycopg.connect(as_libpq(database_url)) as session:
        session.execute("CREATE TABLE seen (attempt int)")
        session.execute("INSERT INTO seen VALUES (%s)", [attempt])
        assert session.execute("SELECT attempt FROM seen").fetchall() == [(attempt,)]


@pytest.mark.cluster
def test_drop_database_with_an_open_session_drops_it(postgres: Postgres) -> None:
    """A session that a test forgot does not keep its database alive."""
    name = unique_name("open")
    with psycopg.connect(as_libpq(postgres.create_database(name))):
        postgres.drop_database(name)
        with psycopg.connect(as_libpq(postgres.url)) as session:
            assert session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchall() == []


def test_describe_services_names_every_service_once() -> None:
    """The header of a run has a line for each service."""
    assert [line.split(":")[0] for line in describe_services()] == ["kafka", "postgres", "clickhouse"]

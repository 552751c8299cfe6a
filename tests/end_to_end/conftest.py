"""A running Millrace for the stories: embedded, and as a cluster where the services are there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.clickhouse_source import ClickHouse
from tests.services.fixtures import unique_name
from tests.services.kafka_source import Kafka
from tests.services.millrace import ClusterInstance, EmbeddedInstance, Instance
from tests.services.postgres_source import Postgres

MODES = ("embedded", pytest.param("cluster", marks=pytest.mark.cluster))
CLOCK_START = "2023-11-16T00:00:00Z"
"""The day of the real data, so that its hour lies in the first period."""


@pytest.fixture(scope="module", params=MODES)
def instance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A fresh Millrace in each mode, with a clock that stands on the day of the real data."""
    if request.param == "embedded":
        data_dir = tmp_path_factory.mktemp("millrace") / "data"
        with EmbeddedInstance(data_dir, test_clock=CLOCK_START) as embedded:
            yield embedded
        return
    with cluster_on(request, test_clock=CLOCK_START) as cluster:
        yield cluster


def cluster_on(request: pytest.FixtureRequest, **settings: Any) -> ClusterInstance:
    """A cluster on the services of this run, in a database, a ClickHouse database and topics of its own."""
    kafka: Kafka = request.getfixturevalue("kafka")
    postgres: Postgres = request.getfixturevalue("postgres")
    clickhouse: ClickHouse = request.getfixturevalue("clickhouse")
    name = unique_name("millrace")
    return ClusterInstance(
        kafka=kafka.bootstrap_servers,
        database_url=postgres.create_database(name.replace("-", "_")),
        clickhouse_url=f"{clickhouse.url}/{name.replace('-', '_')}",
        topic=name,
        **settings,
    )


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data directory for an embedded instance of the test's own."""
    return tmp_path / "data"

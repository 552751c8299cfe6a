"""What the scenarios of the stream share."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.aggregator.worker import Cluster
from tests.faults.load import Load
from tests.faults.seeds import FaultRound
from tests.faults.stream import METRIC
from tests.services.clickhouse_source import ClickHouse as ClickHouseService
from tests.services.fixtures import MakeTopic
from tests.services.kafka_source import Kafka

PARTITIONS = 4


@pytest.fixture
def cluster(
    kafka: Kafka,
    clickhouse: ClickHouseService,
    database_url: str,
    make_topic: MakeTopic,
    session_seconds: float,
    tmp_path: Path,
) -> Iterator[Cluster]:
    """A topic, an empty database and the metric of the load; no worker yet."""
    cluster = Cluster(
        bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=f"{clickhouse.url}/faults_{uuid4().hex[:12]}",
        database_url=database_url,
        topic=make_topic("faults", partitions=PARTITIONS),
        folder=tmp_path,
        session_seconds=session_seconds,
    )
    cluster.publish(METRIC)
    yield cluster
    cluster.kill()


@pytest.fixture
def load(cluster: Cluster, fault_round: FaultRound) -> Load:
    """The producer of this round, not started."""
    return Load(cluster.bootstrap_servers, cluster.topic, fault_round.random)

"""The committed offsets are lost, or the index, or both: everything is read again and nothing counts again."""

import shutil

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from aggregator.kafka import KafkaOffsets
from tests.aggregator.worker import Cluster
from tests.faults.conftest import PARTITIONS
from tests.faults.load import SUBSCRIPTIONS, Load
from tests.faults.oracle import StoredRow, read_stored
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.faults.stream import assert_exactly_once, count_doubled, wait_until_drained
from tests.services.kafka_admin import kafka_admin

pytestmark = [pytest.mark.cluster, pytest.mark.faults(rounds_max=4)]

PACKS = 150
ANSWER_SECONDS_MAX = 20


def test_offsets_or_index_or_both_lost_count_nothing_again(
    cluster: Cluster, load: Load, fault_round: FaultRound, scenario: Scenario
) -> None:
    """Only what is new counts, the rows there were stay; one of them alone, by turns, then both."""
    load.produce(PACKS)
    load.flush()
    cluster.start_worker(0)
    wait_until_drained(cluster)
    before = rows_of(cluster)
    alone = "offsets" if fault_round.number % 2 == 0 else "index"
    for lost in ((alone,), ("offsets", "index")):
        cluster.workers[-1].stop()
        if "offsets" in lost:
            reset_offsets(cluster)
        if "index" in lost:
            shutil.rmtree(cluster.folder / "index-0")
        scenario.inject(len(lost))
        load.produce(5)
        load.flush()
        cluster.start_worker(0)
        wait_until_drained(cluster)
        assert count_doubled(cluster) == 0, f"lost {lost}, and events are there twice"
        assert before <= rows_of(cluster)
        before = rows_of(cluster)
    assert_exactly_once(cluster, load, scenario)


def reset_offsets(cluster: Cluster) -> None:
    """Commit offset 0 everywhere in the group's name; no worker may run."""
    start = [TopicPartition(cluster.topic, partition, 0) for partition in range(PARTITIONS)]
    asked = [ConsumerGroupTopicPartitions(cluster.group, start)]
    request = kafka_admin(cluster.bootstrap_servers).alter_consumer_group_offsets(asked)
    for partition in request[cluster.group].result(ANSWER_SECONDS_MAX).topic_partitions:
        assert partition.error is None, partition.error
    offsets = KafkaOffsets(cluster.bootstrap_servers, cluster.topic, cluster.group)
    assert set(offsets.committed(range(PARTITIONS)).values()) == {0}


def rows_of(cluster: Cluster) -> set[StoredRow]:
    """The rows as they are stored now; that none is there twice, the recount has seen."""
    clickhouse = cluster.clickhouse()
    try:
        return set(read_stored(clickhouse, SUBSCRIPTIONS))
    finally:
        clickhouse.close()

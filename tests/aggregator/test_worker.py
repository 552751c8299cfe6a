"""Workers on Kafka: killed, restarted, sharing partitions, fed with garbage; the totals stay exact."""

import json
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from aggregator.clickhouse import ClickHouse
from aggregator.kafka import KafkaOffsets
from aggregator.watermark import StreamWatermarkGate
from schemas.events import Event, encode_line, make_event
from schemas.metrics import AggregationType, MetricDefinition
from tests.aggregator.stream import NOON_US
from tests.aggregator.worker import SETTLE_SECONDS_MAX, Cluster, packs_of, wait_until
from tests.services.clickhouse_source import ClickHouse as ClickHouseService
from tests.services.fixtures import MakeTopic
from tests.services.kafka_source import Kafka
from tests.services.ports import LOOPBACK, free_port

pytestmark = pytest.mark.cluster
SUBSCRIPTIONS = 8
CATALOG_REFRESH_SECONDS = 0.2


@pytest.fixture
def cluster(
    kafka: Kafka,
    clickhouse: ClickHouseService,
    database_url: str,
    make_topic: MakeTopic,
    session_seconds: float,
    tmp_path: Path,
) -> Iterator[Cluster]:
    """Four partitions, an empty database and a sum metric; no worker yet."""
    cluster = Cluster(
        bootstrap_servers=kafka.bootstrap_servers,
        clickhouse_url=f"{clickhouse.url}/agg_{uuid4().hex[:12]}",
        database_url=database_url,
        topic=make_topic("usage", partitions=4),
        folder=tmp_path,
        session_seconds=session_seconds,
    )
    cluster.publish(sum_of("units"))
    yield cluster
    cluster.kill()


def sum_of(field_name: str) -> MetricDefinition:
    return MetricDefinition(
        id="m1",
        organization_id="org",
        code="api_calls",
        aggregation_type=AggregationType.SUM,
        field_name=field_name,
    )


def events_of(first: int, count: int) -> list[Event]:
    """Events of one unit each, spread over the subscriptions."""
    return [
        make_event(
            organization_id="org",
            external_subscription_id=f"sub-{number % SUBSCRIPTIONS}",
            transaction_id=f"t{number}",
            code="api_calls",
            timestamp_us=NOON_US + number * 1_000_000,
            properties_json=b'{"units":1}',
            precise_total_amount_cents=None,
            ingested_at_us=NOON_US,
        )
        for number in range(first, first + count)
    ]


def count_and_sum(clickhouse: ClickHouse) -> tuple[int, int, Decimal]:
    rows = clickhouse.rows("SELECT count(), uniqExact(transaction_id), sum(value) FROM events")
    return rows[0][0], rows[0][1], rows[0][2] or Decimal(0)


def expect(cluster: Cluster, events: int) -> None:
    """Wait until everything produced is committed; then each event is there once."""
    gate = StreamWatermarkGate(KafkaOffsets(cluster.bootstrap_servers, cluster.topic, cluster.group))
    mark = gate.mark()
    wait_until(lambda: gate.has_passed(mark), lambda: [worker.log_tail() for worker in cluster.workers])
    clickhouse = cluster.clickhouse()
    assert count_and_sum(clickhouse) == (events, events, Decimal(events))
    clickhouse.close()


@pytest.mark.faults
def test_worker_killed_midway_and_restarted_counts_each_event_once(cluster: Cluster) -> None:
    """SIGKILL among inserts, a restart without the index, and a repeat of everything change no total."""
    worker = cluster.start_worker(flush_events_max=500)
    cluster.produce(packs_of(events_of(0, 20_000), size=50))
    clickhouse = cluster.clickhouse()
    wait_until(lambda: count_and_sum(clickhouse)[0] > 0, worker.log_tail)
    worker.kill()
    clickhouse.close()
    cluster.start_worker(number=7)
    cluster.produce(packs_of(events_of(0, 5_000), size=33))
    expect(cluster, 20_000)


@pytest.mark.faults
def test_workers_share_partitions_and_hand_them_over(cluster: Cluster) -> None:
    """A second worker joins while events flow, the first one leaves in order: nothing is lost or doubled."""
    first = cluster.start_worker()
    cluster.produce(packs_of(events_of(0, 3_000), size=20))
    cluster.start_worker()
    cluster.produce(packs_of(events_of(2_000, 3_000), size=20))
    first.stop(signal.SIGTERM)
    assert first.returncode == 0
    cluster.produce(packs_of(events_of(4_500, 1_500), size=20))
    expect(cluster, 6_000)


@pytest.mark.faults
def test_worker_poison_lines_go_to_the_dead_letters_alone(cluster: Cluster) -> None:
    """Each bad line is kept with its bytes and place; its neighbours and the stream go on."""
    good = [encode_line(event) for event in events_of(0, 3)]
    too_long = encode_line(events_of(9, 1)[0]).replace(b'"units":1', b'"units":1111111111111111111')
    pack = b"\n".join([good[0], b"{not json", good[1], too_long, good[2]])
    cluster.start_worker()
    cluster.produce([(b"org/sub-0", pack)])
    letters = [json.loads(letter) for letter in cluster.dead_letters(2)]
    assert [(letter["line"], letter["code"], letter["original"]) for letter in letters] == [
        (1, "undecodable_event", "{not json"),
        (3, "value_out_of_range", too_long.decode()),
    ]
    assert {letter["topic"] for letter in letters} == {cluster.topic}
    expect(cluster, 3)


def test_worker_with_too_many_dead_letters_ends_and_goes_on_without_limit(cluster: Cluster) -> None:
    """The process says why and fails; nothing of the batch is acknowledged, and all of it is counted later."""
    good = [encode_line(event) for event in events_of(0, 16)[::SUBSCRIPTIONS]]
    cluster.produce([(b"org/sub-0", b"\n".join([good[0], *(b"{bad %d" % n for n in range(5)), good[1]]))])
    worker = cluster.start_worker(wait=False, dead_letter_run_max=3)
    port = cluster.status_ports[-1]
    wait_until(lambda: "too_many_dead_letters" in cluster.health(port)[1], worker.log_tail)
    assert "MILLRACE_DEAD_LETTER_RUN_MAX is 3" in cluster.health(port)[1]
    wait_until(lambda: not worker.is_running, worker.log_tail)
    assert worker.returncode == 1
    assert "too many dead letters" in worker.log_tail()
    assert "undecodable_event" in worker.log_tail()
    assert set(
        KafkaOffsets(cluster.bootstrap_servers, cluster.topic, cluster.group).committed(range(4)).values()
    ) == {0}
    assert cluster.cli("dead-letters", "list")[-1] == "4 dead letters"
    cluster.start_worker(number=0, dead_letter_run_max=0, dead_letter_ratio_max=0)
    expect(cluster, 2)
    assert cluster.cli("dead-letters", "list")[-1] == "5 dead letters"


def test_dead_letters_replayed_count_once_when_their_cause_is_gone(cluster: Cluster) -> None:
    """Too early, the line is a dead letter again; later it counts, however often it is replayed."""
    good = encode_line(events_of(0, 1)[0])
    curable = encode_line(events_of(8, 1)[0]).replace(b'"units":1', b'"units":1111111111111111111,"calls":1')
    cluster.start_worker(catalog_refresh_seconds=CATALOG_REFRESH_SECONDS)
    cluster.produce([(b"org/sub-0", b"\n".join([good, curable, b"{not json"]))])
    expect(cluster, 1)
    listed = cluster.cli("dead-letters", "list", "--code", "value_out_of_range")
    assert len(listed) == 3
    assert "value_out_of_range" in listed[1]
    assert curable.decode()[:80] in listed[1]
    assert listed[1].count(f"{cluster.topic}/") == 1
    assert cluster.cli("dead-letters", "replay", "--code", "value_out_of_range")[-1] == "replayed 1, skipped 0"
    expect(cluster, 1)
    assert cluster.cli("dead-letters", "list", "--limit", "1")[-1] == "3 dead letters, the newest 1 shown"
    cluster.republish(2, sum_of("calls"))
    time.sleep(2 * CATALOG_REFRESH_SECONDS)
    for _ in range(2):
        assert cluster.cli("dead-letters", "replay")[-1] == "replayed 1, skipped 1"
        expect(cluster, 2)
    assert cluster.cli("dead-letters", "list")[-1] == "3 dead letters"


def test_worker_without_kafka_keeps_trying_and_says_so(cluster: Cluster) -> None:
    """A broker that is away at the start is waited for, visibly."""
    cluster.bootstrap_servers = f"{LOOPBACK}:{free_port()}"
    worker = cluster.start_worker(wait=False)
    port = cluster.status_ports[-1]
    wait_until(lambda: "waiting_for_kafka" in cluster.health(port)[1], worker.log_tail)
    assert cluster.health(port)[0] == 503
    assert worker.is_running


def test_worker_tells_how_many_records_are_not_counted(cluster: Cluster) -> None:
    """Asked of the brokers at the start: all records wait until somebody works on them, then none."""
    cluster.produce([(b"org/sub-0", encode_line(event)) for event in events_of(0, 3)])
    offsets = KafkaOffsets(cluster.bootstrap_servers, cluster.topic, cluster.group)
    worker = cluster.start_worker(number=7)
    port = cluster.status_ports[-1]
    wait_until(lambda: '"uncounted_records": null' not in cluster.health(port)[1], worker.log_tail)
    told = json.loads(cluster.health(port)[1])
    assert 0 <= told["uncounted_records"] <= 3
    assert told["uncounted_records_at"]
    expect(cluster, 3)
    assert sum(StreamWatermarkGate(offsets).lag().values()) == 0


def test_worker_behind_a_producer_with_transactions_catches_up(cluster: Cluster) -> None:
    """The end of a transaction takes an offset that nobody commits: billing does not wait for it."""
    cluster.start_worker()
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": cluster.topic})
    producer.init_transactions(SETTLE_SECONDS_MAX)
    for event in events_of(0, 2):
        producer.begin_transaction()
        producer.produce(cluster.topic, encode_line(event), partition=0)
        producer.commit_transaction(SETTLE_SECONDS_MAX)
    expect(cluster, 2)

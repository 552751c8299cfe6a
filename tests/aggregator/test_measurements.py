"""Lag, latencies, and the list of what every process of the stream measures."""

from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aggregator.observability import (
    LATENCY_SAMPLES_MAX,
    AggregatorMetrics,
    LagMetrics,
    ReconcilerMetrics,
    WeightedHistogram,
    spaced,
)
from aggregator.status import StatusServer, WorkerState
from aggregator.watermark import LagWatch, NothingPending, StreamWatermarkGate
from ingest.metrics import IngestMetrics
from schemas.errors import TransientError
from tests.aggregator.stream import NOON_US, Stream
from tests.aggregator.test_services_seams import FixedOffsets
from tests.services.ports import LOOPBACK

NOON = datetime(2026, 8, 13, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ends", "starts", "committed", "lag"),
    [
        ({0: 0, 1: 0}, {0: 0, 1: 0}, {}, {0: 0, 1: 0}),
        ({0: 10, 1: 5}, {0: 0, 1: 0}, {0: 10, 1: 2}, {0: 0, 1: 3}),
        ({0: 10}, {0: 4}, {}, {0: 6}),
        ({0: 10}, {0: 10}, {0: 3}, {0: 0}),
        ({0: 10}, {0: 0}, {0: 12}, {0: 0}),
    ],
)
def test_lag_is_what_lies_between_committed_and_end(
    ends: dict[int, int], starts: dict[int, int], committed: dict[int, int], lag: dict[int, int]
) -> None:
    """Records that the topic's retention took are not waited for; nothing is behind by less than nothing."""
    assert StreamWatermarkGate(FixedOffsets(ends, starts, committed)).lag() == lag


class Answers:
    """A gate's lag, answer by answer; None while the brokers are away."""

    def __init__(self, *answers: Mapping[int, int] | None) -> None:
        self.answers = list(answers)

    def lag(self) -> Mapping[int, int]:
        answer = self.answers.pop(0)
        if answer is None:
            raise TransientError("kafka", "away")
        return answer


def test_lag_watch_shows_the_last_answer_with_its_time() -> None:
    """Unknown before the first answer; while the brokers are away, the last one stays and tells its age."""
    registry = CollectorRegistry()
    times = [NOON, NOON.replace(minute=1)]
    watch = LagWatch(
        Answers(None, {0: 4, 1: 0, 2: 1}, None, {0: 0, 1: 0, 2: 0}).lag,
        LagMetrics(registry).show,
        lambda: times.pop(0),
    )
    watch.look()
    assert watch.told() == {"uncounted_records": None, "uncounted_records_at": None}
    assert str(registry.get_sample_value("millrace_uncounted_records")) == "nan"
    for _ in range(2):
        watch.look()
        assert watch.told() == {
            "uncounted_records": 5,
            "uncounted_records_at": "2026-08-13T12:00:00+00:00",
            "uncounted_by_partition": {"0": 4, "2": 1},
        }
    assert registry.get_sample_value("millrace_partition_lag", {"partition": "0"}) == 4
    assert registry.get_sample_value("millrace_uncounted_records") == 5
    watch.look()
    assert watch.told() == {"uncounted_records": 0, "uncounted_records_at": "2026-08-13T12:01:00+00:00"}
    assert registry.get_sample_value("millrace_partition_lag", {"partition": "0"}) == 0


def test_lag_watch_started_looks_at_once_and_stops() -> None:
    """A probe right after the start is not told of an unknown lag for long."""
    registry = CollectorRegistry()
    watch = LagWatch(Answers({0: 2}).lag, LagMetrics(registry).show, lambda: NOON)
    watch.start()
    watch.stop()
    assert watch.told()["uncounted_records"] == 2


def test_status_server_tells_the_lag_with_the_state() -> None:
    """A worker that is far behind is not sick: the code stays 200."""
    registry = CollectorRegistry()
    watch = LagWatch(Answers({3: 7}).lag, LagMetrics(registry).show, lambda: NOON)
    status = StatusServer(LOOPBACK, 0, registry, watch)
    status.change(WorkerState.RUNNING)
    status.start()
    watch.look()
    answer = httpx.get(f"http://{LOOPBACK}:{status.port}/health")
    status.stop()
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "running",
        "uncounted_records": 7,
        "uncounted_records_at": "2026-08-13T12:00:00+00:00",
        "uncounted_by_partition": {"3": 7},
    }


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1_000, 50_000])
def test_spaced_samples_stand_for_all(count: int) -> None:
    """However many events there are, the weights of a bounded number of samples add up to them."""
    samples = list(spaced(count, LATENCY_SAMPLES_MAX))
    assert sum(weight for _, weight in samples) == count
    assert len(samples) == min(count, len(samples)) <= LATENCY_SAMPLES_MAX
    assert all(index < count for index, _ in samples)


def test_weighted_histogram_is_what_prometheus_reads() -> None:
    """Cumulative buckets, a value on a bound inside it, a negative one as 0, sum and count of all."""
    registry = CollectorRegistry()
    histogram = WeightedHistogram("seconds", "A latency.", buckets=(0.5, 1, 10), registry=registry)
    for seconds, weight in ((-3.0, 2), (0.5, 1), (0.6, 4), (11.0, 3)):
        histogram.observe(seconds, weight)
    (family,) = text_string_to_metric_families(generate_latest(registry).decode())
    assert family.type == "histogram"
    assert {sample.labels["le"]: sample.value for sample in family.samples if sample.name == "seconds_bucket"} == {
        "0.5": 3, "1.0": 7, "10.0": 7, "+Inf": 10,
    }  # fmt: skip
    assert registry.get_sample_value("seconds_count") == 10
    assert registry.get_sample_value("seconds_sum") == pytest.approx(0.5 + 2.4 + 33)


def test_process_measures_both_latencies_of_every_stored_event(stream: Stream) -> None:
    """From the event's own time and from its arrival; a duplicate is not stored."""
    registry = CollectorRegistry()
    stream.metric()
    stream.pipeline._observed = AggregatorMetrics(registry, now=lambda: NOON_US / 1_000_000 + 2)
    early = stream.event("early", timestamp_us=NOON_US - 7200 * 1_000_000, ingested_at_us=NOON_US - 1_000_000)
    stream.count(early, stream.event("now"), stream.event("now"))

    def below(name: str, bound: str) -> float | None:
        return registry.get_sample_value(f"millrace_{name}_to_stored_seconds_bucket", {"le": bound})

    assert [below("received", bound) for bound in ("1.0", "2.5", "5.0")] == [0, 1, 2]
    assert [below("event", bound) for bound in ("2.5", "3600.0", "21600.0")] == [1, 1, 2]
    assert registry.get_sample_value("millrace_event_to_stored_seconds_sum") == 7204


STREAM_FAMILIES = {
    "millrace_events_stored",
    "millrace_events_duplicate",
    "millrace_events_unevaluated",
    "millrace_dead_letters",
    "millrace_flush_seconds",
    "millrace_insert_rows",
    "millrace_insert_retries",
    "millrace_event_to_stored_seconds",
    "millrace_received_to_stored_seconds",
    "millrace_partition_next_offset",
    "millrace_index_entries",
    "millrace_index_bytes",
    "millrace_index_swept",
    "millrace_index_asked",
    "millrace_index_synced",
}
LAG_FAMILIES = {"millrace_partition_lag", "millrace_uncounted_records"}
RECONCILER_FAMILIES = {
    "millrace_reconcile_difference",
    "millrace_reconcile_repaired",
    "millrace_reconcile_last_run_timestamp_seconds",
}
INGEST_FAMILIES = {"millrace_ingest_events", "millrace_ingest_request_seconds", "millrace_ingest_pack_events"}


def families(registry: CollectorRegistry) -> set[str]:
    return {family.name for family in text_string_to_metric_families(generate_latest(registry).decode())}


def test_metrics_of_one_registry_are_all_there_before_the_first_event() -> None:
    """Embedded, one registry holds those of every part; an alert can be written before anything happened."""
    registry = CollectorRegistry()
    AggregatorMetrics(registry)
    ReconcilerMetrics(registry)
    IngestMetrics(registry)
    LagWatch(NothingPending().lag, LagMetrics(registry).show, lambda: NOON).look()
    expected = STREAM_FAMILIES | LAG_FAMILIES | RECONCILER_FAMILIES | INGEST_FAMILIES
    assert expected <= families(registry)
    assert registry.get_sample_value("millrace_uncounted_records") == 0
    outcomes = ("accepted", "duplicate", "conflict", "rejected")
    assert [registry.get_sample_value("millrace_ingest_events_total", {"outcome": each}) for each in outcomes] == [
        0, 0, 0, 0,
    ]  # fmt: skip

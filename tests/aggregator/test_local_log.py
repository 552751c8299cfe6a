"""The stream of a process without a broker, up to its sudden end."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from aggregator.clickhouse import ClickHouse
from aggregator.event_store import EventStore
from aggregator.local_log import LOCAL_PARTITION, LocalLog
from schemas.events import Outcome
from schemas.metrics import AggregationType
from tests.aggregator.stream import Stream

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def log(event_store: EventStore, stream: Stream) -> LocalLog:
    stream.metric(AggregationType.SUM)
    return LocalLog(stream.pipeline, event_store)


def test_process_answers_in_order_and_counts_once(log: LocalLog, stream: Stream) -> None:
    """Outcomes come in the order of the events."""
    assert log.process([stream.event("a"), stream.event("b")]) == [Outcome.ACCEPTED] * 2
    assert log.process([stream.event("b", "2"), stream.event("c"), stream.event("a")]) == [
        Outcome.CONFLICT,
        Outcome.ACCEPTED,
        Outcome.DUPLICATE,
    ]


def test_process_after_restart_continues_the_offsets(
    embedded_clickhouse: ClickHouse, event_store: EventStore, log: LocalLog, stream: Stream
) -> None:
    """The next offset is found in the store."""
    log.process([stream.event("a")])
    before = event_store.next_offset(LOCAL_PARTITION)
    LocalLog(stream.pipeline, event_store).process([stream.event("b")])
    rows = embedded_clickhouse.rows(
        "SELECT kafka_offset FROM events WHERE organization_id = {org:String} ORDER BY transaction_id",
        {"org": stream.organization_id},
    )
    assert [row[0] for row in rows] == [before - 1, before]


def test_process_after_batches_of_repeats_and_a_restart_uses_no_offset_again(
    event_store: EventStore, log: LocalLog, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event below the checkpoint, left there by a crash between insert and index, would be counted again."""
    log.process([stream.event("a")])
    log.process([stream.event("a")])
    restarted = LocalLog(stream.pipeline, event_store)
    with monkeypatch.context() as dying:
        dying.setattr(stream.index, "add", crash)
        with pytest.raises(KeyboardInterrupt):
            restarted.process([stream.event("b")])
    assert LocalLog(stream.pipeline, event_store).process([stream.event("b")]) == [Outcome.DUPLICATE]


def crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_process_event_that_its_changed_metric_rejects_is_kept_as_dead_letter(
    embedded_clickhouse: ClickHouse, log: LocalLog, stream: Stream
) -> None:
    """Answered as what it is, since it is not counted, with the reason why it is not billed."""
    assert log.process([stream.event("good"), stream.event("bad", "1" * 19)]) == [
        Outcome.ACCEPTED,
        Outcome.DEAD_LETTER,
    ]
    rows = embedded_clickhouse.rows(
        "SELECT code, original FROM dead_letters WHERE original LIKE {org:String}",
        {"org": f"%{stream.organization_id}%"},
    )
    assert [row[0] for row in rows] == ["value_out_of_range"]
    assert msgspec.json.decode(rows[0][1])["transaction_id"] == "bad"


def test_process_dead_letter_again_when_its_cause_is_gone_counts_it(log: LocalLog, stream: Stream) -> None:
    """What was not counted is no repeat, and what was is one."""
    assert log.process([stream.event("bad", "1" * 19)]) == [Outcome.DEAD_LETTER]
    stream.metric(AggregationType.COUNT)
    assert log.process([stream.event("bad", "1" * 19)]) == [Outcome.ACCEPTED]
    assert log.process([stream.event("bad", "1" * 19)]) == [Outcome.DUPLICATE]


COUNT_FOREVER = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry
from aggregator.clickhouse import connect_embedded, create_tables
from aggregator.evaluation import MetricLookup
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex
from aggregator.local_log import LocalLog
from aggregator.observability import AggregatorMetrics
from aggregator.pipeline import Pipeline
from schemas.catalog import CatalogCache
from schemas.events import Outcome, make_event

folder, batches = Path(sys.argv[1]), int(sys.argv[2])
clickhouse = connect_embedded(folder / "clickhouse")
create_tables(clickhouse, durable=True)
store = EventStore(clickhouse)
lookup = MetricLookup(CatalogCache(lambda version: None), 1.0)
index = DedupIndex(folder / "index", retention_days=45)
pipeline = Pipeline(store, index, lookup, AggregatorMetrics(CollectorRegistry()))
log = LocalLog(pipeline, store)
for batch in range(batches):
    events = [
        make_event(organization_id="o", external_subscription_id="s", transaction_id=f"{batch}-{n}", code="c",
            timestamp_us=1_786_622_400_000_000, properties_json=b"{}", precise_total_amount_cents=None,
            ingested_at_us=1_786_622_400_000_000)
        for n in range(50)
    ]
    outcomes = log.process(events)
    print(batch, outcomes.count(Outcome.ACCEPTED), flush=True)
print("stored", *clickhouse.rows("SELECT count(), uniqExact(transaction_id) FROM events")[0], flush=True)
"""


def run_counting(folder: Path, batches: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COUNT_FOREVER, str(folder), str(batches)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_process_killed_among_inserts_loses_nothing_answered_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL after some answers; the same events sent again are counted once each."""
    victim = run_counting(tmp_path, 100_000)
    assert victim.stdout is not None
    answered = [victim.stdout.readline().split() for _ in range(10)]
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    again, _ = run_counting(tmp_path, 20).communicate(timeout=60)
    lines = [line.split() for line in again.splitlines() if line[0].isdigit() or line.startswith("stored")]
    accepted = {line[0]: int(line[1]) for line in lines[:20]}
    assert answered[-1] == ["9", "50"]
    assert [accepted[str(batch)] for batch in range(10)] == [0] * 10
    stored, distinct = int(lines[-1][1]), int(lines[-1][2])
    assert stored == distinct >= 1000

"""Where the aggregator meets its services: errors, the catalog, the watermark, the status page, Faust."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest
from clickhouse_connect.driver.exceptions import (
    DatabaseError,
    OperationalError,
    ProgrammingError,
    StreamFailureError,
)
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from aggregator.catalog_source import catalog_loader, open_catalog_engine
from aggregator.clickhouse import ClickHouse, connect_server, translate_errors
from aggregator.evaluation import MetricLookup
from aggregator.status import StatusServer, WorkerState
from aggregator.watermark import NothingPending, StreamWatermarkGate
from schemas.catalog import CatalogCache, CatalogSnapshot, encode_snapshot
from schemas.errors import TransientError
from schemas.metrics import AggregationType, MetricDefinition
from tests.services.millrace import ROOT, millrace_environ
from tests.services.ports import LOOPBACK, free_port


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("Error executing HTTP request"),
        DatabaseError("too many parts", code=252),
        StreamFailureError("memory limit", code=241),
        StreamFailureError("Stream ended unexpectedly (connection closed by server)"),
        DatabaseError("HTTP driver received HTTP status 503, server response code 503"),
    ],
)
def test_translate_errors_of_a_server_that_is_away_is_transient(error: Exception) -> None:
    """These may succeed later."""
    with pytest.raises(TransientError), translate_errors():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        DatabaseError("no such column", code=47),
        ProgrammingError("closed"),
        DatabaseError("unheard of"),
        StreamFailureError("bad data", code=117),
    ],
)
def test_translate_errors_of_ours_stays(error: Exception) -> None:
    """An unknown error is not transient."""
    with pytest.raises(type(error)), translate_errors():
        raise error


def test_rows_of_bad_query_is_no_transient_error(embedded_clickhouse: ClickHouse) -> None:
    """A query of ours that is wrong stays wrong; the client goes back to the pool."""
    for _ in range(20):
        with pytest.raises(DatabaseError):
            embedded_clickhouse.rows("SELECT nothing FROM events")
    assert embedded_clickhouse.rows("SELECT 1")[0][0] == 1


def test_connect_server_that_is_not_there_is_transient() -> None:
    """Nothing listens on the port."""
    with pytest.raises(TransientError):
        connect_server(f"http://default:@{LOOPBACK}:{free_port()}/millrace")


def test_connect_server_with_a_database_that_is_no_name_is_refused() -> None:
    """The database becomes part of a statement."""
    with pytest.raises(ValueError, match="ClickHouse URL"):
        connect_server("http://localhost:8123/a;drop")


METRIC = MetricDefinition(id="m", organization_id="o", code="c", aggregation_type=AggregationType.COUNT)


def test_catalog_loader_gives_a_newer_snapshot_only(tmp_path: Path) -> None:
    """The version known is not loaded again."""
    engine = open_catalog_engine(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    load = catalog_loader(engine)
    with pytest.raises(TransientError):
        load(0)
    snapshot = CatalogSnapshot(version=4, metrics=(METRIC,))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE catalog_snapshot (id integer, version integer, document text)"))
    assert load(0) is None
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO catalog_snapshot VALUES (1, 4, :document)"), {"document": encode_snapshot(snapshot)}
        )
    assert load(3) == snapshot
    assert load(4) is None
    engine.dispose()


def test_metric_lookup_asks_the_catalog_seldom_and_survives_its_absence() -> None:
    """Misses ask at most every 100 ms; an error leaves the snapshot in use."""
    now, asked = [100.0], [0]

    def load(version: int) -> CatalogSnapshot | None:
        asked[0] += 1
        if asked[0] > 2:
            raise TransientError("database", "away")
        return CatalogSnapshot(version=version + 1, metrics=(METRIC,))

    lookup = MetricLookup(CatalogCache(load), refresh_seconds=10, clock=lambda: now[0])
    assert lookup.evaluators([("o", "c")])["o", "c"] is not None
    assert lookup.evaluators([("o", "unknown")]) == {("o", "unknown"): None}
    assert asked[0] == 1
    now[0] += 0.11
    lookup.evaluators([("o", "unknown")])
    assert asked[0] == 2
    now[0] += 11
    assert lookup.evaluators([("o", "c")])["o", "c"] is not None
    assert asked[0] == 3


class FixedOffsets:
    """Offsets that stand still; those of `markers`, by partition, are no records."""

    def __init__(
        self,
        ends: Mapping[int, int],
        starts: Mapping[int, int],
        committed: Mapping[int, int],
        markers: Mapping[int, set[int]] = MappingProxyType({}),
    ) -> None:
        self._ends, self._starts, self._committed, self._markers = ends, starts, committed, markers

    def ends(self) -> Mapping[int, int]:
        return self._ends

    def starts(self, partitions: list[int]) -> Mapping[int, int]:
        return {partition: self._starts[partition] for partition in partitions}

    def committed(self, partitions: list[int]) -> Mapping[int, int]:
        return {partition: self._committed[partition] for partition in partitions if partition in self._committed}

    def with_records(self, stretches: Mapping[int, tuple[int, int]]) -> set[int]:
        return {
            partition
            for partition, (start, end) in stretches.items()
            if set(range(start, end)) - self._markers.get(partition, set())
        }


@pytest.mark.parametrize(
    ("ends", "starts", "committed", "has_passed"),
    [
        ({0: 0, 1: 0}, {0: 0, 1: 0}, {}, True),
        ({0: 10, 1: 5}, {0: 0, 1: 0}, {0: 10, 1: 5}, True),
        ({0: 10, 1: 5}, {0: 0, 1: 0}, {0: 10, 1: 4}, False),
        ({0: 10, 1: 5}, {0: 0, 1: 0}, {0: 10}, False),
        ({0: 10, 1: 5}, {0: 0, 1: 5}, {0: 11}, True),
    ],
)
def test_watermark_passes_when_every_partition_is_counted(
    ends: dict[int, int], starts: dict[int, int], committed: dict[int, int], has_passed: bool
) -> None:
    """Empty partitions pass; one offset behind does not."""
    gate = StreamWatermarkGate(FixedOffsets(ends, starts, committed))
    assert gate.has_passed(gate.mark()) is has_passed


@pytest.mark.parametrize(
    ("committed", "has_passed", "lag"),
    [
        ({0: 8, 1: 5}, True, {0: 0, 1: 0}),
        ({0: 7, 1: 5}, False, {0: 3, 1: 0}),
        ({0: 8, 1: 4}, False, {0: 0, 1: 1}),
        ({0: 10}, False, {0: 0, 1: 5}),
    ],
)
def test_watermark_does_not_wait_for_what_ends_a_transaction(
    committed: dict[int, int], has_passed: bool, lag: dict[int, int]
) -> None:
    """It takes an offset and is no record: nobody commits it, until another record follows."""
    offsets = FixedOffsets({0: 10, 1: 5}, {0: 0, 1: 0}, committed, markers={0: {2, 8, 9}, 1: {3}})
    gate = StreamWatermarkGate(offsets)
    assert (gate.has_passed(gate.mark()), gate.lag()) == (has_passed, lag)


def test_watermark_without_broker_has_always_passed() -> None:
    """An accepted event is a counted one."""
    gate = NothingPending()
    assert gate.has_passed(gate.mark())


def test_status_server_tells_state_and_figures() -> None:
    """/health is 503 until the worker runs; /metrics is the registry."""
    registry = CollectorRegistry()
    status = StatusServer(LOOPBACK, 0, registry)
    status.start()
    url = f"http://{LOOPBACK}:{status.port}"
    status.change(WorkerState.WAITING_FOR_KAFKA, "refused")
    waiting = httpx.get(f"{url}/health")
    assert (waiting.status_code, waiting.json()) == (503, {"status": "waiting_for_kafka", "reason": "refused"})
    status.change(WorkerState.RUNNING)
    assert httpx.get(f"{url}/health").status_code == 200
    head = httpx.head(f"{url}/health")
    assert (head.status_code, head.content) == (200, b"")
    assert httpx.get(f"{url}/metrics").status_code == 200
    assert httpx.get(f"{url}/other").status_code == 404
    status.stop()


FAIL_TO_COUNT = """
import asyncio
from prometheus_client import CollectorRegistry
from aggregator.agents import AggregatorWorker
from aggregator.status import StatusServer
from schemas.errors import TransientError
from schemas.settings import Settings

async def count():
    raise TransientError("clickhouse", "away for good")

worker = AggregatorWorker(Settings(), None, StatusServer("127.0.0.1", 0, CollectorRegistry()))
asyncio.run(worker._end_on_failure(count()))
print("still here")
"""


def run_script(script: str, index_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, which may end at once."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=millrace_environ({"index_dir": index_dir}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_worker_that_cannot_count_a_batch_ends_the_process(tmp_path: Path) -> None:
    """Retries have run out: the exit code says so, and nothing after it runs that could commit offsets."""
    ended = run_script(FAIL_TO_COUNT, tmp_path)
    assert ended.returncode == 1
    assert "away for good" in ended.stdout
    assert "still here" not in ended.stdout


GIVE_UP = """
import asyncio
from prometheus_client import CollectorRegistry
from aggregator.agents import AggregatorWorker
from aggregator.status import StatusServer
from schemas.settings import Settings

async def give_up():
    worker.app = worker._make_app()
    if SHOULD_STOP:
        worker.app._stopped.set()
    preparing = asyncio.create_task(worker._end_on_failure(asyncio.sleep(60)))
    await asyncio.sleep(0)
    preparing.cancel()
    await asyncio.gather(preparing, return_exceptions=True)

worker = AggregatorWorker(Settings(), None, StatusServer("127.0.0.1", 0, CollectorRegistry()))
asyncio.run(give_up())
print("still here")
"""


@pytest.mark.parametrize(("should_stop", "returncode"), [(False, 1), (True, 0)], ids=["running", "stopping"])
def test_worker_that_gives_up_a_batch_ends_the_process_unless_it_stops(
    tmp_path: Path, should_stop: bool, returncode: int
) -> None:
    """A batch that is lost on the way would otherwise be passed by the offsets behind it."""
    ended = run_script(f"SHOULD_STOP = {should_stop}\n{GIVE_UP}", tmp_path)
    assert ended.returncode == returncode, ended.stderr
    assert ("given up" in ended.stdout, "still here" in ended.stdout) == (not should_stop, should_stop)

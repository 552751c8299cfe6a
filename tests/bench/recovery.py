"""How long a worker that was killed takes to consume again, with its index and without."""

from __future__ import annotations

import shutil
import time
from urllib.request import urlopen

from tests.bench.measurement import Bound, Figure, Measurement, Say, Target
from tests.bench.site import BenchSite, wait_until
from tests.bench.sizes import Sizes
from tests.bench.stream import StreamFiller
from tests.bench.usage_events import UsageEvents
from tests.services.millrace import MillraceProcess

BACKLOG_EVENTS = 500_000
"""What is left to count when the worker is killed: it dies at work."""
COUNTED_METRICS = ("millrace_events_stored_total", "millrace_events_duplicate_total")
SPAN_SECONDS = 86_400
COUNT_SECONDS_MAX = 300.0
RECOVERY_SECONDS_MAX = 120.0
TARGET = Target(Bound.BELOW, 10)


def measure_recovery(sizes: Sizes, say: Say) -> Measurement:
    """Kill the worker at work, start it again at once; then the same with its index directory gone."""
    with BenchSite() as site:
        for process in (site.cluster.invoicer_process, site.cluster.ingest_process):
            process.stop()
        filler = StreamFiller(site, UsageEvents(1, int(time.time()), SPAN_SECONDS))
        filler.fill(sizes.indexed_events)
        worker = site.cluster.add_worker()
        say("filling the index")
        site.wait_until_counted(sizes.indexed_events, COUNT_SECONDS_MAX)
        say("killed at work")
        with_index = _recover(site, filler, worker, sizes.indexed_events, loses_index=False)
        say("killed, and its index gone")
        without = _recover(site, filler, worker, sizes.indexed_events + BACKLOG_EVENTS, loses_index=True)
    return Measurement(
        "recovery",
        "recovery after SIGKILL",
        "A worker is killed while it counts and started again at once, as a supervisor would: seconds from the "
        "kill to the first batch of the new process. Afterwards every event is found in ClickHouse, once.",
        (
            Figure(f"to consuming again, {sizes.indexed_events:,} events in the index", with_index, "s", TARGET),
            Figure(
                "the same when the index is gone",
                without,
                "s",
                note=f"{sizes.indexed_events + BACKLOG_EVENTS:,} entries are fetched from ClickHouse first",
            ),
        ),
    )


def _recover(
    site: BenchSite, filler: StreamFiller, worker: MillraceProcess, counted: int, *, loses_index: bool
) -> float:
    """Seconds from the kill to the first batch; ends when all of the backlog is counted."""
    filler.fill(BACKLOG_EVENTS)
    wait_until(lambda: site.counted_events() > counted, COUNT_SECONDS_MAX, "the backlog is being counted")
    worker.kill()
    killed_at = time.perf_counter()
    if loses_index:
        shutil.rmtree(site.cluster.folder / "index-0")
    worker.start(wait=False)
    wait_until(lambda: _consumed_events(worker) > 0, RECOVERY_SECONDS_MAX, "the worker consumes again")
    seconds = time.perf_counter() - killed_at
    site.wait_until_counted(counted + BACKLOG_EVENTS, COUNT_SECONDS_MAX)
    return seconds


def _consumed_events(worker: MillraceProcess) -> float:
    """The events that this process has counted or recognized; 0 while it does not answer yet."""
    try:
        with urlopen(worker.health_url.replace("/health", "/metrics"), timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(COUNTED_METRICS))

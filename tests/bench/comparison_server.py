"""A comparison as a process beside the cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.comparisons import ComparisonName
from tests.bench.load import LoadGenerator
from tests.bench.site import BenchSite
from tests.services.millrace import MillraceProcess
from tests.services.ports import LOOPBACK, free_port


@dataclass(frozen=True)
class ComparisonServer:
    """A comparison that is being served."""

    pid: int
    port: int

    def generator(self, connections: int) -> LoadGenerator:
        """A load generator on it."""
        return LoadGenerator(LOOPBACK, self.port, connections)


@contextmanager
def serve_comparison(site: BenchSite, name: ComparisonName, redis_port: int = 0) -> Iterator[ComparisonServer]:
    """Serve with the settings of the cluster's ingest process, and a topic called after the comparison."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.comparisons", name, f"--redis-port={redis_port}"]
    own = {"port": port, "usage_events_topic": name, "dead_letter_topic": f"{name}.dead"}
    log = site.cluster.folder / f"{name}.log"
    server = MillraceProcess(command, site.cluster.shared | own, f"http://{LOOPBACK}:{port}/health", log)
    try:
        server.start()
        yield ComparisonServer(server.process.pid, port)
    finally:
        server.stop()

"""Millrace itself as a service of a test: the embedded process, and the processes of a cluster."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.services.errors import ServiceUnavailable
from tests.services.ports import LOOPBACK, free_port, free_ports
from tests.services.process import ServiceProcess

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "end-to-end-key"
READY_SECONDS_MAX = 90


def millrace_environ(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment without any MILLRACE_* of its own, plus `settings` as MILLRACE_*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    return inherited | {f"MILLRACE_{name.upper()}": str(value) for name, value in settings.items()}


class MillraceProcess:
    """One process of Millrace with its log, restartable with the same settings."""

    def __init__(self, command: list[str], settings: Mapping[str, object], health_url: str, log: Path) -> None:
        self._command = command
        self._environ = millrace_environ(settings)
        self.health_url = health_url
        self._log = log
        self._process: ServiceProcess | None = None

    @property
    def process(self) -> ServiceProcess:
        assert self._process is not None, "not started"
        return self._process

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, return once /health answers 200."""
        self._process = ServiceProcess(self._command, log=self._log, cwd=ROOT, environ=self._environ)
        if wait:
            self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        """Raises: ServiceUnavailable with the end of the log when it does not come up."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        last = "no answer"
        while time.monotonic() < deadline and self.process.is_running:
            try:
                response = httpx.get(self.health_url, timeout=5)
            except httpx.TransportError as error:
                last = repr(error)
            else:
                if response.status_code == httpx.codes.OK:
                    return
                last = response.text
            time.sleep(0.1)
        raise ServiceUnavailable(f"{self._command} is not healthy: {last}\n{self.process.log_tail()}")

    def kill(self) -> None:
        """SIGKILL the process and its children: it gets no chance to say goodbye."""
        children = self.process.children()
        self.process.kill()
        for pid in children:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()


class Instance:
    """A running Millrace as its clients see it: where the API is, where events go, and the key."""

    def __init__(self, api_url: str, ingest_url: str, api_key: str = API_KEY) -> None:
        self.api_url = api_url
        self.ingest_url = ingest_url
        self.api_key = api_key
        headers = {"Authorization": f"Bearer {api_key}"}
        self.api = httpx.Client(base_url=f"{api_url}/api/v1/", headers=headers, timeout=60)
        self.ingest = httpx.Client(base_url=f"{ingest_url}/api/v1/", headers=headers, timeout=60)

    def close(self) -> None:
        self.api.close()
        self.ingest.close()


class EmbeddedInstance(Instance):
    """`millrace up` in a process of its own, on free ports."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        port, self.clickhouse_port = free_ports(2)
        url = f"http://{LOOPBACK}:{port}"
        super().__init__(url, url)
        self.data_dir = data_dir
        self.clickhouse_password = "dashboards"
        chosen: dict[str, object] = {
            "port": port,
            "api_key": API_KEY,
            "data_dir": data_dir,
            "clickhouse_http_port": self.clickhouse_port,
            "clickhouse_http_password": self.clickhouse_password,
        }
        self.settings = chosen | settings
        command = [sys.executable, "-m", "invoicer.cli", "up"]
        self.server = MillraceProcess(command, self.settings, f"{url}/health", data_dir.parent / "embedded.log")

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.server.stop()


class ClusterInstance(Instance):
    """ingest, aggregator workers and invoicer as processes of their own, on services that are running."""

    def __init__(
        self,
        *,
        kafka: str,
        database_url: str,
        clickhouse_url: str,
        topic: str,
        workers: int = 1,
        partitions: int = 4,
        **settings: object,
    ) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="millrace-cluster-")))
        ingest_port, invoicer_port = free_ports(2)
        super().__init__(f"http://{LOOPBACK}:{invoicer_port}", f"http://{LOOPBACK}:{ingest_port}")
        self.shared: dict[str, object] = {
            "kafka_bootstrap_servers": kafka,
            "database_url": database_url,
            "clickhouse_url": clickhouse_url,
            "usage_events_topic": topic,
            "dead_letter_topic": f"{topic}.dead",
            "aggregator_group": f"{topic}-group",
            "usage_events_partitions": partitions,
            "api_key": API_KEY,
        } | settings
        self.ingest_process = self._process("ingest", "ingest", {"port": ingest_port}, self.ingest_url)
        self.invoicer_process = self._process("invoicer", "invoicer", {"port": invoicer_port}, self.api_url)
        self.workers = [self._worker(number) for number in range(workers)]

    def _worker(self, number: int, **settings: object) -> MillraceProcess:
        port = free_port()
        own = {"metrics_port": port, "index_dir": self.folder / f"index-{number}"} | settings
        return self._process("aggregator", f"aggregator-{number}", own, f"http://{LOOPBACK}:{port}")

    def _process(self, module: str, name: str, own: dict[str, object], url: str) -> MillraceProcess:
        command = [sys.executable, "-m", module]
        return MillraceProcess(command, self.shared | own, f"{url}/health", self.folder / f"{name}.log")

    def add_worker(self, *, wait: bool = True, **settings: object) -> MillraceProcess:
        """Start one more aggregator worker, with settings of its own, which shares the partitions."""
        worker = self._worker(len(self.workers), **settings)
        self.workers.append(worker)
        worker.start(wait=wait)
        return worker

    @property
    def processes(self) -> list[MillraceProcess]:
        return [self.invoicer_process, self.ingest_process, *self.workers]

    def __enter__(self) -> Self:
        try:
            self.migrate()
            for process in self.processes:
                process.start(wait=False)
            for process in self.processes:
                process.wait_until_healthy()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def migrate(self) -> None:
        """Bring the database up to date with the documented command."""
        log = self.folder / "migrate.log"
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        migration = ServiceProcess(command, log=log, cwd=ROOT, environ=millrace_environ(self.shared))
        deadline = time.monotonic() + READY_SECONDS_MAX
        while migration.is_running and time.monotonic() < deadline:
            time.sleep(0.05)
        if migration.returncode != 0:
            raise ServiceUnavailable(f"the migration failed:\n{migration.log_tail()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for process in reversed(self.processes):
            process.stop()
        self._stack.close()

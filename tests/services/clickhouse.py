"""A ClickHouse of its own process for tests: chDB behind ClickHouse's HTTP interface."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from tests.services.errors import ServiceUnavailable
from tests.services.ports import LOOPBACK, free_port
from tests.services.process import ServiceProcess

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 60
PROBE_SECONDS = 0.05


class EmbeddedClickHouse:
    """A server that can be stopped, killed and started again on the same data and the same port."""

    def __init__(
        self,
        *,
        writable: bool = True,
        user: str = "millrace",
        password: str = "correct-horse",
        port: int | None = None,
    ) -> None:
        self.user = user
        self.password = password
        self.port = free_port() if port is None else port
        self._writable = writable
        self._home = tempfile.TemporaryDirectory(prefix="millrace-clickhouse-")
        self._process: ServiceProcess | None = None

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def url(self) -> str:
        """The address with the account in it."""
        return f"http://{quote(self.user)}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}"

    @property
    def directory(self) -> Path:
        """Where the data is; kept until the block ends."""
        return Path(self._home.name) / "data"

    @property
    def process(self) -> ServiceProcess:
        if self._process is None:
            raise RuntimeError("the server was never started")
        return self._process

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:  ServiceUnavailable with the end of its log when it does not answer within 60 s.
        """
        command = [sys.executable, "-m", "aggregator.clickhouse_http"]
        options = [f"--path={self.directory}", f"--port={self.port}", f"--user={self.user}"]
        flags = ["--writable"] if self._writable else []
        self._process = ServiceProcess(
            [*command, *options, f"--password={self.password}", *flags],
            log=Path(self._home.name) / "server.log",
            cwd=ROOT,
        )
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Stop the server in its own time."""
        self.process.stop()

    def kill(self) -> None:
        """End the server with SIGKILL, in the middle of whatever it does."""
        self.process.kill()

    def restart(self, *, writable: bool | None = None) -> None:
        """Start again on the same data and port, after a stop when it still runs."""
        self.stop()
        if writable is not None:
            self._writable = writable
        self.start()

    def _wait_until_ready(self, process: ServiceProcess) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if not process.is_running or time.monotonic() > deadline:
                process.kill()
                raise ServiceUnavailable(f"the embedded ClickHouse did not start: {process.log_tail()}")
            time.sleep(PROBE_SECONDS)

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://{LOOPBACK}:{self.port}/ping", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._home.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._home.cleanup()

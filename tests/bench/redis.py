"""A Redis server of the benchmark's own, where one is installed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.services.entered import EnteredService
from tests.services.errors import ServiceUnavailable
from tests.services.ports import free_port, wait_until_listening
from tests.services.process import ServiceProcess

START_SECONDS_MAX = 20


class RedisServer(EnteredService):
    """A server that keeps everything in memory and nothing on disk: Redis at its fastest."""

    def __init__(self, program: str) -> None:
        self.port = free_port()
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="millrace-redis-"))
        self._process: ServiceProcess | None = None

    @property
    def process(self) -> ServiceProcess:
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        """Raises: ServiceUnavailable with the end of the log when it does not listen within 20 s."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = ServiceProcess([self._program, *options], log=self._folder / "redis.log", cwd=self._folder)
        if not wait_until_listening(self.port, START_SECONDS_MAX):
            raise ServiceUnavailable(f"{self._program} did not start:\n{self._process.log_tail()}")

    def close(self) -> None:
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

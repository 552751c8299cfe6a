"""`/health` and `/metrics` of a worker."""

import json
import threading
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from aggregator.watermark import LagWatch


class WorkerState(StrEnum):
    """What a worker is doing."""

    WAITING_FOR_CLICKHOUSE = "waiting_for_clickhouse"
    WAITING_FOR_KAFKA = "waiting_for_kafka"
    JOINING = "joining"
    RUNNING = "running"
    STOPPING = "stopping"
    TOO_MANY_DEAD_LETTERS = "too_many_dead_letters"
    """The last state: the process is about to end."""


class StatusServer:
    """Answers on its own thread; /health is 200 while the worker runs and 503 with its state otherwise.

    /health also tells how many records of the whole stream are not counted yet, and when that was asked.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, lag_watch: LagWatch | None = None
    ) -> None:
        self.state = WorkerState.WAITING_FOR_CLICKHOUSE
        self.reason = ""
        self._registry = registry
        self._lag_watch = lag_watch
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def change(self, state: WorkerState, reason: str = "") -> None:
        """Say what the worker is doing now, and why it is not further."""
        if self.state is WorkerState.TOO_MANY_DEAD_LETTERS:
            return
        self.state, self.reason = state, reason

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of a request."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path == "/health":
            body: dict[str, object] = {"status": self.state.value}
            if self.reason:
                body["reason"] = self.reason
            if self._lag_watch is not None:
                body |= self._lag_watch.told()
            status = 200 if self.state is WorkerState.RUNNING else 503
            return status, "application/json", json.dumps(body).encode()
        return 404, "application/json", b'{"status": 404, "error": "Not Found"}'

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        status = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, *, with_body: bool) -> None:
                code, content_type, body = status.answer(self.path)
                self.send_response(code)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes every second are not worth a line."""

        return Handler

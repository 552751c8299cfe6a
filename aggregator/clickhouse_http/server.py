"""Serving the interface on the loopback address from a thread of its own."""

import socket
import threading
import time
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

LOOPBACK = "127.0.0.1"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
SHUTDOWN_SECONDS = 10
PROBE_SECONDS = 0.02


class ClickHouseHttpServer:
    """One run of an app on 127.0.0.1; port 0 takes a free one, `port` tells which."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, port))
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="on",
                access_log=False,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self._thread = threading.Thread(target=self._run, name="clickhouse-http", daemon=True)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Serve; returns when requests are answered.

        Raises:  RuntimeError when the app cannot start, such as when the engine cannot be opened.
        """
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("the ClickHouse HTTP interface did not start; its log says why")
            time.sleep(PROBE_SECONDS)

    def stop(self) -> None:
        """Stop after the running requests, at most 10 s later; safe to repeat."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)
        self._socket.close()

    def _run(self) -> None:
        # uvicorn ends a failed start with sys.exit after logging why; `start` tells the caller.
        with suppress(SystemExit):
            self._server.run(sockets=[self._socket])

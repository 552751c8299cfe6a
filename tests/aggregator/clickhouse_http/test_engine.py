"""How many queries run at a time, and what happens to the next one; a fake engine, no chDB."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest

from aggregator.clickhouse_http import ClickHouseHttpServer, HttpLimits, create_app
from aggregator.clickhouse_http.engine import quote_identifier, quote_string


class FakeBlock:
    """A result of one text."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def bytes(self) -> bytes:
        return self._text

    def elapsed(self) -> float:
        return 0.0

    def __getattr__(self, name: str) -> object:
        if name in {"rows_read", "storage_rows_read", "storage_bytes_read", "rows_written", "bytes_written"}:
            return lambda: 0
        raise AttributeError(name)


class FakeEngine:
    """Counts handles; a query WAIT waits until it is let go."""

    def __init__(self) -> None:
        self.open_handles = 0
        self.statements: list[str] = []
        self.running = threading.Semaphore(0)
        self.let_go = threading.Event()
        self._lock = threading.Lock()

    def connect(self) -> FakeHandle:
        with self._lock:
            self.open_handles += 1
        return FakeHandle(self)

    def forget(self) -> None:
        with self._lock:
            self.open_handles -= 1


class FakeHandle:
    """A handle that parses every query as a CREATE and runs it as told."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    def query(self, query: str, format: str, params: Mapping[str, str] | None = None) -> FakeBlock:  # noqa: A002
        self._engine.statements.append(query)
        if query == "SELECT timezone()":
            return FakeBlock(b"Europe/Paris\n")
        if "parseQueryToJSON" in query:
            return FakeBlock(b'{"type":"CreateQuery"}')
        if query == "WAIT":
            self._engine.running.release()
            self._engine.let_go.wait(20)
        if query == "FAIL":
            raise RuntimeError("Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)")
        return FakeBlock(b"done")

    def close(self) -> None:
        self._engine.forget()


@contextmanager
def serve(engine: FakeEngine, limits: HttpLimits) -> Iterator[str]:
    app = create_app(engine.connect, user="u", password="p", writable=True, limits=limits)  # type: ignore[arg-type]  # the fake has what is called
    server = ClickHouseHttpServer(app, 0)
    server.start()
    try:
        yield f"http://u:p@127.0.0.1:{server.port}/"
    finally:
        engine.let_go.set()
        server.stop()


def post_in_thread(url: str, content: str, answers: list[httpx.Response]) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(httpx.post(url, content=content, timeout=30)))
    thread.start()
    return thread


def test_query_that_finds_no_free_handle_is_answered_503() -> None:
    """The wait is bounded, and the answer says so and when to come back."""
    engine = FakeEngine()
    answers: list[httpx.Response] = []
    with serve(engine, HttpLimits(queries_max=1, wait_seconds_max=0.2)) as url:
        running = post_in_thread(url, "WAIT", answers)
        assert engine.running.acquire(timeout=20)

        refused = httpx.post(url, content="SECOND")
        engine.let_go.set()
        running.join()
        after = httpx.post(url, content="THIRD")

    assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (503, "202")
    assert refused.headers["Retry-After"] == "1"
    assert "Too many simultaneous queries" in refused.text
    assert [answers[0].text, after.text] == ["done", "done"]
    assert "SECOND" not in engine.statements


def test_query_beyond_the_queue_is_turned_away_at_once() -> None:
    """With no room to wait, the answer does not take the waiting time."""
    engine = FakeEngine()
    answers: list[httpx.Response] = []
    with serve(engine, HttpLimits(queries_max=1, waiting_max=0, wait_seconds_max=60)) as url:
        running = post_in_thread(url, "WAIT", answers)
        assert engine.running.acquire(timeout=20)

        refused = httpx.post(url, content="SECOND", timeout=10)
        engine.let_go.set()
        running.join()

    assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (503, "202")


def test_handles_are_all_closed_when_the_server_stops() -> None:
    """Answered, failed and refused requests leave no handle, and the one that keeps the engine open goes last."""
    engine = FakeEngine()
    with serve(engine, HttpLimits()) as url:
        statuses = [httpx.post(url, content=text).status_code for text in ("A", "FAIL", "B")]
        unknown = httpx.post(url, content="A", params={"bad name": "1"})
        open_while_serving = engine.open_handles

    assert statuses == [200, 500, 200]
    assert unknown.status_code == 400
    assert (open_while_serving, engine.open_handles) == (1, 0)


def test_body_beyond_the_limit_is_refused_compressed_or_not() -> None:
    """The limit counts plain bytes, so a compressed body cannot carry more."""
    engine = FakeEngine()
    text = "A" * 5000
    with serve(engine, HttpLimits(body_bytes_max=4999)) as url:
        plain = httpx.post(url, content=text)
        packed = httpx.post(url, content=gzip.compress(text.encode()), headers={"Content-Encoding": "gzip"})

    assert [plain.status_code, packed.status_code] == [413, 413]
    assert plain.headers["X-ClickHouse-Exception-Code"] == "307"
    assert text not in engine.statements


def test_settings_and_database_are_quoted_into_one_statement_each() -> None:
    """What the URL says reaches the engine as quoted values, the writable default among them."""
    engine = FakeEngine()
    with serve(engine, HttpLimits(execution_seconds_max=7)) as url:
        answer = httpx.post(url, content="A", params={"database": "a`b", "log_comment": "it's"})

    assert answer.headers["X-ClickHouse-Timezone"] == "Europe/Paris"
    assert "USE `a\\`b`" in engine.statements
    assert "SET max_execution_time = '7', log_comment = 'it\\'s'" in engine.statements


@pytest.mark.parametrize(("name", "quoted"), [("a", "`a`"), ("a`b", "`a\\`b`"), ("a\\", "`a\\\\`")])
def test_quote_identifier_escapes_what_would_end_it(name: str, quoted: str) -> None:
    """A name cannot leave its quotes."""
    assert quote_identifier(name) == quoted


def test_quote_string_escapes_what_would_end_it() -> None:
    """A value cannot leave its quotes."""
    assert quote_string("it's \\") == "'it\\'s \\\\'"


def test_server_that_cannot_open_its_engine_says_so() -> None:
    """A start that fails is an error of `start`, not a server without an engine."""

    def connect() -> FakeHandle:
        raise RuntimeError("another path is open")

    server = ClickHouseHttpServer(create_app(connect, user="u", password="p"), 0)  # type: ignore[arg-type]  # never used

    with pytest.raises(RuntimeError, match="did not start"):
        server.start()

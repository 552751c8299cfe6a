"""The HTTP interface as curl and dashboards use it."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import time
import uuid

import httpx
import pytest

from tests.services.clickhouse import EmbeddedClickHouse


def test_ping_without_account_says_ok(server: EmbeddedClickHouse) -> None:
    """Health checks carry no account."""
    for path in ("/ping", "/replicas_status", "/"):
        answer = httpx.get(f"http://{server.host}:{server.port}{path}")

        assert (answer.status_code, answer.text) == (200, "Ok.\n")


@pytest.mark.parametrize("way", ["headers", "basic", "url"])
def test_account_in_each_of_the_three_ways_is_accepted(server: EmbeddedClickHouse, way: str) -> None:
    """ClickHouse's headers, basic authentication and URL parameters all name the account."""
    base = f"http://{server.host}:{server.port}/?query=SELECT+1"
    match way:
        case "headers":
            headers = {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password}
            answer = httpx.get(base, headers=headers)
        case "basic":
            answer = httpx.get(base, auth=(server.user, server.password))
        case _:
            answer = httpx.get(f"{base}&user={server.user}&password={server.password}")

    assert (answer.status_code, answer.text) == (200, "1\n")


@pytest.mark.parametrize(
    ("user", "password", "status", "code"),
    [
        ("millrace", "wrong", 403, "516"),
        ("someone", "correct-horse", 403, "516"),
        ("millrace", "", 401, "194"),
        ("pâté", "pâté", 403, "516"),
    ],
)
def test_account_that_is_wrong_is_refused(
    server: EmbeddedClickHouse, user: str, password: str, status: int, code: str
) -> None:
    """A wrong account gets ClickHouse's error and no hint which half was wrong."""
    answer = httpx.get(
        f"http://{server.host}:{server.port}/?query=SELECT+1",
        params={"query": "SELECT 1", "user": user, "password": password},
    )

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: Authentication failed")


def test_query_in_url_answers_with_clickhouse_headers(http: httpx.Client) -> None:
    """The headers name the query, the server, the format and what was read."""
    answer = http.get("/", params={"query": "SELECT number FROM numbers(3)", "query_id": "q-1"})

    assert answer.text == "0\n1\n2\n"
    assert answer.headers["X-ClickHouse-Query-Id"] == "q-1"
    assert answer.headers["X-ClickHouse-Server-Display-Name"] == "millrace"
    assert answer.headers["X-ClickHouse-Format"] == "TabSeparated"
    assert answer.headers["X-ClickHouse-Timezone"]
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("3", "3")


def test_query_in_url_and_body_are_one_text(http: httpx.Client) -> None:
    """The body continues the query of the URL."""
    answer = http.post("/", params={"query": "SELECT 1 +"}, content="2 FORMAT CSV")

    assert (answer.text, answer.headers["X-ClickHouse-Format"]) == ("3\n", "CSV")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"default_format": "JSONEachRow"}, '{"a":1}\n'),
        ({"default_format": "CSVWithNames"}, '"a"\n1\n'),
        ({}, "1\n"),
    ],
)
def test_default_format_holds_where_the_query_has_none(
    http: httpx.Client, chosen: dict[str, str], expected: str
) -> None:
    """A FORMAT clause wins over `default_format`, and both over TabSeparated."""
    plain = http.post("/", params=chosen, content="SELECT 1 AS a")
    explicit = http.post("/", params=chosen, content="SELECT 1 AS a FORMAT Values")

    assert (plain.text, explicit.text) == (expected, "(1)")


def test_parameters_are_bound_by_the_engine(http: httpx.Client) -> None:
    """A parameter is a value, whatever it looks like; its escapes are ClickHouse's."""
    answer = http.post(
        "/",
        params={"param_a": "7", "param_b": "x'; DROP TABLE t\\ty", "param_c": "[1,2]"},
        content="SELECT {a:UInt8} + 1, {b:String}, length({c:Array(UInt8)}) FORMAT JSONCompactEachRow",
    )

    assert answer.json() == [8, "x'; DROP TABLE t\ty", 2]


def test_settings_of_one_request_do_not_reach_the_next(http: httpx.Client) -> None:
    """A setting, a USE and a temporary table end with their request."""
    name = f"d{uuid.uuid4().hex}"
    http.post("/", content=f"CREATE DATABASE {name}").raise_for_status()
    with_setting = http.post("/", params={"max_threads": "1"}, content="SELECT getSetting('max_threads')")
    for statement in (f"USE {name}", "SET max_threads = 1", "CREATE TEMPORARY TABLE z (a Int8)"):
        http.post("/", content=statement).raise_for_status()

    assert with_setting.text == "1\n"
    assert http.post("/", content="SELECT currentDatabase()").text == "default\n"
    assert http.post("/", content="SELECT changed FROM system.settings WHERE name = 'max_threads'").text == "0\n"
    assert http.post("/", content="SELECT * FROM z").status_code == 404
    assert http.post("/", params={"database": name}, content="SELECT currentDatabase()").text == f"{name}\n"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELECT * FROM nope", 404, 60),
        ("SELECT nope", 404, 47),
        ("SELEC 1", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("", 400, 62),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT 1 INTO OUTFILE '/tmp/nope.csv'", 400, 358),
        ("SELECT {missing:UInt8}", 400, 456),
        ("SELECT 1 SETTINGS no_such_setting = 1", 404, 115),
        ("INSERT INTO nope FORMAT Native\n\x01", 404, 60),
    ],
)
def test_error_has_clickhouse_status_code_and_text(http: httpx.Client, query: str, status: int, code: int) -> None:
    """Errors carry ClickHouse's code in a header and its text in the body."""
    answer = http.post("/", content=query)

    assert answer.status_code == status
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "parseQueryToJSON" not in answer.text


@pytest.mark.parametrize("parameter", ["compress", "decompress"])
def test_block_compression_is_refused_by_name(http: httpx.Client, parameter: str) -> None:
    """A client that would misread the answer is told which parameter to drop."""
    answer = http.post("/", params={parameter: "1"}, content="SELECT 1")

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert parameter in answer.text


def test_setting_whose_name_is_sql_is_refused(http: httpx.Client) -> None:
    """The name of a setting cannot carry a statement."""
    answer = http.post("/", params={"max_threads = 1; DROP TABLE t; SET a": "1"}, content="SELECT 1")

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "36")


def test_database_that_is_missing_is_not_found(http: httpx.Client) -> None:
    """The database of the URL has to exist."""
    answer = http.post("/", params={"database": "no`such"}, content="SELECT 1")

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "81")


def test_get_does_not_write_even_where_writing_is_allowed(http: httpx.Client) -> None:
    """A GET runs under readonly, as on a server: a link cannot drop a table."""
    answer = http.get("/", params={"query": "CREATE TABLE by_link (a Int8) ENGINE = Memory"})

    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert http.post("/", content="EXISTS TABLE by_link").text == "0\n"


def test_execution_time_ends_a_long_query(http: httpx.Client) -> None:
    """`max_execution_time` is honoured and answered as a timeout."""
    answer = http.post(
        "/",
        params={"max_execution_time": "0.5"},
        content="SELECT sum(cityHash64(number)) FROM numbers(100000000000)",
    )

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (408, "159")


def test_answer_is_compressed_when_asked_for(http: httpx.Client) -> None:
    """`enable_http_compression=1` with an Accept-Encoding compresses; without it nothing does."""
    asked = http.post("/", params={"enable_http_compression": "1"}, content="SELECT repeat('a', 1000)")
    plain = http.post("/", content="SELECT repeat('a', 1000)")

    assert asked.headers["Content-Encoding"] in {"gzip", "deflate"}
    assert "Content-Encoding" not in plain.headers
    assert asked.text == plain.text == "a" * 1000 + "\n"


def test_insert_compressed_body_with_query_in_url_is_stored(http: httpx.Client) -> None:
    """The statement travels in the URL, the data in a gzip body."""
    http.post("/", content="CREATE TABLE g (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()

    answer = http.post(
        "/",
        params={"query": "INSERT INTO g FORMAT TSV"},
        content=gzip.compress(b"1\n2\n3\n"),
        headers={"Content-Encoding": "gzip"},
    )

    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "3"
    assert http.post("/", content="SELECT sum(a) FROM g").text == "6\n"


def test_insert_that_cannot_be_parsed_stores_nothing(http: httpx.Client) -> None:
    """A bad row in a small insert cancels all of it."""
    http.post("/", content="CREATE TABLE bad (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()

    answer = http.post("/", content="INSERT INTO bad FORMAT TSV\n1\n2\nx\n")

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "27")
    assert http.post("/", content="SELECT count() FROM bad").text == "0\n"


def test_large_result_that_fails_late_ends_with_the_tagged_exception(http: httpx.Client) -> None:
    """Once the headers are out, the error follows the data, marked by the tag of the header."""
    query = "SELECT throwIf(number = 60000000) FROM numbers(80000000) FORMAT RowBinary"
    size, tail = 0, b""
    with http.stream("POST", "/", content=query) as answer:
        tag = answer.headers["X-ClickHouse-Exception-Tag"]
        for chunk in answer.iter_raw():
            size += len(chunk)
            tail = (tail + chunk)[-2000:]

    assert answer.status_code == 200
    assert size > 10_000_000
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: ".encode() in tail
    assert tail.endswith(f" {tag}\r\n__exception__\r\n".encode())


def test_large_result_that_is_left_early_frees_its_handle(server: EmbeddedClickHouse) -> None:
    """Twenty abandoned results do not use up the eight handles, and their queries end."""
    for _ in range(20):
        with (
            httpx.Client(base_url=server.url) as leaving,
            leaving.stream("POST", "/", content="SELECT number FROM numbers(5000000000) FORMAT Native") as answer,
        ):
            next(answer.iter_raw())

    with httpx.Client(base_url=server.url) as staying:
        deadline = time.monotonic() + 20
        while (running := staying.post("/", content="SELECT count() FROM system.processes").text) != "1\n":
            assert time.monotonic() < deadline, f"{running} queries still run"


def test_insert_that_is_cut_off_stores_nothing(server: EmbeddedClickHouse, http: httpx.Client) -> None:
    """A client that goes away in the middle of its data has inserted no row, and the server goes on."""
    http.post("/", content="CREATE TABLE cut (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
    key = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\nContent-Length: 2000000\r\n\r\n"

    with socket.create_connection((server.host, server.port)) as cut:
        cut.sendall(head.encode() + b"INSERT INTO cut FORMAT TSV\n" + b"1\n" * 600_000)

    assert http.post("/", content="SELECT count() FROM cut").text == "0\n"

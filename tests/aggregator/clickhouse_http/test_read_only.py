"""What a read-only client can and cannot do."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import httpx
import pytest

from aggregator.clickhouse_http.errors import ClickHouseHttpError
from aggregator.clickhouse_http.limits import HttpLimits
from aggregator.clickhouse_http.read_only import read_only_settings
from tests.services.clickhouse import EmbeddedClickHouse


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT count() FROM shop.events", "3\n"),
        ("WITH x AS (SELECT code FROM shop.events) SELECT uniqExact(code) FROM x", "2\n"),
        ("(SELECT 1) UNION ALL (SELECT 1)", "1\n1\n"),
        ("SELECT 1 INTERSECT SELECT 1", "1\n"),
        ("SHOW TABLES FROM shop", "events\n"),
        ("EXISTS TABLE shop.events", "1\n"),
        ("DESCRIBE TABLE shop.events FORMAT CSV", None),
        ("DESC `shop`.`events`", None),
        ("DESCRIBE (SELECT id FROM shop.events)", None),
        ("SHOW CREATE TABLE shop.events", None),
        ("SHOW COLUMNS FROM events FROM shop", None),
        ("SHOW DATABASES", None),
        ("SHOW PROCESSLIST", None),
        ("SHOW ENGINES", None),
        ("SHOW FUNCTIONS", None),
        ("EXPLAIN SELECT * FROM shop.events", None),
        ("EXPLAIN indexes = 1 SELECT * FROM shop.events WHERE id = 2", None),
        ("SELECT sum(number) FROM numbers(10)", "45\n"),
        ("SELECT name FROM system.tables WHERE database = 'shop'", "events\n"),
        ("SELECT 'file(''/etc/passwd'') INTO OUTFILE ''x'''", None),
    ],
)
def test_reading_query_is_answered(reader: httpx.Client, query: str, expected: str | None) -> None:
    """A dashboard can read, describe, show and explain."""
    answer = reader.post("/", content=query)

    assert answer.status_code == 200, answer.text
    assert expected is None or answer.text == expected


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO shop.events VALUES (4, 'x')",
        "INSERT INTO shop.events FORMAT CSV\n4,x\n",
        "INSERT INTO shop.events SETTINGS readonly = 0 FORMAT CSV\n4,x\n",
        "INSERT INTO shop.events SELECT 4, 'x'",
        "INSERT INTO shop.events SELECT 4, 'x' SETTINGS readonly = 0",
        "INSERT INTO FUNCTION null('a Int8') VALUES (1)",
        "CREATE TABLE shop.x (a Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE x (a Int8)",
        "CREATE FUNCTION f AS x -> x",
        "CREATE USER u",
        "DROP TABLE shop.events",
        "DROP TABLE shop.events SETTINGS readonly = 0",
        "DETACH TABLE shop.events",
        "ATTACH TABLE shop.x (a Int8) ENGINE = Memory",
        "TRUNCATE TABLE shop.events",
        "RENAME TABLE shop.events TO shop.x",
        "ALTER TABLE shop.events DELETE WHERE 1",
        "DELETE FROM shop.events WHERE 1",
        "OPTIMIZE TABLE shop.events FINAL",
        "SYSTEM STOP MERGES",
        "SYSTEM FLUSH LOGS",
        "SYSTEM SHUTDOWN",
        "KILL QUERY WHERE 1",
        "BACKUP TABLE shop.events TO File('x')",
        "GRANT SELECT ON *.* TO default",
        "SET readonly = 0",
        "SET ROLE NONE",
        "USE shop",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "EXPLAIN SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_writing_query_is_refused_as_read_only(reader: httpx.Client, query: str) -> None:
    """Nothing changes the store, the engine or the settings."""
    answer = reader.post("/", content=query)

    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "164"), answer.text
    assert reader.post("/", content="SELECT sum(id) FROM shop.events").text == "6\n"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM file('{path}', 'CSV')",
        "SELECT * FROM file('{path}', 'CSV') SETTINGS readonly = 0",
        "SELECT * FROM `{path}`",
        "SELECT * FROM default.`{path}`",
        "SELECT * FROM filesystem('{folder}')",
        "SELECT * FROM sqlite('{path}', 'a')",
        "SELECT * FROM executable('cat {path}', 'CSV', 'a String')",
        "SELECT * FROM icebergLocal('{folder}')",
        "SELECT * FROM view(SELECT * FROM file('{path}', 'CSV'))",
        "SELECT * FROM viewIfPermitted(SELECT * FROM file('{path}', 'CSV') ELSE null('a String'))",
        "SELECT * FROM eval('SELECT file(''{path}'')')",
        "SELECT file('{path}')",
        "SELECT FILE('{path}')",
        "SELECT `file`('{path}')",
        "SELECT * APPLY(file) FROM (SELECT '{path}')",
        "SELECT arrayMap(file, ['{path}'])",
        "SELECT arrayMap(x -> file(x), ['{path}'])",
        "WITH file AS f SELECT arrayMap(f, ['{path}'])",
        "SELECT id FROM shop.events WHERE code IN (SELECT file('{path}'))",
        "DESCRIBE file('{path}', 'CSV')",
        "DESCRIBE TABLE `{path}`",
        "DESCRIBE (SELECT * FROM file('{path}', 'CSV'))",
        "DESCRIBE (SELECT file('{path}'))",
        "DESCRIBE view(SELECT * FROM file('{path}', 'CSV'))",
        "EXPLAIN SELECT * FROM file('{path}', 'CSV')",
        "EXPLAIN SELECT file('{path}')",
        "EXPLAIN TABLE OVERRIDE file('{path}', 'CSV') PARTITION BY a",
        "INSERT INTO shop.events FROM INFILE '{path}' FORMAT CSV",
        "SELECT {{name:Identifier}} FROM (SELECT 1 AS x)",
        "SELECT arrayMap({{name:Identifier}}, ['{path}'])",
    ],
)
def test_query_that_reads_a_host_file_is_refused(reader: httpx.Client, tmp_path: Path, query: str) -> None:
    """A dashboard password reads no file of the machine, nor what is in it by way of an error."""
    path = tmp_path / "secret.csv"
    path.write_text("10,hidden\n")

    answer = reader.post("/", content=query.format(path=path, folder=tmp_path), params={"param_name": "file"})

    assert answer.status_code in {400, 403, 404}, answer.text
    assert "hidden" not in answer.text
    assert not answer.text.startswith("10")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 INTO OUTFILE '{path}'",
        "SELECT 1 INTO OUTFILE '{path}' APPEND FORMAT CSV",
        "EXPLAIN SELECT 1 INTO OUTFILE '{path}'",
        "SHOW TABLES FROM shop INTO OUTFILE '{path}'",
        "SHOW PROCESSLIST INTO OUTFILE '{path}'",
        "DESCRIBE TABLE shop.events INTO OUTFILE '{path}'",
        "EXISTS TABLE shop.events INTO OUTFILE '{path}'",
        "SHOW CREATE TABLE shop.events INTO OUTFILE '{path}'",
        "INSERT INTO FUNCTION file('{path}', 'CSV', 'a Int8') VALUES (1)",
        "SELECT 1; SELECT 1 INTO OUTFILE '{path}'",
    ],
)
def test_query_that_writes_a_host_file_is_refused(reader: httpx.Client, tmp_path: Path, query: str) -> None:
    """No statement leaves a file behind."""
    path = tmp_path / "written.csv"

    answer = reader.post("/", content=query.format(path=path))

    assert answer.status_code in {400, 403}, answer.text
    assert not path.exists()


@pytest.fixture
def witness() -> Iterator[tuple[str, list[str]]]:
    """An HTTP server on the loopback address that notes who connects: its address and the list of paths."""
    seen: list[str] = []

    class Noting(http.server.BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            seen.append(self.client_address[0])
            self.close_connection = True

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM url('http://{host}/x', 'CSV', 'a Int8')",
        "DESCRIBE url('http://{host}/x', 'CSV')",
        "SELECT * FROM s3('http://{host}/bucket/x', 'CSV', 'a Int8')",
        "DESCRIBE s3('http://{host}/bucket/x', 'CSV')",
        "SELECT * FROM `http://{host}/x.csv`",
        "DESCRIBE `http://{host}/x.csv`",
        "SELECT * FROM remote('{host}', 'system.one')",
        "DESCRIBE remote('{host}', 'system.one')",
        "SELECT * FROM mysql('{host}', 'a', 'b', 'c', 'd')",
        "SELECT * FROM postgresql('{host}', 'a', 'b', 'c', 'd')",
        "SELECT * FROM mongodb('{host}', 'a', 'b', 'c', 'd', 'x Int8')",
        "SELECT * FROM redis('{host}', 'a', 'a Int8')",
        "SELECT * FROM deltaLake('http://{host}/bucket/x')",
        "SELECT * FROM cluster('default', system.one)",
        "EXPLAIN SELECT * FROM url('http://{host}/x', 'CSV', 'a Int8')",
        "DESCRIBE (SELECT * FROM url('http://{host}/x', 'CSV', 'a Int8'))",
    ],
)
def test_query_that_reaches_the_network_is_refused_before_it_connects(
    reader: httpx.Client, witness: tuple[str, list[str]], query: str
) -> None:
    """A dashboard password opens no connection from this machine."""
    host, seen = witness

    answer = reader.post("/", content=query.format(host=host))

    assert answer.status_code in {400, 403, 404}, answer.text
    assert seen == []


def test_settings_that_shape_an_answer_are_allowed(reader: httpx.Client) -> None:
    """Format settings, limits and a shorter execution time pass through the URL."""
    answer = reader.post(
        "/",
        params={"output_format_json_quote_64bit_integers": "1", "max_execution_time": "5", "readonly": "2"},
        content="SELECT id, getSetting('max_execution_time'), getSetting('readonly') FROM shop.events LIMIT 1 "
        "FORMAT JSONCompactEachRow",
    )

    assert answer.json() == ["1", 5, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("readonly", "0"),
        ("max_memory_usage", "0"),
        ("allow_ddl", "1"),
        ("output_format_schema", "/tmp/x"),
        ("format_schema", "/tmp/x:Y"),
        ("allow_introspection_functions", "1"),
        ("dialect", "prql"),
    ],
)
def test_settings_beyond_an_answer_are_refused(name: str, value: str) -> None:
    """What is not on the list is refused by name, as under `readonly = 1` on a server."""
    with pytest.raises(ClickHouseHttpError, match=f"Cannot modify '{name}' setting in readonly mode") as refused:
        read_only_settings({name: value}, HttpLimits())

    assert refused.value.status == 403


@pytest.mark.parametrize(("asked", "applied"), [("0", "300"), ("10", "10.0"), ("301", "300"), ("1e9", "300")])
def test_execution_time_of_a_reader_is_bounded(asked: str, applied: str) -> None:
    """A reader may ask for less time, never for more; 0, which means unlimited, becomes the ceiling."""
    settings = read_only_settings({"max_execution_time": asked}, HttpLimits())

    assert settings["max_execution_time"] == applied
    assert list(settings)[-1] == "readonly"


@pytest.mark.parametrize("asked", ["", "-1", "nan", "soon"])
def test_execution_time_that_is_no_number_is_refused(asked: str) -> None:
    """A time that cannot be compared cannot be bounded."""
    with pytest.raises(ClickHouseHttpError, match="not a number of seconds"):
        read_only_settings({"max_execution_time": asked}, HttpLimits())


def test_clickhouse_connect_works_read_only(read_only_server: EmbeddedClickHouse) -> None:
    """The driver connects, reads with parameters, and is refused when it writes."""
    client = clickhouse_connect.get_client(
        host=read_only_server.host,
        port=read_only_server.port,
        username=read_only_server.user,
        password=read_only_server.password,
        database="shop",
    )

    rows = client.query(
        "SELECT id FROM events WHERE code = {code:String} ORDER BY id", {"code": "api"}
    ).result_rows

    assert rows == [(1,), (2,)]
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="readonly mode"):
        client.insert("events", [[4, "x"]], column_names=["id", "code"])
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="readonly mode"):
        client.command("DROP TABLE events")
    client.close()


def test_query_of_a_known_text_is_judged_by_its_own_parameters(reader: httpx.Client) -> None:
    """That a text was answered before allows nothing that another parameter makes of it."""
    query = "SELECT max({name:Identifier}) FROM shop.events"

    harmless = reader.post("/", content=query, params={"param_name": "id"})
    refused = reader.post("/", content=query, params={"param_name": "file"})

    assert (harmless.status_code, harmless.text) == (200, "3\n")
    assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "164")
    assert "reaches outside the store" in refused.text

"""The server as clickhouse-connect and the cluster tests use it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.services.clickhouse import EmbeddedClickHouse

ROWS = 50_000
MakeTable = Callable[..., str]


def open_client(server: EmbeddedClickHouse, **options: object) -> Client:
    return clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.user, password=server.password, **options
    )


@pytest.fixture
def client(server: EmbeddedClickHouse) -> Iterator[Client]:
    """A client of the writable server."""
    opened = open_client(server)
    yield opened
    opened.close()


@pytest.fixture
def make_table(client: Client) -> MakeTable:
    """Return a function that creates a table of a unique name."""

    def create(columns: str = "id UInt64, code String", settings: str = "") -> str:
        name = f"t_{uuid.uuid4().hex}"
        client.command(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY id {settings}")
        return name

    return create


def test_handshake_learns_version_and_timezone(client: Client) -> None:
    """The driver reads the engine's own version."""
    assert client.server_version == client.command("SELECT version()")
    assert client.server_tz is not None
    assert client.ping()


def test_insert_then_query_returns_equal_values(client: Client, make_table: MakeTable) -> None:
    """Values of the types that usage has make the round trip."""
    table = make_table("id UInt64, at DateTime64(3, 'UTC'), units Decimal(38, 18), note Nullable(String)")
    rows = [
        (1, datetime(2026, 3, 1, 12, 0, 0, 123000, UTC), Decimal("0.100000000000000001"), "a\n;'\\"),
        (2, datetime(2026, 3, 31, 23, 59, 59, 999000, UTC), Decimal("-7"), None),
    ]

    written = client.insert(table, rows, column_names=["id", "at", "units", "note"])

    assert written.written_rows == 2
    assert client.query(f"SELECT * FROM {table} ORDER BY id", tz_mode="aware").result_rows == rows


@pytest.mark.parametrize("compress", [False, "gzip", "lz4", "zstd"])
def test_insert_and_query_in_every_compression_move_the_same_rows(
    server: EmbeddedClickHouse, make_table: MakeTable, compress: bool | str
) -> None:
    """Blocks of 50,000 rows arrive whole both ways, compressed or not."""
    table = make_table()
    client = open_client(server, compress=compress)

    client.insert(table, [[n, f"code;\n{n}"] for n in range(ROWS)], column_names=["id", "code"])
    result = client.query(f"SELECT id, code FROM {table} ORDER BY id")
    client.close()

    assert result.row_count == ROWS
    assert result.result_rows[-1] == (49_999, "code;\n49999")


def test_insert_arrow_and_query_arrow_move_columns(client: Client, make_table: MakeTable) -> None:
    """Arrow goes in and comes out."""
    table = make_table()
    sent = pa.table({"id": pa.array(range(ROWS), pa.uint64()), "code": ["api"] * ROWS})

    client.insert_arrow(table, sent)

    assert client.query_arrow(f"SELECT * FROM {table} ORDER BY id")["id"].to_pylist() == list(range(ROWS))


def test_query_without_rows_still_has_its_columns(client: Client, make_table: MakeTable) -> None:
    """An empty result names its columns and their types."""
    table = make_table("id UInt64, code LowCardinality(String)")

    result = client.query(f"SELECT id, code FROM {table} WHERE id = {{id:UInt64}}", {"id": 1})

    assert result.column_names == ("id", "code")
    assert [kind.name for kind in result.column_types] == ["UInt64", "LowCardinality(String)"]
    assert result.result_rows == []


def test_block_stream_larger_than_the_buffer_arrives_in_blocks(client: Client) -> None:
    """Three million rows come in blocks, in order."""
    with client.query_row_block_stream("SELECT number FROM numbers(3000000)") as stream:
        sizes = [len(block) for block in stream]

    assert sum(sizes) == 3_000_000
    assert len(sizes) > 10


def test_raw_query_answers_in_any_format(client: Client) -> None:
    """Formats with a header and a footer come as one document."""
    assert client.raw_query("SELECT 1 AS a", fmt="CSVWithNames") == b'"a"\n1\n'
    assert client.raw_query("SELECT number FROM numbers(100000)", fmt="Parquet")[-4:] == b"PAR1"
    assert client.raw_query("SELECT 1 AS a, 2 AS b FORMAT JSONCompactEachRow") == b"[1, 2]\n"


def test_columns_only_query_is_answered(client: Client) -> None:
    """The driver's LIMIT 0 probe works."""
    assert client.query("SELECT 1 AS a, 'x' AS b LIMIT 0").column_names == ("a", "b")


def test_error_reaches_the_driver_with_its_code(client: Client) -> None:
    """An unknown table is code 60 in the driver as well."""
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as raised:
        client.query("SELECT * FROM no_such_table")

    assert raised.value.code == 60


def test_deduplication_token_stores_a_repeated_insert_once(client: Client, make_table: MakeTable) -> None:
    """The same token again is no second insert, another token is."""
    table = make_table(settings="SETTINGS non_replicated_deduplication_window = 100")
    rows = pa.table({"id": pa.array(range(ROWS), pa.uint64()), "code": ["api"] * ROWS})

    for token in ("a", "a", "b"):
        client.insert_arrow(table, rows, settings={"insert_deduplication_token": token})

    assert client.command(f"SELECT count() FROM {table}") == 2 * ROWS


def test_partitions_per_insert_block_limit_passes_through(client: Client) -> None:
    """The setting of one insert decides how many partitions it may touch."""
    table = f"t_{uuid.uuid4().hex}"
    client.command(f"CREATE TABLE {table} (id UInt64) ENGINE = MergeTree PARTITION BY id ORDER BY id")
    rows = [[n] for n in range(150)]

    with pytest.raises(DatabaseError, match="TOO_MANY_PARTS"):
        client.insert(table, rows, column_names=["id"], settings={"max_partitions_per_insert_block": 100})
    client.insert(table, rows, column_names=["id"], settings={"max_partitions_per_insert_block": 200})

    assert client.command(f"SELECT count() FROM {table}") == 150


def test_ddl_with_projection_is_created_altered_and_explained(client: Client) -> None:
    """CREATE … PROJECTION, ALTER and EXPLAIN pass through, and the projection is used."""
    table = f"t_{uuid.uuid4().hex}"
    client.command(
        f"CREATE TABLE {table} (id UInt64, code String, units Decimal(38, 18), "
        "PROJECTION usage (SELECT code, sum(units), count() GROUP BY code)) ENGINE = MergeTree ORDER BY id"
    )
    client.command(f"ALTER TABLE {table} ADD COLUMN note String DEFAULT 'none'")
    client.command(f"INSERT INTO {table} (id, code, units) SELECT number, 'api', 1 FROM numbers(200000)")

    plan = client.command(
        f"EXPLAIN SELECT code, sum(units) FROM {table} GROUP BY code",
        settings={"force_optimize_projection": 1},
    )
    total = client.command(f"SELECT sum(units) FROM {table}")

    assert "usage" in str(plan)
    assert Decimal(str(total)) == 200_000


def test_concurrent_inserts_of_large_blocks_are_all_stored(
    server: EmbeddedClickHouse, make_table: MakeTable, client: Client
) -> None:
    """Six clients insert 50,000 rows each, two times, at the same time: 600,000 different rows."""
    table = make_table()

    def insert_twice(number: int) -> None:
        own = open_client(server)
        for turn in range(2):
            first = (2 * number + turn) * ROWS
            ids = pa.array(range(first, first + ROWS), pa.uint64())
            own.insert_arrow(table, pa.table({"id": ids, "code": ["api"] * ROWS}))
        own.close()

    with ThreadPoolExecutor(6) as clients:
        list(clients.map(insert_twice, range(6)))

    assert client.query(f"SELECT count(), uniqExact(id) FROM {table}").first_row == (600_000, 600_000)


def test_rows_acknowledged_before_a_kill_are_there_after_restart() -> None:
    """SIGKILL loses no acknowledged row, and the server comes back on the same port with its data."""
    with EmbeddedClickHouse() as server:
        client = open_client(server)
        client.command("CREATE TABLE kept (id UInt64, code String) ENGINE = MergeTree ORDER BY id")
        client.insert("kept", [[n, "api"] for n in range(ROWS)], column_names=["id", "code"])

        server.kill()
        server.restart()

        assert open_client(server).command("SELECT count() FROM kept") == ROWS
        server.stop()
        assert server.process.returncode == 0

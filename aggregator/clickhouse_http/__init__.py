"""ClickHouse's HTTP interface in front of the embedded store.

Tools written for a ClickHouse server (clickhouse-connect, curl, Grafana, Metabase, a JDBC driver) reach the chDB
engine of this process through it. Queries, formats, parameters, settings, inserts, compression and errors follow
ClickHouse's HTTP interface. What differs, on purpose:

* Read-only unless the app is created with `writable=True`; see `read_only` for what holds that line.
* Every request gets an engine handle of its own, so `SET`, `USE` and temporary tables end with the request and a
  `session_id` is accepted without effect.
* ClickHouse's own block compression (`compress=1`, `decompress=1`) and external tables are refused with a clear
  error; HTTP compression (gzip, deflate, lz4, zstd) is supported both ways.
"""

from aggregator.clickhouse_http.app import create_app
from aggregator.clickhouse_http.limits import HttpLimits
from aggregator.clickhouse_http.server import ClickHouseHttpServer

__all__ = ["ClickHouseHttpServer", "HttpLimits", "create_app"]

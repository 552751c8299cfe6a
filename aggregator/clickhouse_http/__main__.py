"""A chDB directory served as a ClickHouse server: for tests, and for looking into a store at rest."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import chdb

from aggregator.clickhouse_http.app import create_app
from aggregator.clickhouse_http.engine import Handle
from aggregator.clickhouse_http.server import ClickHouseHttpServer


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; prints the URL on one line when ready."""
    options = _parse(arguments)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    options.path.mkdir(parents=True, exist_ok=True)

    def connect() -> Handle:
        handle: Handle = chdb.connect(str(options.path))
        return handle

    app = create_app(connect, user=options.user, password=options.password, writable=options.writable)
    server = ClickHouseHttpServer(app, options.port)
    server.start()
    print(server.url, flush=True)
    stopping.wait()
    server.stop()
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m aggregator.clickhouse_http", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="the chDB directory; made when missing")
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", required=True)
    parser.add_argument("--writable", action="store_true", help="accept inserts, DDL and every setting")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

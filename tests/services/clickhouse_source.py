"""Which ClickHouse the tests run against, and how it is reached."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never
from urllib.error import URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import urlopen

from tests.services.containers import docker_answers, run_container
from tests.services.errors import ServiceUnavailable
from tests.services.ports import LOOPBACK

URL_VARIABLE = "CLICKHOUSE_URL"
IMAGE = "clickhouse/clickhouse-server:26.9"
CONTAINER_ACCOUNT = "millrace"
HTTP_PORT = 8123
START_SECONDS_MAX = 60
PROBE_SECONDS = 0.2


class ClickHouseSource(StrEnum):
    """Where a server comes from, in the order in which the places are tried."""

    ENVIRONMENT = "the server named by CLICKHOUSE_URL"
    CONTAINER = "ClickHouse in a container"
    EMBEDDED = "chDB behind ClickHouse's HTTP interface"


@dataclass(frozen=True)
class ClickHouse:
    """A running server; `url` carries the account, as MILLRACE_CLICKHOUSE_URL does."""

    source: ClickHouseSource
    host: str
    port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        return f"http://{quote(self.user)}:{quote(self.password, safe='')}@{self.host}:{self.port}"


def choose_clickhouse(environ: Mapping[str, str], *, docker: bool) -> ClickHouseSource:
    """Choose the first source that can work; the embedded one always can."""
    if environ.get(URL_VARIABLE):
        return ClickHouseSource.ENVIRONMENT
    return ClickHouseSource.CONTAINER if docker else ClickHouseSource.EMBEDDED


@contextmanager
def open_clickhouse(environ: Mapping[str, str]) -> Iterator[ClickHouse]:
    """Find or start a server, and stop what was started when the block ends."""
    source = choose_clickhouse(environ, docker=docker_answers())
    match source:
        case ClickHouseSource.ENVIRONMENT:
            yield read_clickhouse_url(environ[URL_VARIABLE])
        case ClickHouseSource.CONTAINER:
            with run_clickhouse_container() as server:
                yield server
        case ClickHouseSource.EMBEDDED:
            with run_embedded_clickhouse() as server:
                yield server
        case _:
            assert_never(source)


def read_clickhouse_url(url: str) -> ClickHouse:
    """Read `http://user:password@host:port`; the account and the port may be left out."""
    parts = urlsplit(url)
    return ClickHouse(
        source=ClickHouseSource.ENVIRONMENT,
        host=parts.hostname or LOOPBACK,
        port=parts.port or HTTP_PORT,
        user=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
    )


@contextmanager
def run_embedded_clickhouse() -> Iterator[ClickHouse]:
    # Imported only here: a run against a server need not load chDB, which is large.
    from tests.services.clickhouse import EmbeddedClickHouse  # noqa: PLC0415

    with EmbeddedClickHouse() as server:
        yield ClickHouse(
            source=ClickHouseSource.EMBEDDED,
            host=LOOPBACK,
            port=server.port,
            user=server.user,
            password=server.password,
        )


@contextmanager
def run_clickhouse_container() -> Iterator[ClickHouse]:
    """Run the official image until the block ends.

    Raises:  ServiceUnavailable when it does not answer within 60 s.
    """
    environ = {
        "CLICKHOUSE_USER": CONTAINER_ACCOUNT,
        "CLICKHOUSE_PASSWORD": CONTAINER_ACCOUNT,
        "CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT": "1",
    }
    with run_container(IMAGE, container_port=HTTP_PORT, environ=environ) as port:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not _answers_ping(port):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"{IMAGE} did not answer within {START_SECONDS_MAX} s")
            time.sleep(PROBE_SECONDS)
        yield ClickHouse(ClickHouseSource.CONTAINER, LOOPBACK, port, CONTAINER_ACCOUNT, CONTAINER_ACCOUNT)


def _answers_ping(port: int) -> bool:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False

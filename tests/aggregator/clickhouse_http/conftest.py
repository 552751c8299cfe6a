"""A writable server, a read-only one, and plain HTTP to both."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.services.clickhouse import EmbeddedClickHouse


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedClickHouse]:
    """A writable server, one a test module."""
    with EmbeddedClickHouse() as running:
        yield running


@pytest.fixture(scope="module")
def read_only_server() -> Iterator[EmbeddedClickHouse]:
    """A read-only server whose store holds `shop.events` (3 rows), written before by a writable one."""
    with EmbeddedClickHouse() as running:
        with httpx.Client(base_url=running.url) as writer:
            for statement in (
                "CREATE DATABASE shop",
                "CREATE TABLE shop.events (id UInt64, code String) ENGINE = MergeTree ORDER BY id",
                "INSERT INTO shop.events VALUES (1, 'api'), (2, 'api'), (3, 'storage')",
            ):
                writer.post("/", content=statement).raise_for_status()
        running.restart(writable=False)
        yield running


@pytest.fixture
def http(server: EmbeddedClickHouse) -> Iterator[httpx.Client]:
    """Plain HTTP to the writable server, as its account."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def reader(read_only_server: EmbeddedClickHouse) -> Iterator[httpx.Client]:
    """Plain HTTP to the read-only server, as its account."""
    with httpx.Client(base_url=read_only_server.url, timeout=60) as client:
        yield client

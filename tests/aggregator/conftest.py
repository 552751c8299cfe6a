"""One embedded ClickHouse for the run: a process can hold a single engine, so tests differ by organization."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from aggregator.clickhouse import ClickHouse, connect_embedded, create_tables
from aggregator.event_store import EventStore
from tests.aggregator.stream import Stream


@pytest.fixture(scope="session")
def embedded_clickhouse() -> Iterator[ClickHouse]:
    """The engine with its tables."""
    with tempfile.TemporaryDirectory(prefix="millrace-chdb-") as directory:
        clickhouse = connect_embedded(Path(directory))
        create_tables(clickhouse, durable=False)
        yield clickhouse
        clickhouse.close()


@pytest.fixture
def event_store(embedded_clickhouse: ClickHouse) -> EventStore:
    return EventStore(embedded_clickhouse)


@pytest.fixture
def stream(event_store: EventStore, tmp_path: Path) -> Iterator[Stream]:
    """A stream of an organization and a partition that no other test uses."""
    stream = Stream(event_store, tmp_path / "index", organization_id=f"org-{uuid4().hex[:12]}")
    yield stream
    stream.close()

"""Fixtures of the ingest tests: the application over a recording publisher."""

import pytest

from tests.ingest.builders import Ingest, make_ingest


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the process does."""
    return "asyncio"


@pytest.fixture
def ingest() -> Ingest:
    """The ingest application with one organization and its usual metrics."""
    return make_ingest()

"""The cluster that the outage stories share."""

from collections.abc import Callable, Iterator

import pytest

from tests.end_to_end.outages.ledger import Ledger, open_ledger
from tests.end_to_end.outages.site import OutageSite

OpenLedger = Callable[[str], Ledger]


@pytest.fixture(scope="package")
def site() -> Iterator[OutageSite]:
    """A cluster whose services may be killed: each story leaves all of them running."""
    with OutageSite() as started:
        yield started


@pytest.fixture
def ledger(site: OutageSite) -> Ledger:
    """The books of one story's subscription."""
    return open_ledger(site.cluster, site.unused_name("outage"), site.now())

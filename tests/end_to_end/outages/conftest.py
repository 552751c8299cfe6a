"""The books of the outage stories, which share one cluster."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.outages.ledger import Ledger, open_ledger
from tests.end_to_end.outages.site import OutageSite
from tests.faults.scenario import Scenario


@pytest.fixture
def ledger(site: OutageSite, scenario: Scenario) -> Iterator[Ledger]:
    """The books of one story's subscription, closed with a count of its rows for the table of faults."""
    opened = open_ledger(site.cluster, site.unused_name("outage"), site.now())
    yield opened
    rows, stored = site.stored_rows(opened.name)
    scenario.judge(
        accepted=opened.acknowledged_events,
        duplicates=opened.events_sent - opened.events,
        lost=max(opened.acknowledged_events - stored, 0),
        doubled=rows - stored,
    )

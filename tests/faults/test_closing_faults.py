"""A period ends while the aggregator stands still: the invoice comes later and is right."""

import time

import httpx
import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.closing import assert_billed_once, month_after, move, move_when_possible
from tests.end_to_end.outages.ledger import assert_comes_back_later, open_ledger
from tests.end_to_end.outages.site import OutageSite
from tests.faults.books import assert_jobs_change_nothing, insist, recount_books
from tests.faults.installation import Installation
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound

pytestmark = [pytest.mark.cluster, pytest.mark.faults]


@pytest.mark.parametrize("how", ["frozen", "killed"])
@pytest.mark.faults(rounds_max=3, one_of_its_variants=True)
def test_period_end_without_aggregator_is_billed_later_and_right(
    site: OutageSite, installed: Installation, scenario: Scenario, fault_round: FaultRound, how: str
) -> None:
    """SIGSTOP or SIGKILL with accepted events uncounted: no invoice, and it shows; then one that is exact."""
    random = fault_round.random
    books = open_ledger(site.cluster, site.unused_name("closing"), site.now())
    books.send_new(random.randrange(1, 4))
    books.wait_until_counted()
    scenario.inject()
    site.worker.process.pause() if how == "frozen" else site.worker.kill()
    try:
        books.send_new(random.randrange(1, 4))
        target = month_after(site.now())
        assert_comes_back_later(move(site, target), "billing")
        story.wait_for(lambda: billing_state(site) == (True, 1.0), "the state on /health and /metrics")
        time.sleep(random.uniform(0, 2))
        assert story.invoices_of(site.cluster, books.name) == []
    finally:
        site.worker.process.resume() if how == "frozen" else site.worker.start()
    insist(books)
    move_when_possible(site, target)
    assert_billed_once(site, books)
    recount_books(installed, scenario, books)
    assert_jobs_change_nothing(installed)
    assert_billed_once(site, books)
    story.wait_for(lambda: billing_state(site) == (False, 0.0), "nothing that waits any more")


def billing_state(site: OutageSite) -> tuple[bool, float]:
    """Whether billing waits for usage, as the invoicer's /health and its /metrics say."""
    usage = httpx.get(f"{site.cluster.api_url}/health", timeout=30).json()["usage"]
    lines = httpx.get(f"{site.cluster.api_url}/metrics", timeout=30).text.splitlines()
    [waits] = [line.split()[1] for line in lines if line.startswith("millrace_billing_waits_for_usage ")]
    return usage["billing_waits"], float(waits)

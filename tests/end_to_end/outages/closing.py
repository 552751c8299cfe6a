"""How a story lets a period end, and what it expects of the invoice."""

import time
from datetime import datetime, timedelta

import httpx

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Ledger
from tests.end_to_end.outages.site import OutageSite


def move(site: OutageSite, target: datetime) -> httpx.Response:
    """Ask for the clock to be moved."""
    body = {"test_clock": {"now": target.isoformat().replace("+00:00", "Z")}}
    return site.cluster.api.put("test_clock", json=body, timeout=60)


def move_when_counted(site: OutageSite, target: datetime) -> httpx.Response:
    """Ask until the answer is no longer that billing waits: what was just counted is committed a moment later."""
    while (answer := move(site, target)).json().get("code") == "billing_unavailable":
        time.sleep(0.1)
    return answer


def move_when_possible(site: OutageSite, target: datetime) -> None:
    """Ask again as long as the answer is 503, as a client does."""

    def moved() -> bool:
        answer = move(site, target)
        assert answer.status_code in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE), answer.text
        return answer.status_code == httpx.codes.OK

    story.wait_for(moved, f"the clock at {target}")
    assert site.now() == target


def assert_billed_once(site: OutageSite, ledger: Ledger) -> None:
    """One invoice, final, over exactly what was sent."""
    [invoice] = story.invoices_of(site.cluster, ledger.name)
    assert (invoice["status"], invoice["sequential_id"]) == ("finalized", 1)
    [fee] = [fee for fee in invoice["fees"] if fee["item"]["type"] == "charge"]
    assert fee["events_count"] == ledger.events
    assert invoice["total_amount_cents"] == ledger.amount_cents()


def month_after(now: datetime) -> datetime:
    """Six o'clock on the first day of the next month, UTC."""
    return (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=6, minute=0, second=0, microsecond=0)

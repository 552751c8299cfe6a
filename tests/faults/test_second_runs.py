"""Every job done a second time, with everything there is to trip over: a draft, an invoice, dead letters."""

import json

import pytest

from aggregator.kafka import LineProducer
from schemas.partitioning import partition_key
from tests.end_to_end import story
from tests.end_to_end.outages.closing import month_after, move_when_possible
from tests.end_to_end.outages.ledger import Ledger, open_ledger
from tests.end_to_end.outages.site import OutageSite
from tests.faults.books import assert_jobs_change_nothing, recount_books
from tests.faults.installation import Installation
from tests.faults.scenario import Scenario

pytestmark = [pytest.mark.cluster, pytest.mark.faults]


@pytest.mark.faults(rounds_max=1)
def test_jobs_done_again_change_nothing_and_rejected_events_are_found(
    site: OutageSite, installed: Installation, scenario: Scenario
) -> None:
    """Due jobs, reconciliation, replay of dead letters and refresh of drafts, twice more each."""
    books = [open_ledger(site.cluster, site.unused_name("again"), site.now()) for _ in range(2)]
    drafted, final = books
    grace = {"external_id": drafted.name, "billing_configuration": {"invoice_grace_period": 20}}
    story.create(site.cluster, "customers", "customer", grace)
    for ledger in books:
        ledger.send_new(2)
    rejected = produce_rejected(installed, final)
    for ledger in books:
        ledger.resend()
        ledger.wait_until_counted()
    installed.wait_until_stream_is_counted()
    scenario.inject(len(rejected))
    move_when_possible(site, month_after(site.now()))
    assert [each["status"] for each in story.invoices_of(site.cluster, drafted.name)] == ["draft"]
    assert [each["status"] for each in story.invoices_of(site.cluster, final.name)] == ["finalized"]
    for _ in range(2):
        assert_jobs_change_nothing(installed)
        listed = installed.command("dead-letters", "list", "--limit", "1000")
        assert [line for line in rejected if line[:40] not in listed] == [], listed
    [draft] = story.invoices_of(site.cluster, drafted.name)
    assert draft["fees_amount_cents"] == drafted.amount_cents()
    recount_books(installed, scenario, *books)


def produce_rejected(installed: Installation, ledger: Ledger) -> list[str]:
    """Put lines that can never be counted into the stream, among good ones of the same subscription."""
    organization = installed.instance.api.get("organizations").json()["organization"]["lago_id"]
    too_large = {
        "transaction_id": f"too-large-{ledger.name}",
        "organization_id": organization,
        "external_subscription_id": ledger.name,
        "code": ledger.name,
        "timestamp": str(ledger.timestamp),
        "properties": {"n": "9" * 19},
        "ingested_at": str(ledger.timestamp),
    }
    lines = [f'{{"not json {ledger.name}', json.dumps(too_large)]
    producer = LineProducer(
        installed.settings["MILLRACE_KAFKA_BOOTSTRAP_SERVERS"], installed.settings["MILLRACE_USAGE_EVENTS_TOPIC"]
    )
    producer.send([(partition_key(organization, ledger.name), line.encode()) for line in lines])
    return lines

"""The books of a scenario's clients, and how they are closed: recounted, and unmoved by every job done again."""

import time
from collections.abc import Iterable
from decimal import Decimal

import httpx

from tests.end_to_end.outages.ledger import Ledger
from tests.faults.installation import Installation
from tests.faults.oracle import Identity, Recount, exact_number, read_shown, read_stored
from tests.faults.scenario import Scenario

FIELD = "n"
"""The property that every scenario's metric sums."""
RETRY_SECONDS_MAX = 60
RETRY_PAUSE_SECONDS = 0.1


def insist(ledger: Ledger) -> None:
    """Do what a client does without a 200: send the same again, whatever came instead, until there is one."""
    deadline = time.monotonic() + RETRY_SECONDS_MAX
    while ledger.unacknowledged:
        assert time.monotonic() < deadline, f"no acknowledgement of {ledger.unacknowledged} of {ledger.name}"
        try:
            ledger.resend(ledger.unacknowledged)
        except httpx.TransportError:
            time.sleep(RETRY_PAUSE_SECONDS)
        else:
            time.sleep(RETRY_PAUSE_SECONDS if ledger.unacknowledged else 0)


def accepted_by(ledgers: Iterable[Ledger]) -> dict[Identity, Decimal]:
    """What clients were told is accepted: each event once, with its units."""
    return {
        (event["external_subscription_id"], event["transaction_id"]): exact_number(event["properties"][FIELD])
        for ledger in ledgers
        for number in ledger.acknowledged
        for event in ledger.sent[number]
    }


def close_books(installation: Installation, scenario: Scenario, *ledgers: Ledger) -> None:
    """Wait until everything is counted; then nothing is lost, doubled or rounded, and no job moves anything."""
    for ledger in ledgers:
        assert ledger.unacknowledged == [], "the client has not got through yet"
        ledger.wait_until_counted()
    recount_books(installation, scenario, *ledgers)
    assert_jobs_change_nothing(installation)


def recount_books(installation: Installation, scenario: Scenario, *ledgers: Ledger) -> None:
    """Hold the stored events and the projection against what was accepted."""
    names = [ledger.name for ledger in ledgers]
    with installation.store() as store:
        recount = Recount(accepted_by(ledgers), read_stored(store, names), FIELD)
        sent = sum(ledger.events_sent for ledger in ledgers)
        recount.assert_exact(scenario, duplicates_sent=sent - len(recount.accepted))
        assert read_shown(store, names) == recount.totals()


def assert_jobs_change_nothing(installation: Installation) -> None:
    """Due jobs, reconciliation, dead letter replay, draft refresh: a second run of each finds nothing to do."""
    installation.wait_until_stream_is_counted()
    before = installation.snapshot()
    installation.do_every_job_again()
    after = installation.snapshot()
    changed = [table for table in before if before[table] != after[table]]
    assert not changed, {table: sorted(set(before[table]) ^ set(after[table]))[:4] for table in changed}

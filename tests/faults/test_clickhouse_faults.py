"""ClickHouse away, slow, cut off in the middle of an insert or after it: every event still counts once."""

import time
from random import Random

import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Feed, Ledger, open_ledger
from tests.end_to_end.outages.site import OutageSite, Supervisor
from tests.faults.books import close_books, insist
from tests.faults.installation import Installation
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.faults.stream import INSERT_OF_EVENTS
from tests.services.proxy import ProxyMode

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

AWAY_SECONDS = (3, 60)
"""The short form, and the requirement's minute, past which the worker has given up and was started again."""
SLOW_SECONDS = 3.0


@pytest.fixture
def books(site: OutageSite) -> Ledger:
    """The books of one client, whose partition the worker knows: what it asks for next is an insert."""
    ledger = open_ledger(site.cluster, site.unused_name("store"), site.now())
    ledger.send_new()
    ledger.wait_until_counted()
    return ledger


@pytest.mark.faults(rounds_max=len(AWAY_SECONDS))
def test_clickhouse_away_for_long_events_go_on_and_count_once(
    site: OutageSite, installed: Installation, books: Ledger, scenario: Scenario, fault_round: FaultRound
) -> None:
    """Nobody who sends events notices; afterwards all of them are counted, whoever of the workers is left."""
    with Supervisor(site.worker), Feed(books, pause_seconds=0.2):
        site.clickhouse_proxy.set_mode(ProxyMode.REFUSE)
        site.clickhouse_proxy.cut()
        scenario.inject()
        try:
            time.sleep(AWAY_SECONDS[fault_round.number])
        finally:
            site.clickhouse_proxy.set_mode(ProxyMode.PASS)
        story.wait_for(lambda: books.counted() > books.recount([0]), "a count behind the outage")
    assert books.unacknowledged == []
    close_books(installed, scenario, books)
    site.worker.wait_until_healthy()


@pytest.mark.faults(rounds_max=3)
def test_slow_inserts_count_once(
    site: OutageSite, installed: Installation, books: Ledger, scenario: Scenario, fault_round: FaultRound
) -> None:
    """Every packet takes a while in each direction, so that an insert takes seconds: batches grow."""
    site.clickhouse_proxy.delay_seconds = fault_round.random.uniform(0.3, 1.0)
    scenario.inject()
    try:
        with Feed(books):
            time.sleep(SLOW_SECONDS)
        books.resend(range(0, len(books.sent), 3))
    finally:
        site.clickhouse_proxy.delay_seconds = 0.0
    close_books(installed, scenario, books)


@pytest.mark.faults(rounds_max=10)
def test_insert_applied_and_its_answer_cut_any_number_of_times_counts_once(
    site: OutageSite, installed: Installation, books: Ledger, scenario: Scenario, fault_round: FaultRound
) -> None:
    """Under load: answers of inserts and of the questions after them are cut, then whole connections."""
    random = fault_round.random
    before = site.clickhouse_proxy.answers_cut
    with Supervisor(site.worker), Feed(books):
        for _ in range(random.randrange(1, 4)):
            site.clickhouse_proxy.set_mode(ProxyMode.CUT_AFTER_REQUEST, answers_to_cut=random.randrange(1, 6))
            story.wait_for(lambda: site.clickhouse_proxy.mode is ProxyMode.PASS, "the last cut")
            time.sleep(random.uniform(0, 0.3))
            site.clickhouse_proxy.cut()
    scenario.inject(site.clickhouse_proxy.answers_cut - before)
    insist(books)
    books.resend(sample(random, books))
    close_books(installed, scenario, books)


@pytest.mark.faults(rounds_max=10, one_of_its_variants=True)
@pytest.mark.parametrize("share", ["any", "all"])
def test_connection_cut_inside_an_insert_counts_once(
    site: OutageSite,
    installed: Installation,
    books: Ledger,
    scenario: Scenario,
    fault_round: FaultRound,
    share: str,
) -> None:
    """Some of an insert's bytes arrive, or all of them and no answer; then the connection is gone."""
    random = fault_round.random
    site.clickhouse_proxy.hold(INSERT_OF_EVENTS, random.uniform(0.01, 0.99) if share == "any" else 1.0)
    books.send_new(random.randrange(1, 6))
    assert site.clickhouse_proxy.wait_until_held(30), "no insert came"
    books.send_new(random.randrange(3))
    time.sleep(random.uniform(0, 0.2))
    site.clickhouse_proxy.cut()
    site.clickhouse_proxy.release()
    scenario.inject()
    books.resend(sample(random, books))
    close_books(installed, scenario, books)


def sample(random: Random, books: Ledger) -> list[int]:
    """Some of the batches that were sent."""
    return random.sample(range(len(books.sent)), random.randrange(1, len(books.sent) + 1))

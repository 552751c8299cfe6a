"""A period closes while something is missing: no invoice is wrong, the clock waits, later all are right, once."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.closing import (
    assert_billed_once,
    month_after,
    move,
    move_when_counted,
    move_when_possible,
)
from tests.end_to_end.outages.ledger import Ledger, assert_comes_back_later, open_ledger
from tests.end_to_end.outages.site import OutageSite
from tests.services.postgres import as_libpq
from tests.services.proxy import ProxyMode

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

CUSTOMERS = 6
ROUND_TRIP_SECONDS = 0.02
"""Slow enough for a test to look into an open transaction."""
WRITING_SECONDS_MAX = 60


def test_period_end_with_uncounted_events_waits_for_them(site: OutageSite, ledger: Ledger) -> None:
    """Accepted, not counted, no worker: the clock stays at the period's end; the worker's return lets it go on."""
    ledger.send_new(3)
    ledger.wait_until_counted()
    site.worker.stop()
    ledger.send_new(3)
    assert ledger.unacknowledged == []
    target = month_after(site.now())
    for _ in range(2):
        assert_comes_back_later(move(site, target), "billing")
        assert site.now() < target
        assert story.invoices_of(site.cluster, ledger.name) == []
    site.worker.start()
    move_when_possible(site, target)
    assert_billed_once(site, ledger)


def test_period_end_passed_is_billed_by_itself_when_the_events_are_counted(
    site: OutageSite, ledger: Ledger
) -> None:
    """Nobody has to ask again: the scheduler closes the period once a worker is there again."""
    ledger.send_new(3)
    site.worker.stop()
    ledger.send_new(3)
    target = month_after(site.now())
    assert_comes_back_later(move(site, target), "billing")
    assert story.invoices_of(site.cluster, ledger.name) == []
    site.worker.start()
    story.wait_for(lambda: len(story.invoices_of(site.cluster, ledger.name)) == 1, "an invoice")
    assert_billed_once(site, ledger)
    move_when_possible(site, target)
    assert_billed_once(site, ledger)


def test_period_end_with_clickhouse_or_kafka_away_waits(site: OutageSite, ledger: Ledger) -> None:
    """Neither the position of the stream nor the usage is guessed."""
    ledger.send_new(2)
    ledger.wait_until_counted()
    target = month_after(site.now())
    site.clickhouse_proxy.set_mode(ProxyMode.REFUSE)
    site.clickhouse_proxy.cut()
    try:
        assert_comes_back_later(move_when_counted(site, target), "clickhouse")
    finally:
        site.clickhouse_proxy.set_mode(ProxyMode.PASS)
    site.kafka.pause()
    try:
        assert_comes_back_later(move(site, target), "kafka")
    finally:
        site.kafka.resume()
    assert site.now() < target
    move_when_possible(site, target)
    assert_billed_once(site, ledger)


def test_database_killed_while_periods_close_bills_each_once(site: OutageSite) -> None:
    """The database dies while it writes six customers' invoices: none is there, and all are afterwards."""
    ledgers = [open_ledger(site.cluster, site.unused_name("close"), site.now()) for _ in range(CUSTOMERS)]
    for ledger in ledgers:
        ledger.send_new()
    target = month_after(site.now())
    known = invoices_written(site)
    site.postgres_proxy.delay_seconds = ROUND_TRIP_SECONDS / 2
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(move_when_counted, site, target)
            wait_until_written_to(site)
            site.postgres.kill()
            assert_comes_back_later(answer.result(), "database")
    finally:
        site.postgres_proxy.delay_seconds = 0.0
        site.postgres.restart()
    assert invoices_written(site) == known, "the database did not die before the commit"
    move_when_possible(site, target)
    for ledger in ledgers:
        assert_billed_once(site, ledger)


def invoices_written(site: OutageSite) -> int:
    """Committed invoices, asked of PostgreSQL itself, past the slow proxy."""
    with psycopg.connect(as_libpq(site.database_url)) as session:
        row = session.execute("SELECT count(*) FROM invoices").fetchone()
    assert row is not None
    return int(row[0])


def wait_until_written_to(site: OutageSite) -> None:
    """Wait until a transaction that has written invoices is open."""
    writing = "SELECT count(*) FROM pg_locks WHERE relation = 'invoices'::regclass AND mode = 'RowExclusiveLock'"
    deadline = time.monotonic() + WRITING_SECONDS_MAX
    with psycopg.connect(as_libpq(site.database_url), autocommit=True) as session:
        while session.execute(writing).fetchone() == (0,):
            assert time.monotonic() < deadline, "no invoice was written"
            time.sleep(ROUND_TRIP_SECONDS / 10)

"""PostgreSQL dies or falls silent: events go on with the catalog in memory, and billing catches up by itself."""

import httpx
import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Ledger, assert_comes_back_later
from tests.end_to_end.outages.site import OutageSite
from tests.services.proxy import ProxyMode

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

UNKNOWN_KEY = {"Authorization": "Bearer nobody-knows-me"}
ANSWER_SECONDS_MAX = 10
"""Nobody is kept waiting longer than this, whatever the database does."""


def test_database_killed_events_go_on_and_the_rest_comes_back_later(site: OutageSite, ledger: Ledger) -> None:
    """Known keys ingest, an unknown key and the REST API are 503, and all of it works again without a hand."""
    ledger.send_new(3)
    site.postgres.kill()
    try:
        assert_events_go_on(site, ledger)
        assert_rest_comes_back_later(site, ledger)
    finally:
        site.postgres.restart()
    ledger.wait_until_counted()
    assert site.cluster.ingest.post("events", json={}, headers=UNKNOWN_KEY).status_code == 401
    assert site.cluster.api.get("plans").status_code == httpx.codes.OK
    for process in site.cluster.processes:
        process.wait_until_healthy()


def test_database_silent_holds_no_event_back(site: OutageSite, ledger: Ledger) -> None:
    """A frozen database refuses nothing and answers nothing: no request to ingest waits for it for long."""
    ledger.send_new()
    site.postgres_proxy.set_mode(ProxyMode.BLACKHOLE)
    try:
        assert_events_go_on(site, ledger)
    finally:
        site.postgres_proxy.set_mode(ProxyMode.PASS)
    ledger.wait_until_counted()
    assert site.cluster.api.get("plans").status_code == httpx.codes.OK


def assert_events_go_on(site: OutageSite, ledger: Ledger) -> None:
    """With the database away: new events of known keys are 200, an unknown key is 503."""
    ingest = site.cluster.ingest
    assert [answer.status_code for answer in ledger.send_new(5)] == [httpx.codes.OK] * 5
    unheard_of = story.event(ledger.name, site.unused_name("unheard-of"), "u", {}, timestamp=ledger.timestamp)
    answer = ingest.post("events", json={"event": unheard_of}, timeout=ANSWER_SECONDS_MAX)
    assert answer.status_code == httpx.codes.OK, "an unknown code is accepted whether or not it can be looked up"
    stranger = ingest.post("events", json={"event": {}}, headers=UNKNOWN_KEY, timeout=ANSWER_SECONDS_MAX)
    assert_comes_back_later(stranger, "database")
    health = httpx.get(f"{site.cluster.ingest_url}/health", timeout=ANSWER_SECONDS_MAX)
    assert health.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert health.json()["publisher"] == "ok"
    assert health.json()["catalog"] not in ("ok", "failed")


def assert_rest_comes_back_later(site: OutageSite, ledger: Ledger) -> None:
    """With the database away: the REST API is 503, reading and writing."""
    api = site.cluster.api
    for path in ("plans", "invoices", f"customers/{ledger.name}"):
        assert_comes_back_later(api.get(path, timeout=ANSWER_SECONDS_MAX), "database")
    created = api.post("customers", json={"customer": {"external_id": "late"}}, timeout=ANSWER_SECONDS_MAX)
    assert_comes_back_later(created, "database")
    health = httpx.get(f"{site.cluster.api_url}/health", timeout=ANSWER_SECONDS_MAX)
    assert health.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert health.json()["parts"]["database"] == "unavailable"

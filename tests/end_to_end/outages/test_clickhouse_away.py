"""ClickHouse dies, is cut off, or does its work and cannot say so: events go on, and each is counted once."""

import httpx
import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Feed, Ledger, assert_comes_back_later
from tests.end_to_end.outages.site import OutageSite, Supervisor
from tests.services.proxy import ProxyMode

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

WORKER_ENDS_SECONDS_MAX = 40
"""A worker gives up after 8 attempts, some 17 s, and ends so that its offsets are read again."""


def test_clickhouse_killed_keeps_taking_events_and_restarted_counts_them(site: OutageSite, ledger: Ledger) -> None:
    """Until the worker gave up and was started again: every batch is a 200, and all of them count once."""
    ledger.send_new(3)
    ledger.wait_until_counted()
    with Supervisor(site.worker) as supervisor, Feed(ledger, pause_seconds=0.2):
        site.clickhouse.kill()
        assert_reads_come_back_later(site, ledger)
        story.wait_for(lambda: supervisor.restarts > 0, "the worker's end", seconds=WORKER_ENDS_SECONDS_MAX)
        story.wait_for(lambda: worker_waits_for_clickhouse(site), "a worker that says what it waits for")
        site.clickhouse.start()
    assert {answer.status_code for answer in ledger.answers} == {httpx.codes.OK}
    assert len(ledger.answers) > 20, "events did not keep flowing"
    ledger.wait_until_counted()
    assert site.stored_rows(ledger.name) == (ledger.events, ledger.events)
    site.worker.wait_until_healthy()


def test_clickhouse_cut_off_for_a_moment_needs_no_restart(site: OutageSite, ledger: Ledger) -> None:
    """A short outage in the middle of the flow is bridged by the worker's own retries."""
    pid = site.worker.process.pid
    with Feed(ledger):
        story.wait_for(lambda: len(ledger.acknowledged) > 10, "some batches")
        site.clickhouse_proxy.set_mode(ProxyMode.REFUSE)
        site.clickhouse_proxy.cut()
        known = len(ledger.acknowledged)
        story.wait_for(lambda: len(ledger.acknowledged) > known + 20, "batches during the outage")
        assert_reads_come_back_later(site, ledger)
        site.clickhouse_proxy.set_mode(ProxyMode.PASS)
    assert ledger.unacknowledged == []
    ledger.wait_until_counted()
    assert site.stored_rows(ledger.name) == (ledger.events, ledger.events)
    assert site.worker.process.is_running
    assert site.worker.process.pid == pid


@pytest.mark.parametrize("answers_cut", [1, 2, 5])
def test_insert_applied_whose_answer_is_lost_counts_once(
    site: OutageSite, ledger: Ledger, answers_cut: int
) -> None:
    """The worker cannot know, asks, and sends nothing twice; also when its question goes unanswered too.

    The driver repeats a request once when its connection is reset: a single cut is settled by the insert's token.
    """
    ledger.send_new()
    ledger.wait_until_counted()  # the worker knows the partition: the next thing it asks for is the insert
    before = site.clickhouse_proxy.answers_cut
    site.clickhouse_proxy.set_mode(ProxyMode.CUT_AFTER_REQUEST, answers_to_cut=answers_cut)
    ledger.send_new(5)
    # ClickHouse itself is asked: a question through the proxy would have its own answer cut.
    story.wait_for(lambda: site.stored_rows(ledger.name)[1] == ledger.events, "all events in ClickHouse")
    story.wait_for(lambda: site.clickhouse_proxy.mode is ProxyMode.PASS, "the last cut")
    ledger.send_new(2)
    ledger.resend()
    ledger.wait_until_counted()
    assert site.clickhouse_proxy.answers_cut - before == answers_cut
    assert site.stored_rows(ledger.name) == (ledger.events, ledger.events)


def test_read_whose_answer_is_cut_comes_back_later(site: OutageSite, ledger: Ledger) -> None:
    """A reader is told to come back, not that something is broken."""
    ledger.send_new()
    ledger.wait_until_counted()
    for path in ("events", f"customers/{ledger.name}/current_usage?external_subscription_id={ledger.name}"):
        site.clickhouse_proxy.set_mode(ProxyMode.CUT_AFTER_REQUEST)  # all of them: the jobs read as well
        answer = site.cluster.api.get(path)
        site.clickhouse_proxy.set_mode(ProxyMode.PASS)
        assert_comes_back_later(answer, "clickhouse")
        assert site.cluster.api.get(path).status_code == httpx.codes.OK


def assert_reads_come_back_later(site: OutageSite, ledger: Ledger) -> None:
    """Whatever reads usage or events is 503; what only the database answers goes on."""
    api = site.cluster.api
    usage = {"external_subscription_id": ledger.name}
    assert_comes_back_later(api.get(f"customers/{ledger.name}/current_usage", params=usage), "clickhouse")
    assert_comes_back_later(api.get("events", params={"code": ledger.name}), "clickhouse")
    assert_comes_back_later(api.get("events/0-0"), "clickhouse")
    assert api.get(f"plans/{ledger.name}").status_code == httpx.codes.OK
    health = httpx.get(f"{site.cluster.api_url}/health", timeout=30)
    assert health.status_code == httpx.codes.SERVICE_UNAVAILABLE
    parts = health.json()["parts"]
    assert {name for name, state in parts.items() if state != "ok"} == {"clickhouse"}


def worker_waits_for_clickhouse(site: OutageSite) -> bool:
    try:
        health = httpx.get(site.worker.health_url, timeout=5)
    except httpx.TransportError:
        return False  # still starting
    return health.status_code == 503 and health.json()["status"] == "waiting_for_clickhouse"

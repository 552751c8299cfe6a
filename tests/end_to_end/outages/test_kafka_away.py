"""Kafka freezes or dies: nothing is acknowledged that is not kept, and everything kept is counted once."""

import time

import httpx
import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Ledger, assert_comes_back_later
from tests.end_to_end.outages.site import PUBLISH_SECONDS_MAX, OutageSite, Supervisor

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

SLACK_SECONDS = 2.0
"""What a busy machine may add to a timeout."""


def test_kafka_frozen_answers_503_in_time_and_resumed_counts_once(site: OutageSite, ledger: Ledger) -> None:
    """Silence is a 503 within the publish timeout; the same batch sent again counts once, if both arrive too."""
    ledger.send_new(3)
    ledger.wait_until_counted()
    site.kafka.pause()
    try:
        began_at = time.monotonic()
        [answer] = ledger.send_new()
        assert time.monotonic() - began_at < PUBLISH_SECONDS_MAX + SLACK_SECONDS
        assert_comes_back_later(answer, "kafka")
        assert_only_kafka_is_away(site)
        assert ledger.counted() == ledger.recount([0, 1, 2]), "what is counted can be read without Kafka"
    finally:
        site.kafka.resume()
    retry_until_acknowledged(ledger)
    ledger.wait_until_counted()
    site.cluster.ingest_process.wait_until_healthy()


def test_kafka_killed_answers_503_and_restarted_counts_everything_once(site: OutageSite, ledger: Ledger) -> None:
    """A broker that dies under a running client takes nothing acknowledged with it; all parts find it again."""
    ledger.send_new(5)
    site.kafka.kill()
    with Supervisor(*site.cluster.processes):
        [answer] = ledger.send_new()
        assert_comes_back_later(answer, "kafka")
        assert_only_kafka_is_away(site)
        site.kafka.restart()
        retry_until_acknowledged(ledger)
        ledger.send_new(5)
        assert ledger.unacknowledged == []
        ledger.wait_until_counted()
        assert site.stored_rows(ledger.name) == (ledger.events, ledger.events)
    for process in site.cluster.processes:
        process.wait_until_healthy()


def assert_only_kafka_is_away(site: OutageSite) -> None:
    health = httpx.get(f"{site.cluster.ingest_url}/health", timeout=10)
    assert health.status_code == httpx.codes.SERVICE_UNAVAILABLE
    parts = health.json()
    assert parts["status"] == "unavailable"
    assert parts["catalog"] == "ok"
    assert parts["publisher"] not in ("ok", "failed")


def retry_until_acknowledged(ledger: Ledger) -> None:
    """Do what a client does with a 503: wait as told, send the same again."""

    def acknowledged() -> bool:
        ledger.resend(ledger.unacknowledged)
        return not ledger.unacknowledged

    story.wait_for(acknowledged, "an acknowledgement of every batch")

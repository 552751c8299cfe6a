"""The broker dies while clients send: nothing acknowledged goes with it, and what is retried counts once."""

import time

import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Feed, Ledger
from tests.end_to_end.outages.site import OutageSite, Supervisor
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound

pytestmark = [pytest.mark.cluster, pytest.mark.faults(rounds_max=5)]

AWAY_SECONDS_MAX = 2.0


def test_kafka_killed_under_load_and_restarted_counts_everything_once(
    site: OutageSite, ledger: Ledger, fault_round: FaultRound, scenario: Scenario
) -> None:
    """SIGKILL among requests: a batch in flight is a 200 that stands or a 503 that is sent again."""
    random = fault_round.random
    with Supervisor(*site.cluster.processes):
        with Feed(ledger, pause_seconds=0.01):
            story.wait_for(lambda: len(ledger.acknowledged) > 10, "some batches")
            time.sleep(random.uniform(0, 0.5))
            site.kafka.kill()
            scenario.inject()
            time.sleep(random.uniform(0, AWAY_SECONDS_MAX))
            site.kafka.restart()
            known = len(ledger.acknowledged)
            story.wait_for(lambda: len(ledger.acknowledged) > known + 5, "batches after the restart")
        assert any(answer.status_code == 503 for answer in ledger.answers), "nobody noticed that Kafka was away"
        retried = ledger.unacknowledged + random.sample(sorted(ledger.acknowledged), k=5)
        assert {answer.status_code for answer in ledger.resend(retried)} == {200}
        assert ledger.unacknowledged == []
        ledger.wait_until_counted()
        assert site.stored_rows(ledger.name) == (ledger.events, ledger.events)
    for process in site.cluster.processes:
        process.wait_until_healthy()

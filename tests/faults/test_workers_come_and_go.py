"""Workers join, leave in order and die while events flow: partitions change hands, totals do not."""

import signal
import time

import pytest

from tests.aggregator.worker import Cluster
from tests.faults.load import Load
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.faults.stream import assert_exactly_once, count_doubled

pytestmark = [pytest.mark.cluster, pytest.mark.faults(rounds_max=6)]

PAUSE_SECONDS_MAX = 1.0
"""Between two changes: in the middle of a rebalance, or after it."""


def test_one_to_two_to_three_to_one_worker_under_load_counts_once(
    cluster: Cluster, load: Load, fault_round: FaultRound, scenario: Scenario
) -> None:
    """Two join, one leaves in order and one by SIGKILL, whichever they are; the last one counts the rest."""
    random = fault_round.random
    with load:
        workers = [cluster.start_worker()]
        for wait in (True, random.random() < 0.5):
            workers.append(cluster.start_worker(wait=wait))
            time.sleep(random.uniform(0, PAUSE_SECONDS_MAX))
        leaving = random.sample(workers, 2)
        leaving[0].stop(signal.SIGTERM)
        time.sleep(random.uniform(0, PAUSE_SECONDS_MAX))
        leaving[1].kill()
        scenario.inject(4)
        load.resend_everything()
    assert count_doubled(cluster) == 0
    assert_exactly_once(cluster, load, scenario)

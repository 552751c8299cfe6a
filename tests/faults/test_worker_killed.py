"""The aggregator is killed between any two of its durable steps, under load: every event counts once."""

import signal
from random import Random

import pytest

from tests.aggregator.worker import Cluster, wait_until
from tests.faults.dying_worker import Step
from tests.faults.load import Load
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.faults.stream import assert_exactly_once, count_doubled
from tests.services.kafka_source import Kafka, KafkaSource

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

PASSINGS_MAX = 12
COMMITS_MAX = 3
"""Commits come every half second, batches every tenth."""


def test_worker_killed_at_every_durable_step_in_turn_counts_once(
    cluster: Cluster, load: Load, fault_round: FaultRound, scenario: Scenario, kafka: Kafka
) -> None:
    """Each worker dies at another step, at a random passing, in a random order; the next one finds its work."""
    random = fault_round.random
    with load:
        for step in random.sample(list(Step), len(Step)):
            die_at(cluster, step, random, session_seconds(kafka))
            scenario.inject()
            assert count_doubled(cluster) == 0, f"a kill at {step} left an event twice"
        cluster.start_worker(0, aggregator_session_seconds=session_seconds(kafka))
    assert_exactly_once(cluster, load, scenario)


def die_at(cluster: Cluster, step: Step, random: Random, session_seconds: float) -> None:
    """Start a worker that dies at the step, and wait for its end."""
    passing = random.randint(1, COMMITS_MAX if "commit" in step else PASSINGS_MAX)
    program = ("tests.faults.dying_worker", step, str(passing))
    worker = cluster.start_worker(0, wait=False, program=program, aggregator_session_seconds=session_seconds)
    wait_until(lambda: not worker.is_running, lambda: f"{passing} × {step} never came: {worker.log_tail()}")
    assert worker.returncode == -signal.SIGKILL, f"{step}: {worker.log_tail()}"


def session_seconds(kafka: Kafka) -> float:
    """As short as the broker permits: how long a killed worker keeps its partitions."""
    return 6.0 if kafka.source is KafkaSource.ENVIRONMENT else 2.0

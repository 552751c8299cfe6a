"""The aggregator is killed between any two of its durable steps, under load: every event counts once."""

import signal
from collections.abc import Iterator
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.aggregator.worker import Cluster, wait_until
from tests.faults.dying_worker import Step
from tests.faults.load import Load
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.faults.stream import INSERT_OF_EVENTS, assert_exactly_once, count_doubled, through
from tests.services.proxy import TcpProxy

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

PASSINGS_MAX = 12
COMMITS_MAX = 3
"""Commits come every half second, batches every tenth."""
HELD_SECONDS_MAX = 30


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[TcpProxy]:
    """Between a worker and ClickHouse."""
    address = urlsplit(cluster.clickhouse_url)
    assert address.hostname
    assert address.port
    with TcpProxy(address.hostname, address.port) as running:
        yield running


def test_worker_killed_at_every_durable_step_in_turn_counts_once(
    cluster: Cluster, load: Load, fault_round: FaultRound, scenario: Scenario
) -> None:
    """Each worker dies at another step, at a random passing, in a random order; the next one finds its work."""
    random = fault_round.random
    with load:
        for step in fault_round.choose(random, Step, short=2):
            die_at(cluster, step, random)
            scenario.inject()
            assert count_doubled(cluster) == 0, f"a kill at {step} left an event twice"
        cluster.start_worker(0)
    assert_exactly_once(cluster, load, scenario)


@pytest.mark.faults(rounds_max=10)
def test_worker_killed_in_the_middle_of_its_insert_counts_once(
    cluster: Cluster,
    proxy: TcpProxy,
    load: Load,
    fault_round: FaultRound,
    scenario: Scenario,
) -> None:
    """A part of the request arrived, or all of it and nobody heard the answer; also with the index gone."""
    random = fault_round.random
    shares = fault_round.choose(random, [random.random(), 1.0], short=1)
    with load:
        for share in shares:
            proxy.hold(INSERT_OF_EVENTS, share)
            worker = cluster.start_worker(
                0,
                wait=False,
                clickhouse_url=through(proxy, cluster.clickhouse_url),
            )
            assert proxy.wait_until_held(HELD_SECONDS_MAX), worker.log_tail()
            worker.kill()
            scenario.inject()
            if random.random() < 0.5:
                proxy.cut()
            proxy.release()
        cluster.start_worker(random.choice([0, 1]))
    assert_exactly_once(cluster, load, scenario)


def die_at(cluster: Cluster, step: Step, random: Random) -> None:
    """Start a worker that dies at the step, and wait for its end."""
    passing = random.randint(1, COMMITS_MAX if "commit" in step else PASSINGS_MAX)
    program = ("tests.faults.dying_worker", step, str(passing))
    worker = cluster.start_worker(0, wait=False, program=program)
    wait_until(lambda: not worker.is_running, lambda: f"{passing} × {step} never came: {worker.log_tail()}")
    assert worker.returncode == -signal.SIGKILL, f"{step}: {worker.log_tail()}"

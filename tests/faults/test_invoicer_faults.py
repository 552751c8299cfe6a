"""Invoicers work side by side and die in the middle of it: one invoice each, exact, numbered without a gap."""

import signal
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.site import OutageSite
from tests.faults.books import assert_jobs_change_nothing
from tests.faults.due_subscriptions import (
    DUE_AT,
    SUBSCRIPTIONS_EACH,
    USED_AT,
    DueSite,
    enter_catalog,
    events_of,
    make_due_site,
)
from tests.faults.dying_invoicer import CUSTOMERS_TOGETHER, NEVER, STEPS
from tests.faults.installation import Installation, embedded_installation
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.services.fixtures import unique_name
from tests.services.millrace import EmbeddedInstance, Instance, MillraceProcess, millrace_environ
from tests.services.ports import LOOPBACK, free_port

pytestmark = pytest.mark.faults(rounds_max=10)

MANY = 8 * SUBSCRIPTIONS_EACH * CUSTOMERS_TOGETHER
"""So many batches that two invoicers both have something to do for a while."""
FEW = 2 * SUBSCRIPTIONS_EACH * CUSTOMERS_TOGETHER
HEAD_START_SECONDS_MAX = 0.3
"""Of the one that dies, so that there is something left for it to die over."""
PASSINGS_MAX = 2
CLOSE_SECONDS_MAX = 300


def invoicer(due: DueSite, name: str, dies_at: str = NEVER, passings: int = 1) -> MillraceProcess:
    """An invoicer of its own process on those stores, started; it does what is due without being asked."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}/health"
    command = [sys.executable, "-m", "tests.faults.dying_invoicer", dies_at, str(passings)]
    process = MillraceProcess(command, due.settings | {"port": port}, url, due.folder / f"{name}.log")
    process.start(wait=False)
    return process


def wait_for_invoices(due: DueSite, count: int) -> None:
    """Wait until at least so many are committed."""
    story.wait_for(lambda: due.invoices_written() >= count, f"{count} invoices", seconds=CLOSE_SECONDS_MAX)


def wait_for_death(dying: MillraceProcess) -> None:
    """Wait for a process to die by its own SIGKILL, and not otherwise."""
    story.wait_for(lambda: not dying.process.is_running, "the death of the process")
    assert dying.process.returncode == -signal.SIGKILL, dying.process.log_tail()


def installation_of(due: DueSite, process: MillraceProcess) -> Installation:
    """The installation that this invoicer is of."""
    process.wait_until_healthy()
    url = process.health_url.removesuffix("/health")
    settings = {name: value for name, value in millrace_environ(due.settings).items() if "MILLRACE" in name}
    return Installation(Instance(url, url), str(due.settings["clickhouse_url"]), due.database_url, settings)


@pytest.mark.cluster
@pytest.mark.faults(rounds_max=6)
def test_two_invoicers_one_killed_bill_each_subscription_once(
    site: OutageSite, scenario: Scenario, fault_round: FaultRound, tmp_path: Path
) -> None:
    """Both close the same periods at the same time; one dies in the middle of it and is started again."""
    random = fault_round.random
    due = make_due_site(site, unique_name("two").replace("-", "_"), MANY, tmp_path)
    dying = invoicer(due, "dying", random.choice(STEPS), random.randint(1, PASSINGS_MAX))
    both = [invoicer(due, "other")]
    try:
        with due.nobody_bills(waiting=2):
            both[0].process.pause()
        time.sleep(random.uniform(0, HEAD_START_SECONDS_MAX))
        both[0].process.resume()
        wait_for_death(dying)
        scenario.inject()
        both.append(invoicer(due, "again"))
        wait_for_invoices(due, MANY)
        due.assert_billed_once(scenario)
        assert_jobs_change_nothing(installation_of(due, both[0]))
    finally:
        for each in (dying, *both):
            each.stop()


@pytest.mark.cluster
@pytest.mark.faults(rounds_max=5)
def test_invoicer_killed_at_every_step_in_turn_bills_each_subscription_once(
    site: OutageSite, scenario: Scenario, fault_round: FaultRound, tmp_path: Path
) -> None:
    """One after the other dies where a crash would matter most; the last one lives and finds what is left."""
    due = make_due_site(site, unique_name("step").replace("-", "_"), FEW, tmp_path)
    *before_commit, committed = STEPS
    for step in (*fault_round.choose(fault_round.random, before_commit, short=1), committed):
        wait_for_death(invoicer(due, step, step))
        scenario.inject()
    survivor = invoicer(due, "survivor")
    try:
        wait_for_invoices(due, FEW)
        due.assert_billed_once(scenario)
        assert_jobs_change_nothing(installation_of(due, survivor))
    finally:
        survivor.stop()


def test_embedded_process_killed_while_it_bills_bills_each_subscription_once(
    scenario: Scenario, fault_round: FaultRound, tmp_path: Path
) -> None:
    """The same in one process on SQLite: it dies at one of the steps, and goes on from there."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    due = DueSite(f"sqlite:///{data_dir / 'catalog.sqlite'}", {}, FEW, tmp_path)
    enter_catalog(due.database_url, FEW)
    with EmbeddedInstance(data_dir, test_clock=USED_AT) as used:
        story.send(used, events_of(FEW))
    instance = EmbeddedInstance(data_dir, test_clock=DUE_AT, clickhouse_http_writable=True)
    wait_for_death(dying_instance(instance, fault_round.random.choice(STEPS)))
    scenario.inject()
    with instance:
        wait_for_invoices(due, FEW)
        due.assert_billed_once(scenario)
        assert_jobs_change_nothing(embedded_installation(instance))


def dying_instance(instance: EmbeddedInstance, step: str) -> MillraceProcess:
    """The process of that instance, started to die at a step."""
    command = [sys.executable, "-m", "tests.faults.dying_invoicer", step, "1", "up"]
    log = instance.data_dir.parent / f"{step}.log"
    process = MillraceProcess(command, instance.settings, instance.server.health_url, log)
    process.start(wait=False)
    return process

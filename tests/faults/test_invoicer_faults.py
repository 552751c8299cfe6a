"""Invoicers work side by side and die in the middle of it: one invoice each, exact, numbered without a gap."""

import signal
import sys
from pathlib import Path

import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.site import OutageSite, Supervisor
from tests.faults.books import assert_jobs_change_nothing
from tests.faults.due_subscriptions import (
    DUE_AT,
    USED_AT,
    DueSite,
    enter_catalog,
    events_of,
    make_due_site,
)
from tests.faults.dying_invoicer import STEPS
from tests.faults.installation import Installation, embedded_installation
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.services.fixtures import unique_name
from tests.services.millrace import EmbeddedInstance, Instance, MillraceProcess, millrace_environ
from tests.services.ports import LOOPBACK, free_port

pytestmark = pytest.mark.faults

SUBSCRIPTIONS = (100, 1_000)
"""In the first round and in the others."""
FEW = 24
CLOSE_SECONDS_MAX = 300


def invoicer(due: DueSite, name: str, module: str = "invoicer", *arguments: str) -> MillraceProcess:
    """An invoicer of its own process on those stores, started; it does what is due without being asked."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}/health"
    command = [sys.executable, "-m", module, *arguments]
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
def test_two_invoicers_one_killed_bill_each_subscription_once(
    site: OutageSite, scenario: Scenario, fault_round: FaultRound, tmp_path: Path
) -> None:
    """Both close the same periods; one dies at a random moment and is started again."""
    count = SUBSCRIPTIONS[min(fault_round.number, 1)]
    due = make_due_site(site, unique_name("two").replace("-", "_"), count, tmp_path)
    dies_at = fault_round.random.randrange(1, count)
    both = [invoicer(due, f"invoicer-{number}") for number in range(2)]
    try:
        with Supervisor(*both):
            wait_for_invoices(due, dies_at)
            fault_round.random.choice(both).process.kill()
            scenario.inject()
            wait_for_invoices(due, count)
        due.assert_billed_once()
        assert_jobs_change_nothing(installation_of(due, both[0]))
    finally:
        for each in both:
            each.stop()


@pytest.mark.cluster
def test_invoicer_killed_at_every_step_in_turn_bills_each_subscription_once(
    site: OutageSite, scenario: Scenario, fault_round: FaultRound, tmp_path: Path
) -> None:
    """One after the other dies where a crash would matter most; the last one lives and finds what is left."""
    due = make_due_site(site, unique_name("step").replace("-", "_"), FEW, tmp_path)
    *before_commit, committed = STEPS
    for step in (*fault_round.random.sample(before_commit, len(before_commit)), committed):
        wait_for_death(invoicer(due, step, "tests.faults.dying_invoicer", step, "1"))
        scenario.inject()
    survivor = invoicer(due, "survivor")
    try:
        wait_for_invoices(due, FEW)
        due.assert_billed_once()
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
        due.assert_billed_once()
        assert_jobs_change_nothing(embedded_installation(instance))


def dying_instance(instance: EmbeddedInstance, step: str) -> MillraceProcess:
    """The process of that instance, started to die at a step."""
    command = [sys.executable, "-m", "tests.faults.dying_invoicer", step, "1", "up"]
    log = instance.data_dir.parent / f"{step}.log"
    process = MillraceProcess(command, instance.settings, instance.server.health_url, log)
    process.start(wait=False)
    return process

"""The thread that looks for due work: it goes on whatever happens, and tells whether it works."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from invoicer.jobs.due_jobs import DueJobs
from invoicer.jobs.job_metrics import JobMetrics
from invoicer.jobs.scheduler import Scheduler
from schemas.errors import TransientError
from tests.invoicer.billing.scenario import Scenario, utc

WAIT_SECONDS_MAX = 10.0


def eventually(is_true: Callable[[], bool]) -> bool:
    """Whether it becomes true within a generous time."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def scheduler(scenario: Scenario) -> Scheduler:
    """A scheduler over a subscription that is due on 1 February, looking a hundred times a second."""
    with scenario.catalog() as catalog:
        catalog.charge(catalog.plan(), catalog.metric("calls"))
    scenario.subscribe()
    scenario.context.settings.scheduler_seconds = 0.01
    return Scheduler(scenario.context, JobMetrics(CollectorRegistry()))


def test_scheduler_bills_what_falls_due_while_it_runs(scenario: Scenario, scheduler: Scheduler) -> None:
    """The clock passes the billing day: the invoice is made without anybody asking."""
    scheduler.start()
    scenario.clock.move_to(utc("2026-02-01"))
    try:
        assert eventually(lambda: len(scenario.invoices()) == 1)
    finally:
        scheduler.stop()


def test_scheduler_survives_errors_and_does_the_work_later(
    scenario: Scenario, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store away, then an error nobody expected: the next look bills."""
    scenario.clock.move_to(utc("2026-02-01"))
    scenario.usage.is_away = True
    assert scheduler.tick() is False
    scenario.usage.is_away = False
    with monkeypatch.context() as patched:

        def broken(_jobs: DueJobs, _until: object) -> int:
            raise RuntimeError("nobody expected this")

        patched.setattr(DueJobs, "run", broken)
        assert scheduler.tick() is False
    assert scheduler.tick() is True
    assert len(scenario.invoices()) == 1


def test_scheduler_that_has_not_succeeded_for_long_is_not_healthy(
    scenario: Scenario, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its start, and two minutes after its last success."""
    with pytest.raises(TransientError):
        scheduler.check()
    scheduler.tick()
    scheduler.check()
    since = scheduler.since_progress
    assert since is not None
    assert since < timedelta(seconds=WAIT_SECONDS_MAX)
    later = time.monotonic() + 121
    monkeypatch.setattr("invoicer.jobs.scheduler.time.monotonic", lambda: later)
    with pytest.raises(TransientError):
        scheduler.check()


def test_scheduler_waits_while_the_test_clock_moves(scenario: Scenario, scheduler: Scheduler) -> None:
    """Who holds the time lock is alone with the clock."""
    scenario.clock.move_to(utc("2026-02-01"))
    with scenario.context.time_lock:
        scheduler.start()
        time.sleep(0.2)
        assert scenario.invoices() == []
    try:
        assert eventually(lambda: len(scenario.invoices()) == 1)
    finally:
        scheduler.stop()


def test_scheduler_tells_prometheus_what_it_waits_for(scenario: Scenario) -> None:
    """1 while due work waits for the stream, 0 afterwards."""
    with scenario.catalog() as catalog:
        catalog.plan()
    scenario.subscribe()
    registry = CollectorRegistry()
    scheduler = Scheduler(scenario.context, JobMetrics(registry))
    scenario.clock.move_to(utc("2026-02-01"))
    scenario.gate.is_open = False
    scheduler.tick()
    assert registry.get_sample_value("millrace_billing_waits_for_usage") == 1
    assert scheduler.check() == "waits_for_usage"
    scenario.gate.is_open = True
    scheduler.tick()
    assert registry.get_sample_value("millrace_billing_waits_for_usage") == 0
    assert scheduler.check() is None
    assert registry.get_sample_value("millrace_billing_steps_total") == 1

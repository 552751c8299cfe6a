"""Two invoicers at work on the same customers."""

import threading
from datetime import datetime

from invoicer.jobs.due_jobs import DueJobs
from invoicer.jobs.job_metrics import JobMetrics
from tests.invoicer.billing.scenario import Scenario


def close_with_two_invoicers(scenario: Scenario, other: Scenario, until: datetime) -> None:
    """Two invoicers at once until neither finds anything due; errors in either fail the test."""
    errors: list[BaseException] = []

    def work(own: Scenario) -> None:
        jobs = DueJobs(own.context, JobMetrics.unregistered())
        try:
            while jobs.run(until):
                pass
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(own,)) for own in (scenario, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []

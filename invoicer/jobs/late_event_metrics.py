"""What Prometheus is told about late events: read from the database, so that it is the same in every process."""

from collections.abc import Iterator

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from invoicer.db import LateEvent
from invoicer.db.session import SessionFactory, transaction
from schemas.errors import TransientError


class LateEventMetrics(Collector):
    """Late events found so far, by what was to be done about them and what became of them."""

    def __init__(self, sessions: SessionFactory) -> None:
        self._sessions = sessions

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The name alone: registering asks no database."""
        yield _family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The numbers now; none while the database is away."""
        family = _family()
        counted = select(LateEvent.policy, LateEvent.status, func.count())
        try:
            with transaction(self._sessions, reads_only=True) as session:
                for policy, status, count in session.execute(counted.group_by(LateEvent.policy, LateEvent.status)):
                    family.add_metric([policy, status], count)
        except TransientError as error:
            structlog.get_logger().warning("late_event_metrics_wait", service=error.service, reason=error.reason)
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "millrace_late_events_total",
        "Events that came after the invoice of their period, by policy and status.",
        labels=["policy", "status"],
    )

"""Finds late events and settles what does not wait for an invoice, as often as events are reconciled."""

import time
import uuid

import structlog

from invoicer.billing.late_events.finding import look_for_late_events
from invoicer.billing.late_events.settling import settle_late_events, subscriptions_to_settle
from invoicer.context import Context
from invoicer.db.session import transaction
from schemas.errors import TransientError

FAILURES_MAX = 100
"""Subscriptions that may fail in one run before it stops: past that it is not the subscriptions."""


class LateEventJobs:
    """The jobs of one process. Keeps nothing but when it last ran: how far it has looked is in the database."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last_run: float | None = None

    def run_when_due(self) -> None:
        """Run every `reconcile_seconds` of the machine's time.

        On a test clock always: everything accepted is known before time moves on. No error stops due work that
        needs none of it; what was not done is done the next time.
        """
        if not self._is_due():
            return
        self._last_run = time.monotonic()
        try:
            run_late_event_jobs(self._context)
        except TransientError as error:
            structlog.get_logger().warning("late_events_wait", service=error.service, reason=error.reason)

    def _is_due(self) -> bool:
        if self._context.on_test_clock or self._last_run is None:
            return True
        return time.monotonic() - self._last_run >= self._context.settings.reconcile_seconds


def run_late_event_jobs(context: Context) -> None:
    """Find what came late by now and settle it as far as it does not wait for an invoice.

    A subscription that fails is logged and left open, and the others go on.
    Raises: TransientError when a store is away.
    """
    look_for_late_events(context)
    failed: set[uuid.UUID] = set()
    while len(failed) < FAILURES_MAX:
        with transaction(context.sessions, reads_only=True) as session:
            wanted = subscriptions_to_settle(session, failed)
        if not wanted:
            return
        for subscription_id in wanted:
            try:
                if settle_late_events(context, subscription_id) == 0:
                    failed.add(subscription_id)
            except TransientError:
                raise
            except Exception:  # noqa: BLE001 - the edge of one subscription's work: logged, left open, others go on
                structlog.get_logger().exception("late_events_failed", subscription_id=str(subscription_id))
                failed.add(subscription_id)


def know_late_events(context: Context) -> None:
    """Before an invoice is made on demand: on a test clock do at once what would else be done in the background.

    Raises: TransientError when a store is away.
    """
    if context.on_test_clock:
        run_late_event_jobs(context)

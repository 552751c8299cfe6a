"""Does everything that is due, in the order of the instants it was due at."""

import random
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from invoicer.billing.draft_refresh import finalize_draft, hold_draft
from invoicer.billing.period_closing import close_customer
from invoicer.billing.usage_gate import CountedUsage
from invoicer.context import Context
from invoicer.db.session import transaction
from invoicer.jobs.due_work import DueFilter, DueWork, mark_overdue, next_work
from invoicer.jobs.job_metrics import JobMetrics
from schemas.errors import InvariantViolation, TransientError

FAILURES_MAX = 100
"""Customers that may fail in one run before it stops: past that it is not the customers."""


class DueJobs:
    """The jobs of one invoicer process. Keeps nothing but how far usage is known to be counted."""

    def __init__(self, context: Context, metrics: JobMetrics, goes_on: Callable[[], bool] = lambda: True) -> None:
        """`goes_on` is asked after each step; False ends the run, and what is left stays due."""
        self._context = context
        self._metrics = metrics
        self._goes_on = goes_on
        self._counted = CountedUsage(context.gate, context.clock)
        self.waits_for_usage = False

    def run(self, until: datetime) -> int:
        """Do what is due at `until` or before; how many steps were done.

        Each customer's step is a transaction of its own, so that a crash loses none and repeats none. What
        reads usage waits, still due, until everything accepted before its instant has been counted. A
        customer that fails is left due and logged, and the others go on.
        Bounds: `until` is no later than the clock.
        Raises: TransientError when a store is away; what was not written stays due.
        """
        done = 0
        skipped: set[uuid.UUID] = set()
        reads_usage = True
        while len(skipped) < FAILURES_MAX:
            wanted = DueFilter(until, reads_usage, frozenset(skipped))
            with transaction(self._context.sessions, reads_only=True) as session:
                work = next_work(session, wanted)
            if work is None:
                break
            if reads_usage and not self._counted.is_counted(work.instant):
                reads_usage = False
                self._log_waiting(work.instant)
                continue
            done += self._do(work, skipped)
            if not self._goes_on():
                break
        self.waits_for_usage = not reads_usage
        self._metrics.waits_for_usage.set(self.waits_for_usage)
        return done

    def _do(self, work: DueWork, skipped: set[uuid.UUID]) -> int:
        """One instant: drafts first, since their periods are older; then subscriptions; then overdue marks."""
        done = self._each(work.draft_ids, lambda each: self._finalize(each, work.instant), skipped)
        # Two invoicers start at different customers, so that they meet seldom.
        customers = random.sample(work.customer_ids, len(work.customer_ids))
        done += self._each(customers, lambda each: close_customer(self._context, each, work.instant), skipped)
        if work.is_overdue_due:
            with transaction(self._context.sessions) as session:
                done += mark_overdue(session, work.instant, self._context.clock.now())
        return done

    def _finalize(self, invoice_id: uuid.UUID, instant: datetime) -> int:
        try:
            return int(finalize_draft(self._context, invoice_id, at=instant))
        except InvariantViolation as violation:
            hold_draft(self._context, invoice_id, violation)
            return 1

    def _each(self, ids: Sequence[uuid.UUID], do: Callable[[uuid.UUID], int], skipped: set[uuid.UUID]) -> int:
        done = 0
        for each in ids:
            steps = self._guarded(each, do)
            if steps == 0:
                # Parked, failed, or in another invoicer's hands: not again in this run.
                skipped.add(each)
            done += steps
            if not self._goes_on():
                break
        self._metrics.steps.inc(done)
        return done

    def _guarded(self, each: uuid.UUID, do: Callable[[uuid.UUID], int]) -> int:
        try:
            return do(each)
        except TransientError:
            raise
        except Exception:  # noqa: BLE001 - the edge of one customer's work: logged, left due, others go on
            self._metrics.failures.inc()
            structlog.get_logger().exception("billing_failed", id=str(each))
            return 0

    def _log_waiting(self, instant: datetime) -> None:
        structlog.get_logger().info("billing_waits_for_usage", due_at=instant.isoformat())


def run_due(context: Context, until: datetime) -> int:
    """Do once what is due at `until` or before; see `DueJobs.run`."""
    return DueJobs(context, JobMetrics.unregistered()).run(until)

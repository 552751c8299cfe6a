"""Moves the test clock forward, doing on the way what falls due, each thing at its own instant."""

from datetime import datetime

from invoicer.context import Context
from invoicer.db.session import transaction
from invoicer.jobs.due_jobs import DueJobs
from invoicer.jobs.due_work import DueFilter, next_work
from invoicer.jobs.job_metrics import JobMetrics
from schemas.clock import MovableClock
from schemas.errors import InputError, TransientError


def move_clock(context: Context, clock: MovableClock, target: datetime) -> None:
    """Stop at every instant at which something is due, do it, and end at `target`.

    The scheduler waits meanwhile. Where something cannot be done now (usage is still being counted) the
    clock stays at that instant.
    Raises: InputError when `target` lies in the past; TransientError when it cannot go on.
    """
    jobs = DueJobs(context, JobMetrics.unregistered())
    with context.time_lock:
        if target < clock.now():
            raise InputError({"now": ["value_is_out_of_range"]})
        jobs.run(clock.now())
        while (instant := _next_instant(context, target)) is not None:
            if instant > clock.now():
                clock.move_to(instant)
            if jobs.run(clock.now()) == 0:
                raise TransientError("billing", f"what is due at {instant.isoformat()} cannot be done yet")
        clock.move_to(target)


def _next_instant(context: Context, target: datetime) -> datetime | None:
    with transaction(context.sessions, reads_only=True) as session:
        work = next_work(session, DueFilter(until=target, reads_usage=True))
    return None if work is None else work.instant

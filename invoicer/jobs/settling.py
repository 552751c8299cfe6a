"""Does at once what a request made due, where that can be done: the scheduler does the rest."""

import uuid

import structlog

from invoicer.billing.period_closing import close_customer
from invoicer.billing.usage_gate import CountedUsage
from invoicer.context import Context
from invoicer.jobs.late_event_jobs import know_late_events
from schemas.errors import TransientError

STEPS_MAX = 100
"""Steps of one customer done within a request; a longer backlog is the scheduler's."""


def settle_customer(context: Context, customer_id: uuid.UUID) -> None:
    """Carry out what is due for a customer, unless usage is still being counted or a store is away.

    Called after the commit of what made it due, so that nothing is lost when it cannot be done now.
    """
    now = context.clock.now()
    try:
        if not CountedUsage(context.gate, context.clock).is_counted(now):
            return
        know_late_events(context)
        for _ in range(STEPS_MAX):
            if close_customer(context, customer_id, now) == 0:
                return
    except TransientError as error:
        structlog.get_logger().warning("settling_waits", service=error.service, reason=error.reason)

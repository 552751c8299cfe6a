"""What is known of the late events of a billing period: which events its invoice was made with, and which without.

By what was counted, as far as that tells; no clock says it exactly.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.billing.late_events.policy import LateEventStatus
from invoicer.billing.late_events.work import FINAL, misses
from invoicer.db import LATE_EVENT_MARK_ID, BillingPeriod, Charge, LateEvent, LateEventMark
from schemas.period import TimeRange
from schemas.usage import LOOK_OVERLAP


@dataclass(frozen=True)
class KnownLate:
    """The late events of one charge in a period, by transaction id.

    `missed`       what was billed was counted without them.
    `unchanged`    they changed nothing, be it that they were counted: stored between proof and read.
    `found_until`  every late event of the period itself that was stored before is known; None: none is looked for.
    """

    period: TimeRange
    missed: frozenset[str]
    unchanged: frozenset[str]
    found_until: datetime | None

    def was_counted(self, transaction_id: str, *, timestamp: datetime, inserted_at: datetime) -> bool | None:
        """Whether what was billed was counted with an event; None where that cannot be told.

        `inserted_at` is of the usage store's clock.
        """
        if transaction_id in self.missed:
            return False
        is_known = self.found_until is not None and inserted_at < self.found_until
        begins_before = self.period.start is None or self.period.start <= timestamp
        if is_known and begins_before and timestamp < self.period.end and transaction_id not in self.unchanged:
            return True
        return None


def load_known_late(session: Session, period: BillingPeriod, charge: Charge) -> KnownLate:
    """What is known of the late events of a period that a charge counts or has carried into it."""
    wanted = select(LateEvent).where(
        LateEvent.subscription_id == period.subscription_id,
        LateEvent.code == charge.billable_metric.code,
        LateEvent.timestamp < period.charges_to,
    )
    late = [each for each in session.scalars(wanted) if misses(each, charge, period)]
    unchanged = {each.transaction_id for each in late if each.status == LateEventStatus.NO_CHANGE}
    is_watched = period.bills_charges and period.events_counted is not None and period.invoice.status in FINAL
    looked_until = session.get_one(LateEventMark, LATE_EVENT_MARK_ID).looked_until
    return KnownLate(
        period=TimeRange(period.charges_from, period.charges_to),
        missed=frozenset(each.transaction_id for each in late) - unchanged,
        unchanged=frozenset(unchanged),
        found_until=looked_until - LOOK_OVERLAP if is_watched else None,
    )

"""Late events on an invoice that is made anyway: the next one of their subscription, or a draft of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from invoicer.billing.invoice_building import ChargedFee
from invoicer.billing.late_events.fees import LateFee, build_late_fees, settle_on_invoice
from invoicer.billing.late_events.pricing import PricedLate, price_late
from invoicer.billing.late_events.work import LateWork, is_unchanged
from invoicer.context import Context
from schemas.usage import UsageReader


@dataclass(frozen=True)
class LatePart:
    """What the late events of one subscription add to an invoice."""

    priced: PricedLate
    fees: tuple[LateFee, ...]


def late_parts(context: Context, usage: UsageReader, works: Iterable[LateWork], now: datetime) -> list[LatePart]:
    """Price late events for an invoice that is made at `now`; outside of any transaction.

    Raises: TransientError when the usage store is away; InvariantViolation when a charge cannot be priced.
    """
    parts = []
    for work in works:
        priced = price_late(usage, context.stored, work)
        parts.append(LatePart(priced, tuple(build_late_fees(priced, priced.owed, now))))
    return parts


def late_fees_of(parts: Iterable[LatePart]) -> list[ChargedFee]:
    """The fees of all parts, in their order."""
    return [each.charged for part in parts for each in part.fees]


def stand(session: Session, parts: Iterable[LatePart]) -> bool:
    """Whether all parts may still be billed: with the customer locked, nobody else has settled any of them."""
    return all(is_unchanged(session, part.priced.work) for part in parts)


def record_parts(session: Session, parts: Sequence[LatePart], now: datetime) -> None:
    """Record, in the transaction that saves the invoice, that it takes the late events on."""
    for part in parts:
        settle_on_invoice(session, part.priced, part.fees, now)

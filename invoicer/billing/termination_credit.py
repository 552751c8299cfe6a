"""What a termination gives back of a plan paid in advance: a credit note over the unused days.

It is owed once the subscription has ended and the invoice of the period is final, whichever comes later, and
issued in the transaction that brings about the later one. Both lock the customer and happen once, so the note
is issued once.
"""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.billing.credit_notes import (
    CreditNoteItemInput,
    CreditNoteReason,
    IssuedNotes,
    NoteShares,
    issued_notes,
    price_credit_note,
    write_credit_note,
)
from invoicer.billing.due_steps import subscription_terms
from invoicer.billing.invoice_building import InvoiceStatus
from invoicer.billing.proration import unused_fee
from invoicer.billing.subscription_input import TerminationCreditNote
from invoicer.db import Fee, Invoice, Subscription


def credit_unused_days(session: Session, subscription: Subscription, *, ended_at: datetime, now: datetime) -> None:
    """Credit what of its last fee in advance a subscription that ends at `ended_at` does not use.

    Nothing where the plan is paid in arrears, the wish is `skip`, or no final invoice bills the days after the
    end; a draft does so when it becomes final, see `credit_ended_subscriptions`. The customer is locked.
    Source: Lago subscriptions, termination.
    """
    if not _is_owed(subscription):
        return
    fee = session.scalars(
        select(Fee)
        .join(Fee.invoice)
        .where(
            Fee.subscription_id == subscription.id,
            Fee.fee_type == "subscription",
            Fee.period_from <= ended_at,
            Fee.period_to > ended_at,
            Invoice.status == InvoiceStatus.FINALIZED,
        )
        .order_by(Fee.created_at.desc())
        .limit(1)
    ).one_or_none()
    if fee is not None and fee.invoice is not None:
        _credit(session, fee.invoice, fee, ended_at, now)


def credit_ended_subscriptions(session: Session, invoice: Invoice, now: datetime) -> None:
    """Credit the unused days of the subscriptions on an invoice that ended before it became final, just now."""
    for fee in invoice.fees:
        if fee.fee_type != "subscription":
            continue
        # The fees may not be in the database yet; their subscriptions are, and in the session already.
        subscription = session.get_one(Subscription, fee.subscription_id)
        ended_at = subscription.terminated_at
        if ended_at is not None and fee.period_from <= ended_at < fee.period_to and _is_owed(subscription):
            _credit(session, invoice, fee, ended_at, now)


def _is_owed(subscription: Subscription) -> bool:
    wish = subscription.on_termination_credit_note or TerminationCreditNote.CREDIT
    return subscription.plan.pay_in_advance and wish == TerminationCreditNote.CREDIT


def _credit(session: Session, invoice: Invoice, fee: Fee, ended_at: datetime, now: datetime) -> None:
    amount = _unused_amount(fee, invoice, ended_at, issued_notes(session, invoice.id))
    if amount <= 0:
        return
    priced = price_credit_note(session, invoice, [CreditNoteItemInput(fee, amount)])
    if priced.amounts.total_amount_cents > 0:
        reason = CreditNoteReason.ORDER_CANCELLATION
        write_credit_note(session, invoice, priced, NoteShares(), reason=reason, description=None, now=now)


def _unused_amount(fee: Fee, invoice: Invoice, ended_at: datetime, issued: IssuedNotes) -> Decimal:
    """In minor units, unrounded. Days are those the fee was billed in, at the price they were billed at."""
    subscription = fee.subscription
    unused = unused_fee(
        subscription_terms(subscription, trial_started_at=None, timezone=ZoneInfo(invoice.timezone)),
        int(fee.amount_details["plan_amount_cents"]),
        ended_at,
        ended_by_upgrade=False,
        fee_amount_cents=fee.amount_cents,
        credited_cents=issued.cents_of(fee),
    )
    return min(unused.precise_amount_cents, fee.amount_cents - issued.precise_cents_of(fee))

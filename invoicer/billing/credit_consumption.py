"""What an invoice takes from the customer's credit notes when it becomes final."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.billing.credit_notes import CreditStatus
from invoicer.db import CreditNote, Invoice, InvoiceCredit


def consume_credit_notes(session: Session, invoice: Invoice, now: datetime) -> None:
    """Take what the invoice owes from the customer's available notes in its currency, the oldest first.

    Notes of the invoice itself are left alone. In the transaction that makes the invoice final, with the
    customer locked: a crash leaves neither, a second invoicer waits or finds the invoice final.
    Source: Lago invoices, order of computation.
    """
    owed = invoice.total_amount_cents
    if owed <= 0:
        return
    for note in _available_notes(session, invoice):
        taken = min(note.balance_amount_cents, owed)
        owed -= taken
        note.balance_amount_cents -= taken
        if note.balance_amount_cents == 0:
            note.credit_status = CreditStatus.CONSUMED
        note.updated_at = now
        invoice.credits.append(
            InvoiceCredit(
                id=uuid.uuid4(),
                credit_note=note,
                position=len(invoice.credits),
                amount_cents=taken,
                created_at=now,
                updated_at=now,
            )
        )
        if owed == 0:
            break
    invoice.credit_notes_amount_cents = sum(credit.amount_cents for credit in invoice.credits)
    invoice.total_amount_cents = owed


def with_available_notes(session: Session, customer_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the customers who have credit in any currency: most have none, and need not be asked one by one."""
    return set(
        session.scalars(
            select(CreditNote.customer_id)
            .where(CreditNote.customer_id.in_(customer_ids), CreditNote.credit_status == CreditStatus.AVAILABLE)
            .distinct()
        )
    )


def _available_notes(session: Session, invoice: Invoice) -> Sequence[CreditNote]:
    return session.scalars(
        select(CreditNote)
        .where(
            CreditNote.customer_id == invoice.customer_id,
            CreditNote.currency == invoice.currency,
            CreditNote.credit_status == CreditStatus.AVAILABLE,
            CreditNote.invoice_id != invoice.id,
        )
        .order_by(CreditNote.created_at, CreditNote.number)
        .execution_options(populate_existing=True)
    ).all()

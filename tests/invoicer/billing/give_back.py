"""Credit notes of a scenario: issued as the product issues them, and read back."""

from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from invoicer.billing.credit_notes import CreditNoteItemInput, CreditNoteReason, issue_credit_note
from invoicer.billing.finalization import lock_customer
from invoicer.db import CreditNote, Invoice, InvoiceCredit
from invoicer.db.session import transaction
from tests.invoicer.billing.scenario import Scenario


def give_back(scenario: Scenario, number: str, *amounts: str) -> CreditNote:
    """Issue a note over an invoice: minor units of its fees in their order, as credit."""
    with transaction(scenario.context.sessions) as session:
        invoice = session.scalars(select(Invoice).where(Invoice.number == number)).one()
        lock_customer(session, invoice.customer_id, waits=True)
        items = [
            CreditNoteItemInput(fee, Decimal(amount))
            for fee, amount in zip(invoice.fees, amounts, strict=False)
            if amount != "0"
        ]
        return issue_credit_note(
            session,
            invoice,
            items,
            reason=CreditNoteReason.OTHER,
            description=None,
            now=scenario.clock.now(),
        )


def told_notes(scenario: Scenario) -> list[str]:
    """Each note in one line: `number: before taxes + taxes = total, balance left, status`."""
    with transaction(scenario.context.sessions, reads_only=True) as session:
        rows = session.scalars(select(CreditNote).order_by(CreditNote.created_at, CreditNote.number)).all()
        return [
            f"{note.number}: {note.sub_total_excluding_taxes_amount_cents} + {note.taxes_amount_cents}"
            f" = {note.total_amount_cents}, {note.balance_amount_cents} {note.credit_status}"
            for note in rows
        ]


def told_credits(scenario: Scenario) -> list[str]:
    """What each invoice took: `invoice number < note number: amount`."""
    with transaction(scenario.context.sessions, reads_only=True) as session:
        rows = session.scalars(
            select(InvoiceCredit)
            .join(InvoiceCredit.invoice)
            .options(selectinload(InvoiceCredit.credit_note), selectinload(InvoiceCredit.invoice))
            .order_by(Invoice.billed_at, Invoice.sequential_id, InvoiceCredit.position)
        )
        return [f"{each.invoice.number} < {each.credit_note.number}: {each.amount_cents}" for each in rows]

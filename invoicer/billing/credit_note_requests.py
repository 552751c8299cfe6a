"""Credit notes as callers ask for them: created, estimated, found, changed and voided."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from invoicer.billing.credit_note_input import (
    CreditNoteChanges,
    CreditNoteEstimateInput,
    CreditNoteInput,
    ItemInput,
)
from invoicer.billing.credit_notes import (
    CreditNoteItemInput,
    CreditNoteReason,
    CreditStatus,
    IssuedNotes,
    NoteShares,
    PricedNote,
    RefundStatus,
    price_credit_note,
    write_credit_note,
)
from invoicer.billing.finalization import lock_customer
from invoicer.billing.invoice_changes import due_amount_cents, find_invoice, offset_invoice
from invoicer.catalog.fields import parse_id
from invoicer.catalog.metadata import change_metadata
from invoicer.db import CreditNote, Invoice
from invoicer.rating.arithmetic import round_half_up
from invoicer.rating.credit_notes import CreditNoteAmounts, estimated_amounts
from schemas.errors import InputError, NotAllowed, NotFound

TOLERANCE_CENTS = 1
"""What a caller's total may differ from ours: both round, and not in the same places."""


@dataclass(frozen=True)
class CreditNoteEstimate:
    """What a note would come to, and the most of it that may be credited, refunded or offset; minor units."""

    invoice: Invoice
    items: Sequence[CreditNoteItemInput]
    amounts: CreditNoteAmounts
    limits: NoteShares


def select_credit_notes(organization_id: uuid.UUID) -> Select[CreditNote]:
    """The organization's notes, newest first."""
    found = select(CreditNote).where(CreditNote.organization_id == organization_id)
    return found.order_by(CreditNote.issuing_date.desc(), CreditNote.created_at.desc(), CreditNote.number.desc())


def find_credit_note(session: Session, organization_id: uuid.UUID, credit_note_id: str) -> CreditNote:
    """The note with that id, as the database has it now.

    Raises: NotFound.
    """
    wanted = parse_id(credit_note_id, "credit_note")
    found = select_credit_notes(organization_id).where(CreditNote.id == wanted)
    note = session.scalar(found.execution_options(populate_existing=True))
    if note is None:
        raise NotFound("credit_note")
    return note


def create_credit_note(
    session: Session, organization_id: uuid.UUID, given: CreditNoteInput, now: datetime
) -> CreditNote:
    """Give back the items as credit, refund and offset, as asked for.

    The total is what the items come to; where the caller rounded otherwise, the credit differs by what is
    missing, else the refund or the offset.
    Raises: NotFound for an invoice or a fee; InputError naming everything that is wrong with the amounts.
    Source: Lago credit notes, creation.
    """
    invoice = find_invoice(session, organization_id, given.invoice_id)
    lock_customer(session, invoice.customer_id, waits=True)
    invoice = find_invoice(session, organization_id, given.invoice_id)
    priced = price_credit_note(session, invoice, _items(invoice, given.items))
    limits = _limits(invoice, priced.issued)
    _check_amounts(invoice, given, priced, limits)
    shares = _shares(given, priced.amounts.total_amount_cents, limits)
    note = write_credit_note(
        session,
        invoice,
        priced,
        shares,
        reason=given.reason or CreditNoteReason.OTHER,
        description=given.description,
        now=now,
    )
    note.metadata_values = dict(given.metadata) if given.metadata else None
    if shares.offset_amount_cents:
        offset_invoice(invoice, shares.offset_amount_cents, now)
    session.flush()
    return note


def estimate_credit_note(
    session: Session, organization_id: uuid.UUID, given: CreditNoteEstimateInput
) -> CreditNoteEstimate:
    """What the items would come to; nothing is written.

    Raises: as `create_credit_note`.
    Source: Lago credit notes, estimate.
    """
    invoice = find_invoice(session, organization_id, given.invoice_id)
    priced = price_credit_note(session, invoice, _items(invoice, given.items))
    amounts = estimated_amounts(priced.amounts)
    limits = _limits(invoice, priced.issued)
    total = amounts.total_amount_cents
    capped = NoteShares(
        refund_amount_cents=min(total, limits.refund_amount_cents),
        offset_amount_cents=min(total, limits.offset_amount_cents),
    )
    return CreditNoteEstimate(invoice, priced.items, amounts, capped)


def update_credit_note(session: Session, note: CreditNote, changes: CreditNoteChanges, now: datetime) -> None:
    """Say what became of the refund, and replace the notes.

    Raises: InputError for the status of a refund there is none of.
    """
    if changes.refund_status is not None:
        if not note.refund_amount_cents:
            raise InputError({"refund_status": ["value_is_invalid"]})
        note.refund_status = changes.refund_status
        note.refunded_at = now if changes.refund_status is RefundStatus.SUCCEEDED else None
    if "metadata" in changes.model_fields_set:
        change_metadata(session, note, changes.metadata, now)
    note.updated_at = now
    session.flush()


def void_credit_note(
    session: Session, organization_id: uuid.UUID, credit_note_id: str, now: datetime
) -> CreditNote:
    """Take back what no invoice has taken of a note's credit yet. What was given back of the fees stays so.

    Raises: NotFound; NotAllowed when nothing is left.
    Source: Lago credit notes, void.
    """
    note = find_credit_note(session, organization_id, credit_note_id)
    lock_customer(session, note.customer_id, waits=True)
    note = find_credit_note(session, organization_id, credit_note_id)
    if note.balance_amount_cents <= 0:
        raise NotAllowed("no_voidable_amount")
    note.balance_amount_cents = 0
    note.credit_status = CreditStatus.VOIDED
    note.voided_at = note.updated_at = now
    session.flush()
    return note


def _items(invoice: Invoice, given: Sequence[ItemInput]) -> list[CreditNoteItemInput]:
    fees = {fee.id: fee for fee in invoice.fees}
    if any(item.fee_id not in fees for item in given):
        raise NotFound("fee")
    return [CreditNoteItemInput(fees[item.fee_id], Decimal(item.amount_cents)) for item in given]


def _limits(invoice: Invoice, issued: IssuedNotes) -> NoteShares:
    """The most that may be refunded (what was paid and not refunded yet) and offset (what is still due)."""
    refunded = sum(note.refund_amount_cents for note in issued.notes)
    return NoteShares(
        refund_amount_cents=max(0, invoice.total_paid_amount_cents - refunded),
        offset_amount_cents=max(0, due_amount_cents(invoice)),
    )


def _check_amounts(invoice: Invoice, given: CreditNoteInput, priced: PricedNote, limits: NoteShares) -> None:
    credit, refund, offset = _requested(given)
    left = priced.issued.remainder_of(invoice)
    details: dict[str, object] = {}
    if credit > left.sub_total_excluding_taxes_cents + left.taxes_cents + TOLERANCE_CENTS:
        details["credit_amount_cents"] = ["higher_than_remaining_invoice_amount"]
    if refund > limits.refund_amount_cents:
        is_unpaid = invoice.total_paid_amount_cents == 0
        code = "cannot_refund_unpaid_invoice" if is_unpaid else "higher_than_remaining_invoice_amount"
        details["refund_amount_cents"] = [code]
    if offset > limits.offset_amount_cents:
        details["offset_amount_cents"] = ["higher_than_remaining_invoice_amount"]
    total = credit + refund + offset
    if total == 0:
        details["base"] = ["total_amount_must_be_positive"]
    elif not _matches(total, priced.amounts):
        details["base"] = ["does_not_match_item_amounts"]
    if details:
        raise InputError(details)


def _matches(total: int, amounts: CreditNoteAmounts) -> bool:
    """Ours may be below the precise total where earlier notes left less of the taxes."""
    precise = int(round_half_up(amounts.precise_total_amount_cents))
    return min(abs(total - precise), abs(total - amounts.total_amount_cents)) <= TOLERANCE_CENTS


def _shares(given: CreditNoteInput, total: int, limits: NoteShares) -> NoteShares:
    """Refund and offset as asked for; they take up the rounding where no credit does, within their limits."""
    credit, wanted_refund, wanted_offset = _requested(given)
    refund = min(wanted_refund, total)
    offset = min(wanted_offset, total - refund)
    rest = total - refund - offset
    if credit == 0 and wanted_refund:
        refund = min(refund + rest, limits.refund_amount_cents)
    elif credit == 0:
        offset = min(offset + rest, limits.offset_amount_cents)
    return NoteShares(refund, offset)


def _requested(given: CreditNoteInput) -> tuple[int, int, int]:
    return (given.credit_amount_cents or 0, given.refund_amount_cents or 0, given.offset_amount_cents or 0)

"""Changes of invoices that change no amount: notes, and whether it was paid."""

import uuid
from datetime import datetime
from typing import Annotated, assert_never
from zoneinfo import ZoneInfo

from pydantic import Field
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from invoicer.billing.invoice_building import InvoiceStatus, PaymentStatus
from invoicer.billing.invoice_dates import overdue_at
from invoicer.catalog.fields import RequiredText, ResourceInput, parse_id
from invoicer.db import Invoice, InvoiceMetadata
from schemas.errors import InputError, NotAllowed, NotFound

METADATA_MAX = 5
VISIBLE = (InvoiceStatus.DRAFT, InvoiceStatus.FINALIZED, InvoiceStatus.VOIDED)
"""Statuses of invoices that are shown."""


class InvoiceMetadataInput(ResourceInput):
    """A note; with the id of an existing one it replaces that."""

    id: uuid.UUID | None = None
    key: Annotated[RequiredText, Field(max_length=20)]
    value: Annotated[str, Field(max_length=140)]


class InvoiceChanges(ResourceInput):
    """Changes of an invoice; only what is named changes."""

    payment_status: PaymentStatus | None = None
    metadata: list[InvoiceMetadataInput] | None = None


def select_invoices(organization_id: uuid.UUID) -> Select[Invoice]:
    """The organization's visible invoices, by issuing date, newest first."""
    visible = select(Invoice).where(Invoice.organization_id == organization_id, Invoice.status.in_(VISIBLE))
    return visible.order_by(Invoice.issuing_date.desc(), Invoice.created_at.desc(), Invoice.id)


def find_invoice(session: Session, organization_id: uuid.UUID, invoice_id: str) -> Invoice:
    """The visible invoice with that id, as the database has it now.

    Raises: NotFound.
    """
    found = select_invoices(organization_id).where(Invoice.id == parse_id(invoice_id, "invoice"))
    invoice = session.scalar(found.execution_options(populate_existing=True))
    if invoice is None:
        raise NotFound("invoice")
    return invoice


def update_invoice(invoice: Invoice, changes: InvoiceChanges, now: datetime) -> None:
    """Change notes and payment status.

    Raises: NotAllowed for a voided invoice, and for the payment of a draft; InputError for too many notes.
    Source: Lago invoices, operations.
    """
    if invoice.status == InvoiceStatus.VOIDED:
        raise NotAllowed("update_on_voided_invoice")
    if changes.metadata is not None:
        _replace_metadata(invoice, changes.metadata, now)
    if changes.payment_status is not None:
        if invoice.status == InvoiceStatus.DRAFT:
            raise NotAllowed("payment_status_update_on_draft_invoice")
        _set_payment(invoice, changes.payment_status, now)
    invoice.updated_at = now


def due_amount_cents(invoice: Invoice) -> int:
    """What is still to be paid, in minor units: the total less payments and offsets; 0 when voided.

    Source: Lago invoices, amount fields.
    """
    if invoice.status == InvoiceStatus.VOIDED:
        return 0
    settled = invoice.total_paid_amount_cents + invoice.total_offsetted_credit_note_amount_cents
    return invoice.total_amount_cents - settled


def offset_invoice(invoice: Invoice, amount_cents: int, now: datetime) -> None:
    """Take a credit note off what is due; an invoice that owes nothing after that counts as paid.

    Source: Lago payments.
    """
    invoice.total_offsetted_credit_note_amount_cents += amount_cents
    invoice.updated_at = now
    if due_amount_cents(invoice) == 0:
        _set_payment(invoice, PaymentStatus.SUCCEEDED, now)


def _set_payment(invoice: Invoice, status: PaymentStatus, now: datetime) -> None:
    """Paid in full, less what was offset, or not at all: there are no partial payments. The fees follow."""
    invoice.payment_status = status
    is_paid = status is PaymentStatus.SUCCEEDED
    owed = invoice.total_amount_cents - invoice.total_offsetted_credit_note_amount_cents
    invoice.total_paid_amount_cents = owed if is_paid else 0
    if is_paid:
        invoice.payment_overdue = False
        invoice.payment_overdue_at = None
    elif not invoice.payment_overdue and invoice.payment_dispute_lost_at is None:
        invoice.payment_overdue_at = overdue_at(invoice.payment_due_date, ZoneInfo(invoice.timezone))
    for fee in invoice.fees:
        fee.payment_status = status
        fee.updated_at = now
        match status:
            case PaymentStatus.SUCCEEDED:
                fee.succeeded_at = now
            case PaymentStatus.FAILED:
                fee.failed_at = now
            case PaymentStatus.PENDING:
                fee.succeeded_at = fee.failed_at = None
            case unreachable:
                assert_never(unreachable)


def _replace_metadata(invoice: Invoice, given: list[InvoiceMetadataInput], now: datetime) -> None:
    """Notes named by id are changed, new ones made, the others removed."""
    if len(given) > METADATA_MAX:
        raise InputError({"metadata": ["invalid_count"]})
    if len({each.key for each in given}) != len(given):
        raise InputError({"key": ["value_already_exist"]})
    known = {entry.id: entry for entry in invoice.metadata_entries}
    entries: list[InvoiceMetadata] = []
    for each in given:
        entry = known.get(each.id) if each.id is not None else None
        entry = entry or InvoiceMetadata(id=uuid.uuid4(), created_at=now)
        entry.key, entry.value, entry.updated_at = each.key, each.value, now
        entries.append(entry)
    invoice.metadata_entries = entries

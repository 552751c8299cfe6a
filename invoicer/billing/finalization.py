"""Makes a draft final: its number, its dates, and what it means for payment."""

import uuid
from collections.abc import Collection
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from invoicer.billing.billing_items import InvoicingReason
from invoicer.billing.credit_consumption import consume_credit_notes
from invoicer.billing.invoice_building import InvoiceStatus, PaymentStatus, check_totals
from invoicer.billing.invoice_dates import finalization_date, invoice_terms, overdue_at, payment_due_date
from invoicer.billing.local_days import local_day
from invoicer.billing.termination_credit import credit_ended_subscriptions
from invoicer.db import Customer, Invoice, Organization

_LOCKED_ORGANIZATIONS = "millrace_locked_organizations"


def lock_customer(session: Session, customer_id: uuid.UUID, *, waits: bool = False) -> Customer | None:
    """Claim a customer for billing in this transaction; None where another invoicer has it.

    `waits` for the other one instead. The lock lets others read the row and refer to it, but not bill it.
    SQLite has no row locks: there the transaction itself is alone.
    """
    return session.scalar(
        select(Customer)
        .where(Customer.id == customer_id)
        .with_for_update(skip_locked=not waits, key_share=True, of=Customer)
        .execution_options(populate_existing=True)
    )


def lock_customers(session: Session, customer_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Customer]:
    """Claim those customers that no other invoicer has, as `lock_customer` does; by id."""
    free = session.scalars(
        select(Customer)
        .where(Customer.id.in_(customer_ids))
        .order_by(Customer.id)
        .options(selectinload(Customer.organization))
        .with_for_update(skip_locked=True, key_share=True, of=Customer)
        .execution_options(populate_existing=True)
    )
    return {customer.id: customer for customer in free}


def finalize_invoice(
    session: Session, customer: Customer, invoice: Invoice, *, now: datetime, has_credit: bool = True
) -> None:
    """Make an invoice final that was just billed, as of the instant it was due; see `finalize_stored_draft`.

    `has_credit` False: the caller knows that the customer has no credit note to take from.
    """
    _settle(session, customer, invoice, at=invoice.billed_at, now=now, has_credit=has_credit)


def finalize_stored_draft(
    session: Session, customer: Customer, draft: Invoice, *, at: datetime, now: datetime
) -> None:
    """Make a draft final at the instant `at`, which gives it its dates.

    Where nothing is owed and nobody wants to see it, it is closed instead and gets no number. `customer` is
    locked by the caller; the organization is locked here where it counts the numbers. They have no gap,
    because a number is given only in the transaction that makes the invoice final.
    Source: Lago invoices, numbering; zero amount invoices; dates.
    """
    is_periodic = any(each.invoicing_reason == InvoicingReason.PERIODIC for each in draft.billing_periods)
    terms = invoice_terms(customer)
    draft.issuing_date = finalization_date(terms, draft.issuing_date, at, is_periodic=is_periodic)
    draft.payment_due_date = payment_due_date(draft.issuing_date, draft.net_payment_term)
    _settle(session, customer, draft, at=at, now=now)


def draft_number(organization: Organization) -> str:
    """What stands for the number while there is none."""
    return f"{organization.document_number_prefix}-DRAFT"


def _issues_zero_amount(customer: Customer) -> bool:
    match customer.finalize_zero_amount_invoice:
        case "skip":
            return False
        case "finalize":
            return True
        case _:
            return customer.organization.finalize_zero_amount_invoice


def _settle(
    session: Session,
    customer: Customer,
    invoice: Invoice,
    *,
    at: datetime,
    now: datetime,
    has_credit: bool = True,
) -> None:
    invoice.expected_finalization_at = None
    invoice.updated_at = now
    if invoice.fees_amount_cents == 0 and not _issues_zero_amount(customer):
        invoice.status = InvoiceStatus.CLOSED
        return
    _number(session, invoice, customer, at)
    if has_credit:
        consume_credit_notes(session, invoice, now)
    check_totals(invoice)
    invoice.status = InvoiceStatus.FINALIZED
    invoice.finalized_at = now
    if invoice.total_amount_cents == 0:
        invoice.payment_status = PaymentStatus.SUCCEEDED
    else:
        invoice.payment_overdue_at = overdue_at(invoice.payment_due_date, ZoneInfo(invoice.timezone))
    credit_ended_subscriptions(session, invoice, now)


def _number(session: Session, invoice: Invoice, customer: Customer, at: datetime) -> None:
    customer.last_invoice_sequential_id += 1
    invoice.sequential_id = customer.last_invoice_sequential_id
    organization = customer.organization
    if organization.document_numbering == "per_customer":
        prefix = organization.document_number_prefix
        invoice.number = f"{prefix}-{customer.sequential_id:03d}-{invoice.sequential_id:03d}"
        return
    organization = _lock_organization(session, organization.id)
    organization.last_invoice_sequential_id += 1
    invoice.organization_sequential_id = organization.last_invoice_sequential_id
    month = local_day(at, ZoneInfo(organization.timezone)).strftime("%Y%m")
    number = f"{organization.document_number_prefix}-{month}-{invoice.organization_sequential_id:03d}"
    invoice.number = number


def _lock_organization(session: Session, organization_id: uuid.UUID) -> Organization:
    """The row as it is now, locked until the transaction ends: asked for once in a session, which is one."""
    locked: dict[uuid.UUID, Organization] = session.info.setdefault(_LOCKED_ORGANIZATIONS, {})
    if organization_id not in locked:
        locked[organization_id] = session.scalars(
            select(Organization)
            .where(Organization.id == organization_id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        ).one()
    return locked[organization_id]

"""Routes of invoices."""

import uuid

from invoicer.api.caller import Caller
from invoicer.api.dependencies import CurrentContext, CurrentOrganization, DbSession, Now
from invoicer.api.invoice_search import InvoiceSearch
from invoicer.api.outputs.invoice import InvoiceAnswer, InvoiceInFullOutput, InvoiceOutput, InvoicesAnswer
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.billing.draft_refresh import finalize_draft, refresh_draft, wait_until_counted
from invoicer.billing.finalization import lock_customer
from invoicer.billing.invoice_building import InvoiceStatus
from invoicer.billing.invoice_changes import InvoiceChanges, find_invoice, update_invoice
from invoicer.catalog.customers import find_customer
from invoicer.context import Context
from invoicer.db import Invoice, Organization
from invoicer.db.session import transaction
from invoicer.jobs.late_event_jobs import know_late_events
from schemas.errors import InputError, NotFound

router = make_router("invoices")


class InvoiceChangesBody(RootedBody):
    """Body of a change."""

    invoice: InvoiceChanges


@router.get("/invoices")
def list_page(
    organization: CurrentOrganization, session: DbSession, pagination: Paginated, search: InvoiceSearch
) -> InvoicesAnswer:
    """List invoices by issuing date, newest first."""
    page = paginate(session, search.select(organization.id), pagination)
    return InvoicesAnswer(invoices=[InvoiceOutput.of(row) for row in page.rows], meta=page.meta)


@router.get("/customers/{external_customer_id:path}/invoices")
def list_of_customer(
    external_customer_id: str,
    organization: CurrentOrganization,
    session: DbSession,
    pagination: Paginated,
    search: InvoiceSearch,
) -> InvoicesAnswer:
    """List the invoices of a customer."""
    customer = find_customer(session, organization.id, external_customer_id)
    wanted = search.select(organization.id).where(Invoice.customer_id == customer.id)
    page = paginate(session, wanted, pagination)
    return InvoicesAnswer(invoices=[InvoiceOutput.of(row) for row in page.rows], meta=page.meta)


@router.post("/invoices")
def create_one_off(_organization: CurrentOrganization) -> None:
    """Refused: add-ons and one-off invoices are not offered."""
    raise InputError({"base": ["not_supported"]})


@router.get("/invoices/{lago_id}")
def show(lago_id: str, organization: CurrentOrganization, session: DbSession, now: Now) -> InvoiceAnswer:
    """Show an invoice with its fees."""
    return _answer(find_invoice(session, organization.id, lago_id), now)


@router.put("/invoices/{lago_id}")
def update(
    lago_id: str, body: InvoiceChangesBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> InvoiceAnswer:
    """Change the notes of an invoice, or whether it was paid."""
    lock_customer(session, find_invoice(session, organization.id, lago_id).customer_id, waits=True)
    invoice = find_invoice(session, organization.id, lago_id)  # as a credit note just written left it
    update_invoice(invoice, body.invoice, now)
    session.flush()
    return _answer(invoice, now)


@router.put("/invoices/{lago_id}/refresh")
def refresh(lago_id: str, organization: Caller, context: CurrentContext, now: Now) -> InvoiceAnswer:
    """Recompute a draft from the usage counted by now; any other invoice is answered as it is."""
    invoice = _find(context, organization, lago_id)
    know_late_events(context)
    refresh_draft(context, invoice.id)
    return _reread(context, invoice.id, now)


@router.put("/invoices/{lago_id}/finalize")
def finalize(lago_id: str, organization: Caller, context: CurrentContext, now: Now) -> InvoiceAnswer:
    """Recompute a draft and make it final, once all usage accepted until now is counted.

    One that comes to nothing and is not issued is answered this once, as `closed`.
    """
    invoice = _find(context, organization, lago_id)
    if invoice.status != InvoiceStatus.DRAFT:
        raise NotFound("invoice")
    wait_until_counted(context, now)
    know_late_events(context)
    finalize_draft(context, invoice.id, at=now)
    return _reread(context, invoice.id, now)


@router.post("/invoices/{lago_id}/download")
def download(lago_id: str, organization: CurrentOrganization, session: DbSession, now: Now) -> InvoiceAnswer:
    """Answer a final invoice; no PDF is made, `file_url` is null."""
    invoice = find_invoice(session, organization.id, lago_id)
    if invoice.status != InvoiceStatus.FINALIZED:
        raise NotFound("invoice")
    return _answer(invoice, now)


def _find(context: Context, organization: Organization, lago_id: str) -> Invoice:
    with transaction(context.sessions, reads_only=True) as session:
        return find_invoice(session, organization.id, lago_id)


def _reread(context: Context, invoice_id: uuid.UUID, now: Now) -> InvoiceAnswer:
    with transaction(context.sessions, reads_only=True) as session:
        return _answer(session.get_one(Invoice, invoice_id), now)


def _answer(invoice: Invoice, now: Now) -> InvoiceAnswer:
    return InvoiceAnswer(invoice=InvoiceInFullOutput.in_full(invoice, now))

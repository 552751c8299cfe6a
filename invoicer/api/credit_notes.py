"""Routes of credit notes."""

from invoicer.api.credit_note_search import CreditNoteSearch
from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.credit_note import (
    CreditNoteAnswer,
    CreditNoteOutput,
    CreditNotesAnswer,
    CreditNoteWithCustomerOutput,
)
from invoicer.api.outputs.credit_note_estimate import CreditNoteEstimateAnswer, CreditNoteEstimateOutput
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.billing.credit_note_input import CreditNoteChanges, CreditNoteEstimateInput, CreditNoteInput
from invoicer.billing.credit_note_requests import (
    create_credit_note,
    estimate_credit_note,
    find_credit_note,
    update_credit_note,
    void_credit_note,
)
from invoicer.catalog.customers import find_customer
from invoicer.db import CreditNote

router = make_router("credit notes")


class CreditNoteBody(RootedBody):
    """Body of a creation."""

    credit_note: CreditNoteInput


class CreditNoteEstimateBody(RootedBody):
    """Body of an estimate."""

    credit_note: CreditNoteEstimateInput


class CreditNoteChangesBody(RootedBody):
    """Body of a change."""

    credit_note: CreditNoteChanges


@router.post("/credit_notes")
def create(
    body: CreditNoteBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> CreditNoteAnswer:
    """Give back fees of a final invoice: as credit for invoices to come, as a refund, or off what is due.

    A refund is recorded as pending: whoever pays it back says so with a PUT.
    """
    return _answer(create_credit_note(session, organization.id, body.credit_note, now))


@router.post("/credit_notes/estimate")
def estimate(
    body: CreditNoteEstimateBody, organization: CurrentOrganization, session: DbSession
) -> CreditNoteEstimateAnswer:
    """Show what a note would come to."""
    estimated = estimate_credit_note(session, organization.id, body.credit_note)
    return CreditNoteEstimateAnswer(estimated_credit_note=CreditNoteEstimateOutput.of(estimated))


@router.get("/credit_notes")
def list_page(
    organization: CurrentOrganization, session: DbSession, pagination: Paginated, search: CreditNoteSearch
) -> CreditNotesAnswer:
    """List credit notes by issuing date, newest first."""
    page = paginate(session, search.select(organization.id), pagination)
    return CreditNotesAnswer(credit_notes=[CreditNoteOutput.of(row) for row in page.rows], meta=page.meta)


@router.get("/customers/{external_customer_id:path}/credit_notes")
def list_of_customer(
    external_customer_id: str,
    organization: CurrentOrganization,
    session: DbSession,
    pagination: Paginated,
    search: CreditNoteSearch,
) -> CreditNotesAnswer:
    """List the credit notes of a customer."""
    customer = find_customer(session, organization.id, external_customer_id)
    wanted = search.select(organization.id).where(CreditNote.customer_id == customer.id)
    page = paginate(session, wanted, pagination)
    return CreditNotesAnswer(credit_notes=[CreditNoteOutput.of(row) for row in page.rows], meta=page.meta)


@router.get("/credit_notes/{lago_id}")
def show(lago_id: str, organization: CurrentOrganization, session: DbSession) -> CreditNoteAnswer:
    """Show a credit note."""
    return _answer(find_credit_note(session, organization.id, lago_id))


@router.put("/credit_notes/{lago_id}")
def update(
    lago_id: str, body: CreditNoteChangesBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> CreditNoteAnswer:
    """Say what became of a refund, or replace the notes."""
    note = find_credit_note(session, organization.id, lago_id)
    update_credit_note(session, note, body.credit_note, now)
    return _answer(note)


@router.put("/credit_notes/{lago_id}/void")
def void(lago_id: str, organization: CurrentOrganization, session: DbSession, now: Now) -> CreditNoteAnswer:
    """Take back the credit that no invoice has taken yet."""
    return _answer(void_credit_note(session, organization.id, lago_id, now))


def _answer(note: CreditNote) -> CreditNoteAnswer:
    return CreditNoteAnswer(credit_note=CreditNoteWithCustomerOutput.of(note))

"""Routes of fees."""

import uuid

from sqlalchemy.orm import Session

from invoicer.api.dependencies import CurrentOrganization, DbSession
from invoicer.api.fee_search import FeeSearch, Search
from invoicer.api.outputs.fee import FeeAnswer, FeeOutput, FeesAnswer
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.catalog.fields import parse_id
from invoicer.db import Fee
from schemas.errors import NotAllowed, NotFound

router = make_router("fees")


@router.get("/fees")
def list_page(
    organization: CurrentOrganization, session: DbSession, pagination: Paginated, search: FeeSearch
) -> FeesAnswer:
    """List fees, oldest first."""
    page = paginate(session, search.select(organization.id), pagination)
    return FeesAnswer(fees=[FeeOutput.of(row) for row in page.rows], meta=page.meta)


@router.get("/fees/{lago_id}")
def show(lago_id: str, organization: CurrentOrganization, session: DbSession) -> FeeAnswer:
    """Show a fee."""
    return FeeAnswer(fee=FeeOutput.of(find_fee(session, organization.id, lago_id)))


@router.put("/fees/{lago_id}")
def update(lago_id: str, organization: CurrentOrganization, session: DbSession) -> FeeAnswer:
    """Refused: every fee is on an invoice, whose payment is what changes."""
    find_fee(session, organization.id, lago_id)
    raise NotAllowed("invoiced_fee")


@router.delete("/fees/{lago_id}")
def delete(lago_id: str, organization: CurrentOrganization, session: DbSession) -> FeeAnswer:
    """Refused: every fee is on an invoice."""
    find_fee(session, organization.id, lago_id)
    raise NotAllowed("invoiced_fee")


def find_fee(session: Session, organization_id: uuid.UUID, lago_id: str) -> Fee:
    """The fee with that id on a visible invoice.

    Raises: NotFound, also for a text that is no id.
    """
    fee = session.scalar(Search().select(organization_id).where(Fee.id == parse_id(lago_id, "fee")))
    if fee is None:
        raise NotFound("fee")
    return fee

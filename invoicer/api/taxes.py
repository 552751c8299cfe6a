"""Routes of taxes."""

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.tax import TaxAnswer, TaxesAnswer, TaxOutput
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.catalog.tax_input import TaxChanges, TaxInput
from invoicer.catalog.taxes import create_tax, delete_tax, find_tax, select_taxes, update_tax

router = make_router("taxes")


class TaxBody(RootedBody):
    """Body of a creation."""

    tax: TaxInput


class TaxChangesBody(RootedBody):
    """Body of a change."""

    tax: TaxChanges


@router.post("/taxes")
def create(body: TaxBody, organization: CurrentOrganization, session: DbSession, now: Now) -> TaxAnswer:
    """Create a tax."""
    return TaxAnswer(tax=TaxOutput.of(create_tax(session, organization.id, body.tax, now)))


@router.get("/taxes")
def list_page(organization: CurrentOrganization, session: DbSession, pagination: Paginated) -> TaxesAnswer:
    """List taxes, newest first."""
    page = paginate(session, select_taxes(organization.id), pagination)
    return TaxesAnswer(taxes=[TaxOutput.of(tax) for tax in page.rows], meta=page.meta)


@router.get("/taxes/{code:path}")
def show(code: str, organization: CurrentOrganization, session: DbSession) -> TaxAnswer:
    """Show a tax."""
    return TaxAnswer(tax=TaxOutput.of(find_tax(session, organization.id, code)))


@router.put("/taxes/{code:path}")
def update(
    code: str, body: TaxChangesBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> TaxAnswer:
    """Change a tax."""
    tax = find_tax(session, organization.id, code)
    update_tax(session, tax, body.tax, now)
    return TaxAnswer(tax=TaxOutput.of(tax))


@router.delete("/taxes/{code:path}")
def delete(code: str, organization: CurrentOrganization, session: DbSession, now: Now) -> TaxAnswer:
    """Delete a tax."""
    tax = find_tax(session, organization.id, code)
    delete_tax(session, tax, now)
    return TaxAnswer(tax=TaxOutput.of(tax))

"""Routes of the organization a key belongs to."""

from sqlalchemy.orm import Session

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.organization import OrganizationAnswer, OrganizationOutput
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.billing.subscription_changes import reschedule_customer
from invoicer.catalog.customers import select_customers_without_timezone
from invoicer.catalog.organization_input import OrganizationChanges
from invoicer.catalog.organizations import update_organization
from invoicer.catalog.taxes import select_organization_taxes
from invoicer.db import Organization

router = make_router("organizations")


class OrganizationChangesBody(RootedBody):
    """Body of a change."""

    organization: OrganizationChanges


@router.get("/organizations")
def show(organization: CurrentOrganization, session: DbSession) -> OrganizationAnswer:
    """Show the organization."""
    return _answer(session, organization)


@router.put("/organizations")
def update(
    body: OrganizationChangesBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> OrganizationAnswer:
    """Change the organization."""
    update_organization(session, organization, body.organization, now)
    if body.organization.timezone is not None:
        for customer in session.scalars(select_customers_without_timezone(organization.id)):
            reschedule_customer(session, customer)
    return _answer(session, organization)


def _answer(session: Session, organization: Organization) -> OrganizationAnswer:
    taxes = session.scalars(select_organization_taxes(organization.id)).all()
    return OrganizationAnswer(organization=OrganizationOutput.of(organization, taxes))

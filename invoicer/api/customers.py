"""Routes of customers."""

from invoicer.api.customer_search import CustomerSearch
from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.customer import CustomerAnswer, CustomerOutput, CustomersAnswer
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.billing.subscription_changes import reschedule_customer, terminate_all_subscriptions
from invoicer.catalog.customer_input import CustomerInput
from invoicer.catalog.customers import delete_customer, find_customer, upsert_customer, with_details

router = make_router("customers")


class CustomerBody(RootedBody):
    """Body of a creation or change."""

    customer: CustomerInput


@router.post("/customers")
def create_or_update(
    body: CustomerBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> CustomerAnswer:
    """Create a customer, or change the one with that external id."""
    customer = upsert_customer(session, organization, body.customer, now)
    if "timezone" in body.customer.model_fields_set:
        reschedule_customer(session, customer)
    return CustomerAnswer(customer=CustomerOutput.of(customer))


@router.get("/customers")
def list_page(
    organization: CurrentOrganization, session: DbSession, pagination: Paginated, search: CustomerSearch
) -> CustomersAnswer:
    """List customers, newest first."""
    page = paginate(session, with_details(search.select(organization.id)), pagination)
    return CustomersAnswer(customers=[CustomerOutput.of(customer) for customer in page.rows], meta=page.meta)


@router.get("/customers/{external_id:path}")
def show(external_id: str, organization: CurrentOrganization, session: DbSession) -> CustomerAnswer:
    """Show a customer."""
    return CustomerAnswer(customer=CustomerOutput.of(find_customer(session, organization.id, external_id)))


@router.delete("/customers/{external_id:path}")
def delete(external_id: str, organization: CurrentOrganization, session: DbSession, now: Now) -> CustomerAnswer:
    """Delete a customer; its subscriptions end now and the external id may be used again."""
    customer = find_customer(session, organization.id, external_id)
    terminate_all_subscriptions(session, customer, now)
    delete_customer(session, customer, now)
    return CustomerAnswer(customer=CustomerOutput.of(customer))

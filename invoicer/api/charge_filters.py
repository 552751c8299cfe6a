"""Routes of the filters of a charge."""

from sqlalchemy.orm import Session

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.charge import ChargeFilterAnswer, ChargeFilterOutput, ChargeFiltersAnswer
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.catalog.charge_filters import find_filter, select_filters
from invoicer.catalog.charge_input import ChargeFilterInput
from invoicer.catalog.charges import find_charge
from invoicer.catalog.plan_charges import create_charge_filter, delete_charge_filter, update_charge_filter
from invoicer.catalog.plans import find_plan
from invoicer.db import Charge, Organization

router = make_router("plans")
_FILTERS = "/plans/{code:path}/charges/{charge_code:path}/filters"
_FILTER = _FILTERS + "/{filter_id}"


class ChargeFilterBody(RootedBody):
    """Body of a creation or change."""

    filter: ChargeFilterInput


@router.post(_FILTERS)
def create(
    code: str,
    charge_code: str,
    body: ChargeFilterBody,
    organization: CurrentOrganization,
    session: DbSession,
    now: Now,
) -> ChargeFilterAnswer:
    """Add a filter to a charge."""
    charge = _charge(session, organization, code, charge_code)
    created = create_charge_filter(session, charge, body.filter, now)
    return ChargeFilterAnswer(filter=ChargeFilterOutput.of(created))


@router.get(_FILTERS)
def list_page(
    code: str, charge_code: str, organization: CurrentOrganization, session: DbSession, pagination: Paginated
) -> ChargeFiltersAnswer:
    """List the filters of a charge, newest first."""
    charge = _charge(session, organization, code, charge_code)
    page = paginate(session, select_filters(charge), pagination)
    return ChargeFiltersAnswer(filters=[ChargeFilterOutput.of(each) for each in page.rows], meta=page.meta)


@router.get(_FILTER)
def show(
    code: str, charge_code: str, filter_id: str, organization: CurrentOrganization, session: DbSession
) -> ChargeFilterAnswer:
    """Show a filter."""
    charge = _charge(session, organization, code, charge_code)
    return ChargeFilterAnswer(filter=ChargeFilterOutput.of(find_filter(session, charge, filter_id)))


@router.put(_FILTER)
def update(
    code: str,
    charge_code: str,
    filter_id: str,
    body: ChargeFilterBody,
    organization: CurrentOrganization,
    session: DbSession,
    now: Now,
) -> ChargeFilterAnswer:
    """Change a filter."""
    charge = _charge(session, organization, code, charge_code)
    existing = find_filter(session, charge, filter_id)
    update_charge_filter(session, charge, existing, body.filter, now)
    return ChargeFilterAnswer(filter=ChargeFilterOutput.of(existing))


@router.delete(_FILTER)
def delete(
    code: str, charge_code: str, filter_id: str, organization: CurrentOrganization, session: DbSession, now: Now
) -> ChargeFilterAnswer:
    """Take a filter off a charge."""
    charge = _charge(session, organization, code, charge_code)
    existing = find_filter(session, charge, filter_id)
    delete_charge_filter(session, charge, existing, now)
    return ChargeFilterAnswer(filter=ChargeFilterOutput.of(existing))


def _charge(session: Session, organization: Organization, code: str, charge_code: str) -> Charge:
    return find_charge(session, find_plan(session, organization.id, code), charge_code)

"""Routes of the charges of a plan."""

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.charge import ChargeAnswer, ChargeOutput, ChargesAnswer
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.catalog.charge_input import ChargeChanges, ChargeInput
from invoicer.catalog.charges import find_charge, select_charges, with_details
from invoicer.catalog.plan_charges import create_plan_charge, delete_plan_charge, update_plan_charge
from invoicer.catalog.plans import find_plan

router = make_router("plans")
_CHARGES = "/plans/{code:path}/charges"
_CHARGE = _CHARGES + "/{charge_code:path}"


class ChargeBody(RootedBody):
    """Body of a creation."""

    charge: ChargeInput


class ChargeChangesBody(RootedBody):
    """Body of a change."""

    charge: ChargeChanges


@router.post(_CHARGES)
def create(
    code: str, body: ChargeBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> ChargeAnswer:
    """Add a charge to a plan."""
    plan = find_plan(session, organization.id, code)
    return ChargeAnswer(charge=ChargeOutput.of(create_plan_charge(session, plan, body.charge, now)))


@router.get(_CHARGES)
def list_page(
    code: str, organization: CurrentOrganization, session: DbSession, pagination: Paginated
) -> ChargesAnswer:
    """List the charges of a plan, newest first."""
    plan = find_plan(session, organization.id, code)
    page = paginate(session, with_details(select_charges(plan)), pagination)
    return ChargesAnswer(charges=[ChargeOutput.of(charge) for charge in page.rows], meta=page.meta)


@router.get(_CHARGE)
def show(code: str, charge_code: str, organization: CurrentOrganization, session: DbSession) -> ChargeAnswer:
    """Show a charge."""
    plan = find_plan(session, organization.id, code)
    return ChargeAnswer(charge=ChargeOutput.of(find_charge(session, plan, charge_code)))


@router.put(_CHARGE)
def update(
    code: str,
    charge_code: str,
    body: ChargeChangesBody,
    organization: CurrentOrganization,
    session: DbSession,
    now: Now,
) -> ChargeAnswer:
    """Change a charge."""
    plan = find_plan(session, organization.id, code)
    charge = find_charge(session, plan, charge_code)
    update_plan_charge(session, plan, charge, body.charge, now)
    return ChargeAnswer(charge=ChargeOutput.of(charge))


@router.delete(_CHARGE)
def delete(
    code: str, charge_code: str, organization: CurrentOrganization, session: DbSession, now: Now
) -> ChargeAnswer:
    """Take a charge off a plan."""
    plan = find_plan(session, organization.id, code)
    charge = find_charge(session, plan, charge_code)
    delete_plan_charge(session, charge, now)
    return ChargeAnswer(charge=ChargeOutput.of(charge))

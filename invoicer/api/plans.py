"""Routes of plans."""

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.plan import PlanAnswer, PlanOutput, PlansAnswer
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.billing.subscription_changes import terminate_plan_subscriptions
from invoicer.catalog.plan_input import PlanChanges, PlanInput
from invoicer.catalog.plans import (
    create_plan,
    delete_plan,
    find_plan,
    select_plans,
    update_plan,
    with_details,
)

router = make_router("plans")


class PlanBody(RootedBody):
    """Body of a creation."""

    plan: PlanInput


class PlanChangesBody(RootedBody):
    """Body of a change."""

    plan: PlanChanges


@router.post("/plans")
def create(body: PlanBody, organization: CurrentOrganization, session: DbSession, now: Now) -> PlanAnswer:
    """Create a plan with its charges."""
    return PlanAnswer(plan=PlanOutput.of(create_plan(session, organization.id, body.plan, now)))


@router.get("/plans")
def list_page(organization: CurrentOrganization, session: DbSession, pagination: Paginated) -> PlansAnswer:
    """List plans, newest first."""
    page = paginate(session, with_details(select_plans(organization.id)), pagination)
    return PlansAnswer(plans=[PlanOutput.of(plan) for plan in page.rows], meta=page.meta)


@router.get("/plans/{code:path}")
def show(code: str, organization: CurrentOrganization, session: DbSession) -> PlanAnswer:
    """Show a plan."""
    return PlanAnswer(plan=PlanOutput.of(find_plan(session, organization.id, code)))


@router.put("/plans/{code:path}")
def update(
    code: str, body: PlanChangesBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> PlanAnswer:
    """Change a plan; `charges` replaces the whole list."""
    plan = find_plan(session, organization.id, code)
    update_plan(session, plan, body.plan, now)
    return PlanAnswer(plan=PlanOutput.of(plan))


@router.delete("/plans/{code:path}")
def delete(code: str, organization: CurrentOrganization, session: DbSession, now: Now) -> PlanAnswer:
    """Delete a plan; its subscriptions end now."""
    plan = find_plan(session, organization.id, code)
    terminate_plan_subscriptions(session, plan, now)
    delete_plan(session, plan, now)
    return PlanAnswer(plan=PlanOutput.of(plan))

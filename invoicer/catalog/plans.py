"""Plans."""

import uuid
from datetime import datetime

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, selectinload

from invoicer.catalog.charge_input import ChargeChanges, ChargeInput
from invoicer.catalog.charges import (
    add_charge,
    charge_change_issues,
    find_charge_metric,
    new_charge_issues,
    remove_charge,
    update_charge,
)
from invoicer.catalog.plan_input import PlanChanges, PlanInput
from invoicer.catalog.snapshot import publish_catalog
from invoicer.catalog.taxes import find_taxes
from invoicer.db import BillableMetric, Charge, Plan, Subscription
from schemas.errors import ErrorDetails, InputError, NotFound, merge_details

_MONTHLY_CHARGES_INTERVALS = frozenset({"yearly", "semiannual"})
_CANCELED = "canceled"


def select_plans(organization_id: uuid.UUID) -> Select[Plan]:
    """The organization's plans, newest first."""
    alive = select(Plan).where(Plan.organization_id == organization_id, Plan.deleted_at.is_(None))
    return alive.order_by(Plan.created_at.desc(), Plan.id)


def with_details(plans: Select[Plan]) -> Select[Plan]:
    """The same plans, with all that is shown of them read in a few queries."""
    charges = selectinload(Plan.charges)
    return plans.options(
        selectinload(Plan.taxes),
        charges.selectinload(Charge.filters),
        charges.selectinload(Charge.taxes),
        charges.joinedload(Charge.billable_metric),
    )


def find_plan(session: Session, organization_id: uuid.UUID, code: str) -> Plan:
    """The plan with that code.

    Raises: NotFound.
    """
    plan = session.scalar(select_plans(organization_id).where(Plan.code == code))
    if plan is None:
        raise NotFound("plan")
    return plan


def create_plan(session: Session, organization_id: uuid.UUID, given: PlanInput, now: datetime) -> Plan:
    """Create a plan with its charges.

    Raises: InputError with every issue; NotFound for an unknown metric or tax.
    Source: Lago plans and plan attributes.
    """
    plan = Plan(
        organization_id=organization_id,
        name=given.name,
        code=given.code,
        invoice_display_name=given.invoice_display_name,
        description=given.description,
        interval=given.interval,
        amount_cents=given.amount_cents,
        amount_currency=given.amount_currency,
        trial_period=given.trial_period,
        pay_in_advance=bool(given.pay_in_advance),
        bill_charges_monthly=_bill_charges_monthly(given.interval, given.bill_charges_monthly),
        metadata_values=given.metadata or None,
        taxes=find_taxes(session, organization_id, given.tax_codes or []),
        created_at=now,
        updated_at=now,
    )
    new = [(each, _metric(session, plan, each)) for each in given.charges or []]
    _refuse(
        _code_issues(session, organization_id, given.code),
        *(new_charge_issues(each, metric) for each, metric in new),
    )
    session.add(plan)
    session.flush()
    for each, metric in new:
        add_charge(session, plan, each, metric, now)
    publish_catalog(session, now)
    return plan


def update_plan(session: Session, plan: Plan, changes: PlanChanges, now: datetime) -> None:
    """Change a plan; once a subscription has it, code, interval, currency, trial and timing stay.

    Raises: InputError with every issue; NotFound for an unknown metric or tax.
    Source: Lago plans, update.
    """
    attached = is_attached(session, plan)
    if not attached:
        _change_terms(session, plan, changes)
    values = changes.stated("name", "amount_cents") | changes.given("invoice_display_name", "description")
    for field, value in values.items():
        setattr(plan, field, value)
    if "metadata" in changes.model_fields_set:
        plan.metadata_values = changes.metadata or None
    if changes.tax_codes is not None:
        plan.taxes = find_taxes(session, plan.organization_id, changes.tax_codes)
    if changes.charges is not None:
        _replace_charges(session, plan, changes.charges, now, attached=attached)
    plan.updated_at = now
    publish_catalog(session, now)


def delete_plan(session: Session, plan: Plan, now: datetime) -> None:
    """Hide the plan. Its charges stay: the last period of its subscriptions is still billed with them."""
    plan.pending_deletion = True
    plan.deleted_at = plan.updated_at = now
    session.flush()


def is_attached(session: Session, plan: Plan) -> bool:
    """Whether a subscription has the plan, had it, or is about to get it.

    One that has ended counts: its final invoice, a draft and its late events are still billed by the plan's terms.
    Source: Lago plans, update.
    """
    has_it = exists().where(Subscription.plan_id == plan.id, Subscription.status != _CANCELED)
    return bool(session.scalar(select(has_it)))


def _change_terms(session: Session, plan: Plan, changes: PlanChanges) -> None:
    if changes.code not in (None, plan.code):
        _refuse(_code_issues(session, plan.organization_id, changes.code))
    values = changes.stated("code", "interval", "amount_currency", "pay_in_advance")
    values |= changes.given("trial_period")
    for field, value in values.items():
        setattr(plan, field, value)
    wanted = changes.given("bill_charges_monthly").get("bill_charges_monthly", plan.bill_charges_monthly)
    plan.bill_charges_monthly = _bill_charges_monthly(plan.interval, wanted)


def _replace_charges(
    session: Session, plan: Plan, given: list[ChargeChanges], now: datetime, *, attached: bool
) -> None:
    known = {charge.id: charge for charge in plan.charges}
    changed = [(known[each.id], each) for each in given if each.id in known]
    new = [
        (charge, _metric(session, plan, charge))
        for charge in (_as_new(each) for each in given if each.id not in known)
    ]
    _refuse(
        *(charge_change_issues(charge, each, is_attached=attached) for charge, each in changed),
        *(new_charge_issues(each, metric) for each, metric in new),
    )
    kept = {charge.id for charge, _ in changed}
    for charge in [charge for charge in plan.charges if charge.id not in kept]:
        remove_charge(session, charge, now)
    for charge, each in changed:
        update_charge(session, charge, each, now, is_attached=attached)
    for created, metric in new:
        add_charge(session, plan, created, metric, now)


def _as_new(given: ChargeChanges) -> ChargeInput:
    """The item of an update that names no charge of the plan, as a new charge.

    Raises: InputError when it lacks what a new one needs.
    """
    missing = [field for field in ("billable_metric_id", "charge_model") if getattr(given, field) is None]
    if missing:
        raise InputError({field: ["value_is_mandatory"] for field in missing})
    return ChargeInput.model_construct(given.model_fields_set, **dict(given))


def _metric(session: Session, plan: Plan, given: ChargeInput) -> BillableMetric:
    metric = find_charge_metric(session, plan, given)
    if metric is None:
        raise NotFound("billable_metrics")
    return metric


def _bill_charges_monthly(interval: str, wanted: bool | None) -> bool | None:
    return bool(wanted) if interval in _MONTHLY_CHARGES_INTERVALS else None


def _code_issues(session: Session, organization_id: uuid.UUID, code: str | None) -> ErrorDetails:
    taken = session.scalar(select_plans(organization_id).where(Plan.code == code))
    return {} if taken is None else {"code": ["value_already_exist"]}


def _refuse(*issues: ErrorDetails) -> None:
    merged = merge_details(issues)
    if merged:
        raise InputError(merged)

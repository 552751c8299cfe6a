"""The charges of a plan."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload, selectinload

from invoicer.catalog.charge_filters import replace_filters
from invoicer.catalog.charge_input import ChargeChanges, ChargeInput
from invoicer.catalog.charge_rules import (
    compatibility_issues,
    filters_issues,
    properties_issues,
    stored_properties,
)
from invoicer.catalog.taxes import find_taxes
from invoicer.db import BillableMetric, Charge, Plan
from invoicer.rating.charge_models.charge_model import ChargeModel
from schemas.errors import ErrorDetails, InputError, NotFound, merge_details


def select_charges(plan: Plan) -> Select[Charge]:
    """The plan's charges, newest first."""
    alive = select(Charge).where(Charge.plan_id == plan.id, Charge.deleted_at.is_(None))
    return alive.order_by(Charge.created_at.desc(), Charge.position.desc())


def with_details(charges: Select[Charge]) -> Select[Charge]:
    """The same charges, with all that is shown of them read in a few queries."""
    return charges.options(
        selectinload(Charge.filters), selectinload(Charge.taxes), joinedload(Charge.billable_metric)
    )


def find_charge(session: Session, plan: Plan, code: str) -> Charge:
    """The plan's charge with that code.

    Raises: NotFound.
    """
    charge = session.scalar(select_charges(plan).where(Charge.code == code))
    if charge is None:
        raise NotFound("charge")
    return charge


def find_charge_metric(session: Session, plan: Plan, given: ChargeInput) -> BillableMetric | None:
    """The metric a new charge names, if the organization has it."""
    return session.scalar(
        select(BillableMetric).where(
            BillableMetric.organization_id == plan.organization_id,
            BillableMetric.id == given.billable_metric_id,
            BillableMetric.deleted_at.is_(None),
        )
    )


def new_charge_issues(given: ChargeInput, metric: BillableMetric) -> ErrorDetails:
    """What is wrong with a charge to be created."""
    return merge_details(
        [
            compatibility_issues(given.charge_model, metric, prorated=bool(given.prorated)),
            properties_issues(given.charge_model, given.properties),
            *filters_issues(given.charge_model, metric, given.filters or []),
        ]
    )


def add_charge(session: Session, plan: Plan, given: ChargeInput, metric: BillableMetric, now: datetime) -> Charge:
    """Create a charge that has been checked, behind the plan's others.

    Raises: InputError when the code is taken; NotFound for an unknown tax.
    """
    codes = {charge.code for charge in plan.charges}
    if given.code in codes:
        raise InputError({"code": ["value_already_exist"]})
    charge = Charge(
        organization_id=plan.organization_id,
        billable_metric=metric,
        position=1 + max((charge.position for charge in plan.charges), default=-1),
        code=given.code or _free_code(metric.code, codes),
        charge_model=given.charge_model,
        invoice_display_name=given.invoice_display_name,
        prorated=bool(given.prorated),
        min_amount_cents=given.min_amount_cents or 0,
        properties=stored_properties(given.charge_model, given.properties),
        taxes=find_taxes(session, plan.organization_id, given.tax_codes or []),
        created_at=now,
        updated_at=now,
    )
    plan.charges.append(charge)
    replace_filters(charge, given.filters or [], now)
    session.flush()
    return charge


def charge_change_issues(charge: Charge, changes: ChargeChanges, *, is_attached: bool) -> ErrorDetails:
    """What would be wrong with the charge after the change."""
    model = _model_after(charge, changes, is_attached=is_attached)
    prorated = charge.prorated if is_attached or changes.prorated is None else changes.prorated
    return merge_details(
        [
            compatibility_issues(model, charge.billable_metric, prorated=prorated),
            properties_issues(model, changes.properties),
            *filters_issues(model, charge.billable_metric, changes.filters or []),
            *_kept_filters_issues(charge, changes, model),
        ]
    )


def update_charge(
    session: Session, charge: Charge, changes: ChargeChanges, now: datetime, *, is_attached: bool
) -> None:
    """Apply a change that has been checked.

    Once a subscription has the plan, model, proration and code stay; a charge never moves to another metric.
    Raises: InputError when the new code is taken; NotFound for an unknown tax.
    Source: Lago plans, update.
    """
    model = _model_after(charge, changes, is_attached=is_attached)
    if changes.properties is not None or model is not ChargeModel(charge.charge_model):
        charge.properties = stored_properties(model, changes.properties)
    if not is_attached:
        _check_code_free(charge, changes.code)
        for field, value in changes.stated("code", "charge_model", "prorated").items():
            setattr(charge, field, value)
    values: dict[str, Any] = changes.given("invoice_display_name") | changes.stated("min_amount_cents")
    for field, value in values.items():
        setattr(charge, field, value)
    if changes.tax_codes is not None:
        charge.taxes = find_taxes(session, charge.organization_id, changes.tax_codes)
    if changes.filters is not None:
        replace_filters(charge, changes.filters, now)
    charge.updated_at = now
    session.flush()


def remove_charge(session: Session, charge: Charge, now: datetime) -> None:
    """Take a charge off its plan; fees that were billed for it keep it."""
    charge.deleted_at = charge.updated_at = now
    session.flush()
    session.expire(charge.plan, ["charges"])


def _model_after(charge: Charge, changes: ChargeChanges, *, is_attached: bool) -> ChargeModel:
    wanted = None if is_attached else changes.charge_model
    return wanted or ChargeModel(charge.charge_model)


def _kept_filters_issues(charge: Charge, changes: ChargeChanges, model: ChargeModel) -> list[ErrorDetails]:
    """Filters that stay as they are must still be priced in a way the model knows."""
    if changes.filters is not None or model is ChargeModel(charge.charge_model):
        return []
    return [properties_issues(model, each.properties) for each in charge.filters]


def _check_code_free(charge: Charge, code: str | None) -> None:
    others: Sequence[Charge] = [each for each in charge.plan.charges if each is not charge]
    if code is not None and any(each.code == code for each in others):
        raise InputError({"code": ["value_already_exist"]})


def _free_code(metric_code: str, taken: set[str]) -> str:
    """The metric's code, numbered where the plan charges for the metric more than once."""
    code, number = metric_code, 1
    while code in taken:
        number += 1
        suffix = f"_{number}"
        code = metric_code[: 255 - len(suffix)] + suffix
    return code

"""Charges and filters changed one at a time, each change published to the stream."""

from datetime import datetime

from sqlalchemy.orm import Session

from invoicer.catalog.charge_filters import add_filter, remove_filter, update_filter
from invoicer.catalog.charge_input import ChargeChanges, ChargeFilterInput, ChargeInput
from invoicer.catalog.charges import (
    add_charge,
    charge_change_issues,
    find_charge_metric,
    new_charge_issues,
    remove_charge,
    update_charge,
)
from invoicer.catalog.plans import is_attached
from invoicer.catalog.snapshot import publish_catalog
from invoicer.db import Charge, ChargeFilter, Plan
from schemas.errors import InputError, NotFound


def create_plan_charge(session: Session, plan: Plan, given: ChargeInput, now: datetime) -> Charge:
    """Add a charge to a plan.

    Raises: InputError with every issue; NotFound for an unknown metric or tax.
    """
    metric = find_charge_metric(session, plan, given)
    if metric is None:
        raise NotFound("billable_metric")
    if issues := new_charge_issues(given, metric):
        raise InputError(issues)
    charge = add_charge(session, plan, given, metric, now)
    publish_catalog(session, now)
    return charge


def update_plan_charge(
    session: Session, plan: Plan, charge: Charge, changes: ChargeChanges, now: datetime
) -> None:
    """Change a charge, as a plan's update would.

    Raises: InputError with every issue; NotFound for an unknown tax.
    """
    attached = is_attached(session, plan)
    if issues := charge_change_issues(charge, changes, is_attached=attached):
        raise InputError(issues)
    update_charge(session, charge, changes, now, is_attached=attached)
    publish_catalog(session, now)


def delete_plan_charge(session: Session, charge: Charge, now: datetime) -> None:
    """Take a charge off its plan."""
    remove_charge(session, charge, now)
    publish_catalog(session, now)


def create_charge_filter(
    session: Session, charge: Charge, given: ChargeFilterInput, now: datetime
) -> ChargeFilter:
    """Add a filter to a charge.

    Raises: InputError with every issue.
    """
    created = add_filter(session, charge, given, now)
    publish_catalog(session, now)
    return created


def update_charge_filter(
    session: Session, charge: Charge, existing: ChargeFilter, changes: ChargeFilterInput, now: datetime
) -> None:
    """Change a filter of a charge.

    Raises: InputError with every issue.
    """
    update_filter(session, charge, existing, changes, now)
    publish_catalog(session, now)


def delete_charge_filter(session: Session, charge: Charge, existing: ChargeFilter, now: datetime) -> None:
    """Take a filter off its charge."""
    remove_filter(session, charge, existing, now)
    publish_catalog(session, now)

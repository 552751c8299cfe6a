"""The filters of a charge."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, object_session

from invoicer.catalog.charge_input import ChargeFilterInput
from invoicer.catalog.charge_rules import canonical_values, filters_issues, properties_issues, stored_properties
from invoicer.catalog.fields import parse_id
from invoicer.db import Charge, ChargeFilter
from invoicer.rating.charge_models.charge_model import ChargeModel
from schemas.errors import InputError, NotFound, merge_details


def select_filters(charge: Charge) -> Select[ChargeFilter]:
    """The charge's filters, newest first."""
    alive = select(ChargeFilter).where(ChargeFilter.charge_id == charge.id, ChargeFilter.deleted_at.is_(None))
    return alive.order_by(ChargeFilter.created_at.desc(), ChargeFilter.position.desc())


def find_filter(session: Session, charge: Charge, filter_id: str) -> ChargeFilter:
    """The filter with that id.

    Raises: NotFound, also for a text that is no id.
    """
    found = session.scalar(select_filters(charge).where(ChargeFilter.id == parse_id(filter_id, "charge_filter")))
    if found is None:
        raise NotFound("charge_filter")
    return found


def replace_filters(charge: Charge, given: Sequence[ChargeFilterInput], now: datetime) -> None:
    """Make the charge's filters the given ones, in their order; a filter is recognised by its values.

    Source: Lago filters, create and update.
    """
    known = {_key(each.values): each for each in charge.filters}
    wanted = {_key(each.values or {}): each for each in given}
    for key, old in known.items():
        if key not in wanted:
            old.deleted_at = old.updated_at = now
    for position, (key, each) in enumerate(wanted.items()):
        _store(charge, known.get(key), each, position, now)
    _forget_removed(charge)


def add_filter(session: Session, charge: Charge, given: ChargeFilterInput, now: datetime) -> ChargeFilter:
    """Create one filter behind the others.

    Raises: InputError, also when there is a filter with the same values.
    """
    _check(charge, given)
    if any(_key(each.values) == _key(given.values or {}) for each in charge.filters):
        raise InputError({"values": ["value_already_exist"]})
    position = 1 + max((each.position for each in charge.filters), default=-1)
    created = _store(charge, None, given, position, now)
    session.flush()
    return created


def update_filter(
    session: Session, charge: Charge, existing: ChargeFilter, changes: ChargeFilterInput, now: datetime
) -> None:
    """Change one filter: what is absent stays.

    Raises: InputError, also when there is another filter with the new values.
    """
    values = existing.values if changes.values is None else changes.values
    _check(charge, changes.model_copy(update={"values": values}))
    if any(each is not existing and _key(each.values) == _key(values) for each in charge.filters):
        raise InputError({"values": ["value_already_exist"]})
    existing.values = canonical_values(values)
    if changes.properties is not None:
        existing.properties = stored_properties(ChargeModel(charge.charge_model), changes.properties)
    for field, value in changes.given("invoice_display_name").items():
        setattr(existing, field, value)
    existing.updated_at = now
    session.flush()


def remove_filter(session: Session, charge: Charge, existing: ChargeFilter, now: datetime) -> None:
    """Take one filter off its charge; its events are priced as the rest from now on."""
    existing.deleted_at = existing.updated_at = now
    session.flush()
    session.expire(charge, ["filters"])


def _check(charge: Charge, given: ChargeFilterInput) -> None:
    model = ChargeModel(charge.charge_model)
    issues = merge_details(
        [properties_issues(model, given.properties), *filters_issues(model, charge.billable_metric, [given])]
    )
    if issues:
        raise InputError(issues)


def _store(
    charge: Charge, existing: ChargeFilter | None, given: ChargeFilterInput, position: int, now: datetime
) -> ChargeFilter:
    stored = existing
    if stored is None:
        stored = ChargeFilter(values=canonical_values(given.values or {}), created_at=now)
        charge.filters.append(stored)
    stored.position = position
    stored.invoice_display_name = given.invoice_display_name
    stored.properties = _prices(ChargeModel(charge.charge_model), given.properties, stored.properties)
    stored.updated_at = now
    return stored


def _prices(model: ChargeModel, given: dict[str, Any] | None, current: dict[str, Any] | None) -> dict[str, Any]:
    """The given prices; without them the current ones, where they still fit the model."""
    if given is None and current and not properties_issues(model, current):
        return current
    return stored_properties(model, given)


def _forget_removed(charge: Charge) -> None:
    session = object_session(charge)
    if session is not None and charge.id is not None:
        session.flush()
        session.expire(charge, ["filters"])


def _key(values: dict[str, list[str]]) -> str:
    return repr(canonical_values(values))

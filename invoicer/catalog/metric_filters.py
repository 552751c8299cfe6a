"""The filters a metric declares, and what becomes of charges when a declaration is withdrawn."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.catalog.metric_input import MetricFilterInput
from invoicer.db import BillableMetric, Charge, ChargeFilter
from invoicer.rating.filters import ALL_FILTER_VALUES
from schemas.errors import InputError


def normalize_filters(given: Sequence[MetricFilterInput]) -> list[dict[str, Any]]:
    """The filters to store: sorted by key, each with its values sorted and once; a key given twice is joined.

    Raises: InputError when a key has no values.
    """
    values_by_key: dict[str, set[str]] = {}
    for each in given:
        if not each.values:
            raise InputError({"values": ["value_is_mandatory"]})
        values_by_key.setdefault(each.key, set()).update(each.values)
    return [{"key": key, "values": sorted(values)} for key, values in sorted(values_by_key.items())]


def declared_values(metric: BillableMetric) -> dict[str, set[str]]:
    """The values each filter key of the metric may have."""
    return {each["key"]: set(each["values"]) for each in metric.filters}


def narrow_charge_filters(session: Session, metric: BillableMetric, now: datetime) -> None:
    """Drop what the metric no longer declares from the filters of its charges.

    A filter that loses a key, or the last value of one, is removed: it would match more events than anybody
    priced with it. So is one that becomes the same as an older filter of its charge.
    """
    declared = declared_values(metric)
    filters = session.scalars(
        select(ChargeFilter)
        .join(Charge, Charge.id == ChargeFilter.charge_id)
        .where(
            Charge.billable_metric_id == metric.id, Charge.deleted_at.is_(None), ChargeFilter.deleted_at.is_(None)
        )
        .order_by(ChargeFilter.charge_id, ChargeFilter.position)
    )
    kept: set[tuple[uuid.UUID, str]] = set()
    for each in filters:
        narrowed = _narrow(each.values, declared)
        identity = (each.charge_id, repr(narrowed))
        if narrowed is None or identity in kept:
            each.deleted_at = now
        elif narrowed != each.values:
            each.values = narrowed
        kept.add(identity)


def _narrow(values: dict[str, list[str]], declared: dict[str, set[str]]) -> dict[str, list[str]] | None:
    narrowed: dict[str, list[str]] = {}
    for key, wanted in values.items():
        allowed = declared.get(key)
        if allowed is None:
            return None
        narrowed[key] = [value for value in wanted if value in allowed or value == ALL_FILTER_VALUES]
        if not narrowed[key]:
            return None
    return narrowed

"""Charges as they were when a fee was made: filters come and go, and fees stay."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.billing.charge_usage import Bucket
from invoicer.db import Charge, ChargeFilter
from schemas.metrics import MetricDefinition


def load_filters(session: Session, charge_ids: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, list[ChargeFilter]]:
    """Every filter each charge ever had, in their order."""
    found: dict[uuid.UUID, list[ChargeFilter]] = {}
    wanted = select(ChargeFilter).where(ChargeFilter.charge_id.in_(set(charge_ids)))
    for each in session.scalars(wanted.order_by(ChargeFilter.position, ChargeFilter.created_at)):
        found.setdefault(each.charge_id, []).append(each)
    return found


def filters_at(charge_filters: Sequence[ChargeFilter], instant: datetime) -> list[ChargeFilter]:
    """Those that were there at `instant`."""
    return [
        each
        for each in charge_filters
        if each.created_at <= instant and (each.deleted_at is None or each.deleted_at >= instant)
    ]


def is_changed_since(charge: Charge, charge_filters: Sequence[ChargeFilter], instant: datetime) -> bool:
    """Whether the charge or a filter it had at `instant` was edited afterwards, be it to the same values."""
    edited = [charge.updated_at, *(each.updated_at for each in filters_at(charge_filters, instant))]
    return max(edited) > instant


def bucket_keys(buckets: Iterable[Bucket]) -> set[str]:
    """The properties that these buckets tell events apart by."""
    keys: set[str] = set()
    for bucket in buckets:
        keys.update(bucket.group_keys, bucket.predicate.include, *bucket.predicate.exclude)
    return keys


def with_dimensions(metric: MetricDefinition, keys: Iterable[str]) -> MetricDefinition:
    """The metric telling events apart by these properties too, also where no charge asks for them any more."""
    needed = {*metric.dimensions, *keys}
    if needed == set(metric.dimensions):
        return metric
    return msgspec.structs.replace(metric, dimensions=tuple(sorted(needed)))

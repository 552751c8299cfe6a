"""Publishes what the stream needs to know of the catalog, in the transaction that changes it."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import CompoundSelect, Row, Select, bindparam, null, select
from sqlalchemy.orm import Session

from invoicer.db import ApiKey, BillableMetric, CatalogSnapshotRow, Charge, ChargeFilter
from schemas.catalog import CatalogSnapshot, decode_snapshot, encode_snapshot
from schemas.metrics import AggregationType, MetricDefinition

_SNAPSHOT_ID = 1


def publish_catalog(session: Session, now: datetime) -> int:
    """Rebuild the snapshot from what this transaction sees; a new version only when it says something new.

    Steps, all in the caller's transaction: (1) lock the snapshot's row, so that of two changes at once the
    second one waits, then reads what the first one committed; (2) read keys and metrics; (3) write the row. A
    crash before the commit leaves catalog and snapshot both as they were.
    Returns: the version that is now published.
    """
    session.flush()
    row = _lock_snapshot(session, now)
    known = decode_snapshot(row.document)
    snapshot = CatalogSnapshot(version=row.version, api_keys=_api_keys(session), metrics=_all_definitions(session))
    if row.version == 0 or snapshot != known:
        row.version += 1
        row.document = encode_snapshot(_with_version(snapshot, row.version))
        row.published_at = now
        session.flush()
    return row.version


def load_metric_definitions(
    session: Session, organization_id: uuid.UUID, metric_ids: Collection[uuid.UUID]
) -> dict[uuid.UUID, MetricDefinition]:
    """The definitions by which usage of those metrics is read: the very ones the stream evaluates events by."""
    wanted = _select_metrics().where(
        BillableMetric.organization_id == organization_id, BillableMetric.id.in_(metric_ids)
    )
    return {uuid.UUID(each.id): each for each in _definitions(session, wanted)}


def metric_definition(metric: BillableMetric | Row[Any], dimensions: Iterable[str]) -> MetricDefinition:
    """What the stream knows of `metric`; `dimensions` in any order, repeated or not."""
    return MetricDefinition(
        id=str(metric.id),
        organization_id=str(metric.organization_id),
        code=metric.code,
        aggregation_type=AggregationType(metric.aggregation_type),
        field_name=metric.field_name,
        expression=metric.expression,
        recurring=metric.recurring,
        dimensions=tuple(sorted(set(dimensions))),
    )


def _lock_snapshot(session: Session, now: datetime) -> CatalogSnapshotRow:
    row = session.scalar(
        select(CatalogSnapshotRow)
        .where(CatalogSnapshotRow.id == _SNAPSHOT_ID)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        empty = encode_snapshot(CatalogSnapshot(version=0))
        row = CatalogSnapshotRow(id=_SNAPSHOT_ID, version=0, document=empty, published_at=now)
        session.add(row)
        session.flush()
    return row


def _with_version(snapshot: CatalogSnapshot, version: int) -> CatalogSnapshot:
    return CatalogSnapshot(version=version, api_keys=snapshot.api_keys, metrics=snapshot.metrics)


def _api_keys(session: Session) -> dict[str, str]:
    keys = session.execute(select(ApiKey.key_hash, ApiKey.organization_id).order_by(ApiKey.key_hash))
    return {key_hash: str(organization_id) for key_hash, organization_id in keys}


def _all_definitions(session: Session) -> tuple[MetricDefinition, ...]:
    return tuple(_definitions(session, _select_metrics().where(BillableMetric.deleted_at.is_(None))))


def _select_metrics() -> Select[Any]:
    # Columns, not entities: an entity this session already holds would be answered as it was first read.
    return select(
        BillableMetric.id,
        BillableMetric.organization_id,
        BillableMetric.code,
        BillableMetric.aggregation_type,
        BillableMetric.field_name,
        BillableMetric.expression,
        BillableMetric.recurring,
        BillableMetric.filters,
    ).order_by(BillableMetric.organization_id, BillableMetric.code, BillableMetric.id)


def _definitions(session: Session, metrics: Select[Any]) -> list[MetricDefinition]:
    rows = session.execute(metrics).all()
    dimensions = load_dimensions(session, rows)
    return [metric_definition(row, dimensions[row.id]) for row in rows]


def load_dimensions(
    session: Session, metrics: Collection[BillableMetric] | Sequence[Row[Any]]
) -> Mapping[uuid.UUID, set[str]]:
    """The keys that filters and charges tell the events of each metric apart by, by its id.

    The charges of a deleted plan count as well: their last period may still have to be billed.
    """
    keys = {metric.id: {each["key"] for each in metric.filters} for metric in metrics}
    if keys:
        for metric_id, properties, values in session.execute(_select_charge_keys(), {"metric_ids": list(keys)}):
            keys[metric_id].update(_group_keys(properties), values or ())
    return keys


@lru_cache(maxsize=1)
def _select_charge_keys() -> CompoundSelect[Any]:
    """What names the keys of each metric: properties of its charges, properties and values of their filters."""
    of_metrics = (
        Charge.billable_metric_id.in_(bindparam("metric_ids", expanding=True)),
        Charge.deleted_at.is_(None),
    )
    filters = (
        select(Charge.billable_metric_id, ChargeFilter.properties, ChargeFilter.values)
        .join(Charge, Charge.id == ChargeFilter.charge_id)
        .where(*of_metrics, ChargeFilter.deleted_at.is_(None))
    )
    return filters.union_all(select(Charge.billable_metric_id, Charge.properties, null()).where(*of_metrics))


def _group_keys(properties: Mapping[str, Any]) -> list[str]:
    keys: list[str] = properties.get("pricing_group_keys") or properties.get("grouped_by") or []
    return keys

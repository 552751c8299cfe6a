"""Billable metrics."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, or_, select
from sqlalchemy.orm import Session

from invoicer.catalog.metric_filters import narrow_charge_filters, normalize_filters
from invoicer.catalog.metric_input import MetricChanges, MetricInput
from invoicer.catalog.snapshot import publish_catalog
from invoicer.db import BillableMetric, BillingPeriod, Charge, Invoice, Plan, Subscription
from schemas.errors import Forbidden, InputError, NotFound
from schemas.expression import InvalidExpression, parse_expression
from schemas.metrics import AggregationType

_NEVER_RECURRING = frozenset({AggregationType.COUNT, AggregationType.MAX, AggregationType.LATEST})
_CUSTOM = "custom_agg"
_MEASURE = (
    "code aggregation_type field_name expression recurring weighted_interval rounding_function rounding_precision"
).split()


def select_metrics(organization_id: uuid.UUID) -> Select[BillableMetric]:
    """The organization's metrics, newest first."""
    alive = select(BillableMetric).where(
        BillableMetric.organization_id == organization_id, BillableMetric.deleted_at.is_(None)
    )
    return alive.order_by(BillableMetric.created_at.desc(), BillableMetric.id)


def find_metric(session: Session, organization_id: uuid.UUID, code: str) -> BillableMetric:
    """The metric with that code.

    Raises: NotFound.
    """
    metric = session.scalar(select_metrics(organization_id).where(BillableMetric.code == code))
    if metric is None:
        raise NotFound("billable_metric")
    return metric


def create_metric(
    session: Session, organization_id: uuid.UUID, given: MetricInput, now: datetime
) -> BillableMetric:
    """Create a metric and publish it to the stream.

    Raises: InputError with every issue; Forbidden for the custom aggregation.
    Source: Lago billable metrics, definition rules.
    """
    metric = BillableMetric(
        organization_id=organization_id,
        name=given.name,
        description=given.description,
        filters=normalize_filters(given.filters or []),
        created_at=now,
        updated_at=now,
        **_measure({field: getattr(given, field) for field in _MEASURE}),
    )
    _refuse(_issues(metric) | _code_issues(session, organization_id, given.code))
    session.add(metric)
    publish_catalog(session, now)
    return metric


def update_metric(session: Session, metric: BillableMetric, changes: MetricChanges, now: datetime) -> None:
    """Change a metric; once a plan uses it only name, description and filters do.

    Raises: InputError with every issue; Forbidden for the custom aggregation.
    Source: Lago billable metrics, update.
    """
    if not is_on_a_plan(session, metric):
        _change_measure(session, metric, changes)
    for field, value in (changes.stated("name") | changes.given("description")).items():
        setattr(metric, field, value)
    if changes.filters is not None:
        metric.filters = normalize_filters(changes.filters)
        narrow_charge_filters(session, metric, now)
    metric.updated_at = now
    publish_catalog(session, now)


def delete_metric(session: Session, metric: BillableMetric, now: datetime) -> None:
    """Hide the metric and take its charges off their plans.

    Source: Lago billable metrics, delete.
    """
    for charge in _charges(session, metric):
        charge.deleted_at = now
    metric.deleted_at = metric.updated_at = now
    publish_catalog(session, now)


def is_on_a_plan(session: Session, metric: BillableMetric) -> bool:
    """Whether a plan charges for the metric: a living one, or a deleted one that is still to be billed."""
    charged = exists().where(
        Charge.billable_metric_id == metric.id,
        Charge.deleted_at.is_(None),
        Charge.plan_id == Plan.id,
        or_(Plan.deleted_at.is_(None), _is_still_billed()),
    )
    return bool(session.scalar(select(charged)))


def _is_still_billed() -> ColumnElement[bool]:
    """A subscription of the plan has no final invoice yet, or has one on a draft."""
    drafts = (
        select(BillingPeriod.subscription_id)
        .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
        .where(Invoice.status == "draft")
    )
    is_open = or_(Subscription.due_at.is_not(None), Subscription.id.in_(drafts))
    return exists().where(Subscription.plan_id == Plan.id, is_open)


def _charges(session: Session, metric: BillableMetric) -> Sequence[Charge]:
    of_metric = select(Charge).where(Charge.billable_metric_id == metric.id, Charge.deleted_at.is_(None))
    return session.scalars(of_metric).all()


def _change_measure(session: Session, metric: BillableMetric, changes: MetricChanges) -> None:
    current = {field: getattr(metric, field) for field in _MEASURE}
    wanted = current | changes.given(*_MEASURE) | {"code": changes.code or metric.code}
    wanted["aggregation_type"] = changes.aggregation_type or metric.aggregation_type
    measure = _measure(wanted)
    code_issues = (
        _code_issues(session, metric.organization_id, wanted["code"]) if wanted["code"] != metric.code else {}
    )
    _refuse(_issues(BillableMetric(**measure)) | code_issues)
    for field, value in measure.items():
        setattr(metric, field, value)


def _measure(wanted: dict[str, Any]) -> dict[str, Any]:
    """The columns that say how events are measured, without what the aggregation has no use for."""
    if wanted["aggregation_type"] == _CUSTOM:
        raise Forbidden("feature_unavailable")
    is_count = wanted["aggregation_type"] == AggregationType.COUNT
    is_weighted = wanted["aggregation_type"] == AggregationType.WEIGHTED_SUM
    return wanted | {
        "field_name": None if is_count else wanted["field_name"],
        "expression": wanted["expression"] or None,
        "recurring": bool(wanted["recurring"]),
        "weighted_interval": wanted["weighted_interval"] if is_weighted else None,
    }


def _issues(metric: BillableMetric) -> dict[str, object]:
    issues: dict[str, object] = {}
    aggregation = AggregationType(metric.aggregation_type)
    if aggregation is not AggregationType.COUNT and not (metric.field_name or "").strip():
        issues["field_name"] = ["value_is_mandatory"]
    if metric.recurring and aggregation in _NEVER_RECURRING:
        issues["recurring"] = ["not_compatible_with_aggregation_type"]
    if aggregation is AggregationType.WEIGHTED_SUM and metric.weighted_interval is None:
        issues["weighted_interval"] = ["value_is_mandatory"]
    if metric.expression is not None and not _is_expression(metric.expression):
        issues["expression"] = ["invalid_expression"]
    return issues


def _is_expression(source: str) -> bool:
    try:
        parse_expression(source)
    except InvalidExpression:
        return False
    return True


def _code_issues(session: Session, organization_id: uuid.UUID, code: str) -> dict[str, object]:
    taken = session.scalar(select_metrics(organization_id).where(BillableMetric.code == code))
    return {} if taken is None else {"code": ["value_already_exist"]}


def _refuse(issues: dict[str, object]) -> None:
    if issues:
        raise InputError(issues)

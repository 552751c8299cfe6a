"""A billable metric as the API shows it."""

import uuid
from typing import Any

from pydantic import BaseModel

from invoicer.api.pagination import PaginationMeta
from invoicer.catalog.fields import Instant
from invoicer.db import BillableMetric


class MetricFilterOutput(BaseModel):
    """A declared filter."""

    key: str
    values: list[str]


class MetricOutput(BaseModel):
    """A metric, as shown alone."""

    lago_id: uuid.UUID
    name: str
    code: str
    description: str | None
    aggregation_type: str
    weighted_interval: str | None
    recurring: bool
    rounding_function: str | None
    rounding_precision: int | None
    created_at: Instant
    field_name: str | None
    expression: str | None
    filters: list[MetricFilterOutput]

    @classmethod
    def of(cls, metric: BillableMetric) -> "MetricOutput":
        return cls(**metric_values(metric))


class CountedMetricOutput(MetricOutput):
    """A metric, as answered to changes and in lists: with counters that are constant 0, as upstream."""

    active_subscriptions_count: int = 0
    draft_invoices_count: int = 0
    plans_count: int = 0

    @classmethod
    def of(cls, metric: BillableMetric) -> "CountedMetricOutput":
        return cls(**metric_values(metric))


def metric_values(metric: BillableMetric) -> dict[str, Any]:
    """The keys both forms share."""
    return {
        "lago_id": metric.id,
        "name": metric.name,
        "code": metric.code,
        "description": metric.description,
        "aggregation_type": metric.aggregation_type,
        "weighted_interval": metric.weighted_interval,
        "recurring": metric.recurring,
        "rounding_function": metric.rounding_function,
        "rounding_precision": metric.rounding_precision,
        "created_at": metric.created_at,
        "field_name": metric.field_name,
        "expression": metric.expression,
        "filters": [MetricFilterOutput(key=each["key"], values=each["values"]) for each in metric.filters],
    }


class MetricAnswer(BaseModel):
    """One metric."""

    billable_metric: MetricOutput


class CountedMetricAnswer(BaseModel):
    """One metric after a change."""

    billable_metric: CountedMetricOutput


class MetricsAnswer(BaseModel):
    """A page of metrics."""

    billable_metrics: list[CountedMetricOutput]
    meta: PaginationMeta


class ExpressionResult(BaseModel):
    """What an expression made of an event."""

    value: str


class ExpressionAnswer(BaseModel):
    """The result of a trial."""

    expression_result: ExpressionResult

"""Routes of billable metrics."""

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.outputs.billable_metric import (
    CountedMetricAnswer,
    CountedMetricOutput,
    ExpressionAnswer,
    ExpressionResult,
    MetricAnswer,
    MetricOutput,
    MetricsAnswer,
)
from invoicer.api.pagination import Paginated, paginate
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.catalog.expressions import evaluate_expression
from invoicer.catalog.metric_input import ExpressionInput, MetricChanges, MetricInput
from invoicer.catalog.metrics import create_metric, delete_metric, find_metric, select_metrics, update_metric

router = make_router("billable metrics")


class MetricBody(RootedBody):
    """Body of a creation."""

    billable_metric: MetricInput


class MetricChangesBody(RootedBody):
    """Body of a change."""

    billable_metric: MetricChanges


@router.post("/billable_metrics/evaluate_expression")
def evaluate(_caller: CurrentOrganization, now: Now, body: ExpressionInput | None = None) -> ExpressionAnswer:
    """Try an expression on an event."""
    value = evaluate_expression(body or ExpressionInput(), now)
    return ExpressionAnswer(expression_result=ExpressionResult(value=value))


@router.post("/billable_metrics")
def create(
    body: MetricBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> CountedMetricAnswer:
    """Create a metric."""
    metric = create_metric(session, organization.id, body.billable_metric, now)
    return CountedMetricAnswer(billable_metric=CountedMetricOutput.of(metric))


@router.get("/billable_metrics")
def list_page(organization: CurrentOrganization, session: DbSession, pagination: Paginated) -> MetricsAnswer:
    """List metrics, newest first."""
    page = paginate(session, select_metrics(organization.id), pagination)
    return MetricsAnswer(billable_metrics=[CountedMetricOutput.of(metric) for metric in page.rows], meta=page.meta)


@router.get("/billable_metrics/{code:path}")
def show(code: str, organization: CurrentOrganization, session: DbSession) -> MetricAnswer:
    """Show a metric."""
    return MetricAnswer(billable_metric=MetricOutput.of(find_metric(session, organization.id, code)))


@router.put("/billable_metrics/{code:path}")
def update(
    code: str, body: MetricChangesBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> CountedMetricAnswer:
    """Change a metric; once a plan uses it only name, description and filters."""
    metric = find_metric(session, organization.id, code)
    update_metric(session, metric, body.billable_metric, now)
    return CountedMetricAnswer(billable_metric=CountedMetricOutput.of(metric))


@router.delete("/billable_metrics/{code:path}")
def delete(code: str, organization: CurrentOrganization, session: DbSession, now: Now) -> CountedMetricAnswer:
    """Delete a metric and its charges."""
    metric = find_metric(session, organization.id, code)
    delete_metric(session, metric, now)
    return CountedMetricAnswer(billable_metric=CountedMetricOutput.of(metric))

"""Usage is proven before it is read for an invoice: once a period, and over just what is read."""

from datetime import UTC, datetime

from invoicer.billing.audited_usage import AuditedUsage
from schemas.metrics import AggregationType, MetricDefinition
from schemas.period import TimeRange
from schemas.reconciliation import AuditScope
from schemas.usage import UsageScope
from tests.invoicer.fakes import FakeAuditor, FakeUsage

JANUARY = TimeRange(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
FEBRUARY = TimeRange(JANUARY.end, datetime(2026, 3, 1, tzinfo=UTC))
UNTIL_FEBRUARY = TimeRange(None, JANUARY.end)


def scope(code: str, period: TimeRange, subscription: str = "acme-1") -> UsageScope:
    metric = MetricDefinition(id=code, organization_id="hooli", code=code, aggregation_type=AggregationType.COUNT)
    return UsageScope("hooli", subscription, metric, period)


def test_audited_usage_proves_a_period_once_before_it_is_read() -> None:
    """Two metrics and the rows behind one of them cost one question, asked before the first answer."""
    usage, auditor = FakeUsage(), FakeAuditor()
    read_before = []
    auditor.repair = lambda _scope: read_before.append(len(usage.scopes))
    audited = AuditedUsage(usage, auditor)
    audited.totals(scope("calls", JANUARY))
    audited.totals(scope("tokens", JANUARY))
    list(audited.rows(scope("tokens", JANUARY)))
    assert auditor.scopes == [AuditScope("hooli", "acme-1", JANUARY)]
    assert read_before == [0]
    assert len(usage.scopes) == 3


def test_audited_usage_proves_rows_before_the_first_is_asked_for() -> None:
    """Also when nothing was read before, and even when nobody goes through the rows."""
    auditor = FakeAuditor()
    AuditedUsage(FakeUsage(), auditor).rows(scope("calls", JANUARY))
    assert auditor.scopes == [AuditScope("hooli", "acme-1", JANUARY)]


def test_audited_usage_proves_other_periods_and_subscriptions_for_themselves() -> None:
    """A look back to the first event covers the period it ends with, not the one behind it."""
    auditor = FakeAuditor()
    audited = AuditedUsage(FakeUsage(), auditor)
    for period, subscription in (
        (UNTIL_FEBRUARY, "acme-1"),
        (JANUARY, "acme-1"),
        (FEBRUARY, "acme-1"),
        (JANUARY, "acme-2"),
    ):
        audited.totals(scope("calls", period, subscription))
    assert auditor.scopes == [
        AuditScope("hooli", "acme-1", UNTIL_FEBRUARY),
        AuditScope("hooli", "acme-1", FEBRUARY),
        AuditScope("hooli", "acme-2", JANUARY),
    ]

"""Usage of many subscriptions that are billed together: what is asked of one is read for all of them at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from invoicer.billing.billing_items import BillingItem
from schemas.errors import InvariantViolation
from schemas.period import TimeRange
from schemas.reconciliation import AuditScope, PeriodAuditor
from schemas.usage import BatchUsageReader, UsageQuestion, UsageRow, UsageScope, UsageTotals, question_of


class UsagePrefetch:
    """Reader and auditor of one batch: the first question about a period or a metric is asked about all its peers.

    Peers of a subscription are those of the batch whose charges are billed over the same time, so that a batch
    costs one proof a period and one query for each metric, filter and period. Totals are read ahead only of
    subscriptions whose period is proven already: whoever wraps it in an `AuditedUsage` reads nothing unproven.
    Single events are not read ahead. Holds what it has read, so it is made anew for each batch.
    """

    def __init__(self, reader: BatchUsageReader, auditor: PeriodAuditor, items: Iterable[BillingItem]) -> None:
        self._reader = reader
        self._auditor = auditor
        self._peers: dict[tuple[str, TimeRange], list[BillingItem]] = {}
        for item in items:
            organization_id = str(item.facts.subscription.organization_id)
            for period in _periods_read(item):
                self._peers.setdefault((organization_id, period), []).append(item)
        self._proven: dict[AuditScope, int] = {}
        self._asked: set[tuple[str, TimeRange]] = set()
        self._totals: dict[UsageQuestion, Mapping[str, Sequence[UsageTotals]]] = {}

    def verify(self, scopes: Sequence[AuditScope]) -> Mapping[AuditScope, int]:
        """As the auditor's. Where a peer is not sound, each is asked about by itself: it alone is refused."""
        for scope in scopes:
            self._verify_peers(scope)
            if scope not in self._proven:
                self._proven.update(self._auditor.verify([scope]))
        return {scope: self._proven[scope] for scope in scopes}

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        """As the reader's."""
        question = question_of(scope)
        if question not in self._totals:
            self._totals[question] = self._totals_of_peers(scope)
        found = self._totals[question].get(scope.external_subscription_id)
        return self._reader.totals(scope) if found is None else found

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        """As the reader's."""
        return self._reader.rows(scope)

    def _verify_peers(self, scope: AuditScope) -> None:
        key = (scope.organization_id, scope.period)
        if key in self._asked:
            return
        self._asked.add(key)
        names = _external_ids(self._peers.get(key, ()))
        try:
            self._proven.update(
                self._auditor.verify([replace(scope, external_subscription_id=name) for name in names])
            )
        except InvariantViolation:
            return  # one of them is not sound: the caller finds out which

    def _totals_of_peers(self, scope: UsageScope) -> Mapping[str, Sequence[UsageTotals]]:
        sharing = [
            item
            for item in self._peers.get((scope.organization_id, scope.period), ())
            if scope.metric in item.facts.metrics.values()
        ]
        scopes = [replace(scope, external_subscription_id=name) for name in _external_ids(sharing)]
        proven = [each for each in scopes if self._is_proven(each)]
        answers = self._reader.totals_of_many(proven)
        return {each.external_subscription_id: totals for each, totals in zip(proven, answers, strict=True)}

    def _is_proven(self, scope: UsageScope) -> bool:
        period = AuditScope(scope.organization_id, scope.external_subscription_id, scope.period)
        history = replace(period, period=TimeRange(None, scope.period.end))
        return period in self._proven or history in self._proven


def _periods_read(item: BillingItem) -> list[TimeRange]:
    """The stretches of time that its charges may be read over: the period, what lies before it, and both."""
    if not item.bills_charges:
        return []
    period = item.charges_period.time_range
    if not _looks_back(item):
        return [period]
    return [period, TimeRange(None, period.end), TimeRange(None, item.charges_period.start)]


def _looks_back(item: BillingItem) -> bool:
    metrics = item.facts.metrics
    return any(
        charge.prorated or metrics[charge.billable_metric_id].recurring
        for charge in item.facts.subscription.plan.charges
    )


def _external_ids(items: Iterable[BillingItem]) -> list[str]:
    return list(dict.fromkeys(item.facts.subscription.external_id for item in items))
